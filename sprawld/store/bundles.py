"""What a bundle is made of: its file `bundle.json`, written once and read by sets, gc, verify and `doctor`.

    {"bundle": 1, "name": digest, "entries": [digest, ...], "packages": ["name==version", ...],
     "reasons": [{"package", "looks_in", "found_in": [...]}, ...], "owners": {path: digest},
     "conflicts": [{"path", "winner", "losers"}, ...],
     "files": count, "copied": count, "copied_bytes": size}

A bundle costs directories and no content: its files are hard links to those of the entries, counted there.
Only where links could not be made it has bytes of its own, `copied_bytes`.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sprawld.errors import StoreError

from . import files, references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .tree import Store

__all__ = ["DESCRIPTION", "BundleRecord", "listing", "own_bytes", "read_record", "with_entry"]

DESCRIPTION: Final = "bundle.json"
_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRecord:
    """What `bundle.json` says."""

    entries: tuple[str, ...]
    packages: tuple[str, ...]
    reasons: tuple[Mapping[str, Any], ...]
    owners: Mapping[str, str]
    """Path in the bundle -> the one entry that all below it is of."""
    conflicts: tuple[Mapping[str, Any], ...]
    files: int
    copied: int
    """Files that are no links to those of the entries."""
    copied_bytes: int


def read_record(root: Path, name: str) -> BundleRecord:
    """Read it in the store `root`; StoreError `store.damaged` when it is missing or makes no sense."""
    path = root / "bundles" / name / DESCRIPTION
    try:
        content = json.loads(files.read_small(path, _BYTES))
        found = BundleRecord(
            entries=tuple(map(_text, content["entries"])),
            packages=tuple(map(_text, content["packages"])),
            reasons=tuple(map(dict, content["reasons"])),
            owners={_text(place): _text(owner) for place, owner in content["owners"].items()},
            conflicts=tuple(map(dict, content["conflicts"])),
            files=int(content["files"]),
            copied=int(content["copied"]),
            copied_bytes=int(content["copied_bytes"]),
        )
        if content["name"] != name or len(found.entries) != len(found.packages):
            raise ValueError("another bundle's")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError("store.damaged", f"{path} is missing or damaged") from error
    return found


def own_bytes(root: Path, name: str) -> int:
    """Return the size of what a bundle does not share with entries; 0 when that cannot be read."""
    try:
        return read_record(root, name).copied_bytes
    except StoreError:
        return 0


def with_entry(store: Store, digest: str) -> Iterator[str]:
    """Yield the bundles that an entry is part of; of a damaged one nobody knows."""
    for name in store.bundles():
        with contextlib.suppress(StoreError):
            if digest in read_record(store.root, name).entries:
                yield name


def listing(store: Store) -> list[dict[str, Any]]:
    """Return a row for each bundle, for `ls`; `bytes` are those that it does not share with entries."""
    rows = []
    for name in sorted(store.bundles()):
        with contextlib.suppress(StoreError):
            found = read_record(store.root, name)
            rows.append(
                {
                    "bundle": name,
                    "packages": list(found.packages),
                    "files": found.files,
                    "bytes": found.copied_bytes,
                    "sets": sum(1 for _ in references.users(store.root, name)),
                }
            )
    return rows


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
