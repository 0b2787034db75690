"""What a set knows of its bundles: where the paths of entries lie in them, and whose each part is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprawld.store.bundles import read_record

from .bundle import SITE_PACKAGES, is_bundled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sprawld.store.bundles import BundleRecord

    from .merge import Conflict

__all__ = ["Bundled"]


@dataclass(frozen=True, slots=True)
class Bundled:
    """The bundles of one set."""

    _records: Mapping[str, BundleRecord]
    _bundle_of: Mapping[str, str]
    """Digest of an entry -> its bundle."""

    @classmethod
    def of(cls, store_root: Path, names: Iterable[str]) -> Bundled:
        """Read what the bundles say of themselves; StoreError `store.damaged`."""
        records = {name: read_record(store_root, name) for name in names}
        return cls(records, {digest: name for name, record in records.items() for digest in record.entries})

    @property
    def names(self) -> Iterable[str]:
        """Return the digests of the bundles."""
        return self._records.keys()

    def path(self, path: str) -> str:
        """Return where something of an entry, `wheels/<sha256>/...`, lies in a bundle; empty if in none."""
        kind, _, rest = path.partition("/")
        digest, _, inner = rest.partition("/")
        name = self._bundle_of.get(digest) if kind == "wheels" else None
        return f"bundles/{name}/{inner}" if name and is_bundled(inner) else ""

    def owners(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield what of a path in the store lies in one entry alone: the rest of its path, the entry."""
        kind, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if kind == "wheels":
            yield "", name
        elif kind == "bundles":
            for place, digest in self._records[name].owners.items():
                if place == inner or inner.startswith(f"{place}/"):
                    yield "", digest
                elif place.startswith(f"{inner}/"):
                    yield place[len(inner) :], digest

    def conflicts(self, found: Iterable[Conflict], site_packages: str) -> list[dict[str, Any]]:
        """Return the conflicts of a set and of its bundles as `set.json` has them, sorted by path."""
        told = {conflict.path: conflict.record() for conflict in found}
        for record in self._records.values():
            for conflict in record.conflicts:
                path = conflict["path"]
                if path.startswith(f"{SITE_PACKAGES}/"):
                    path = site_packages + path[len(SITE_PACKAGES) :]
                told.setdefault(path, {**conflict, "path": path})
        return [told[path] for path in sorted(told)]
