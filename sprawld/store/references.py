"""References: which entries, client copy and lockfile a set on disk depends on.

1. `set.json` says it: {"lock": path, "entries": [digest, ...], "bundles": [digest, ...], "client": digest}.
2. Where that file is damaged, the set's own links say which entries, bundles and client copies it needs; that
   is asked only for a set in use, because a damaged set that nobody runs on is dead anyway.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["References", "of_links", "read_references", "users"]

_DESCRIPTION_BYTES: Final = 16 << 20
_LINK: Final = re.compile(r"(?:^|/)(?:wheels|bundles|client)/([0-9a-f]{16,64})(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What one set depends on."""

    names: frozenset[str]
    """Digests of its entries, of its bundles and of its client copy."""
    bundles: frozenset[str]
    lock: Path | None
    """The lockfile it was made from."""
    made: int
    """When it was published, seconds since the epoch."""


def read_references(path: Path) -> References | None:
    """Return what `set.json` in the set's directory says; None when it is missing or damaged."""
    try:
        with files.open_directory(path) as descriptor:
            content = json.loads(files.read_small("set.json", _DESCRIPTION_BYTES, dir_fd=descriptor))
            made = int(os.lstat("set.json", dir_fd=descriptor).st_mtime)
        bundles = frozenset(content.get("bundles", ()))
        return References(names=_names(content), bundles=bundles, lock=_lock(content), made=made)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def of_links(path: Path) -> frozenset[str]:
    """Return the names of what the links anywhere in a set lead to, as `References.names`; OSError."""
    return frozenset(match[1] for target in _links(path) for match in _LINK.finditer(target))


def users(root: Path, name: str) -> Iterator[Path]:
    """Yield the sets of the store `root` that need an entry, a bundle or a client copy.

    Their description tells, or else their links.
    """
    try:
        sets = os.listdir(root / "sets")
    except FileNotFoundError:
        return
    for one in sets:
        path = root / "sets" / one
        found = read_references(path)
        try:
            names = of_links(path) if found is None else found.names
        except OSError:
            continue  # gone meanwhile
        if name in names:
            yield path


def _names(content: dict[str, Any]) -> frozenset[str]:
    entries, bundles, client = content["entries"], content.get("bundles", []), content.get("client")
    names = [*entries, *bundles, *([client] if client else [])]
    if (
        not isinstance(entries, list)
        or not isinstance(bundles, list)
        or not all(isinstance(name, str) for name in names)
    ):
        raise TypeError("a digest that is no text")
    return frozenset(names)


def _lock(content: dict[str, Any]) -> Path | None:
    lock = content.get("lock")
    return Path(lock) if lock else None


def _links(path: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for _, directories, names, descriptor in os.fwalk(path, onerror=fail):
        for name in directories + names:
            try:
                yield os.readlink(name, dir_fd=descriptor)
            except OSError:
                if not os.path.lexists(path):
                    raise
