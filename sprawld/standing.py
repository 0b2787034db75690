"""Whether the entries of a set still lie where its links lead, though nobody told the daemon that one went.

Somebody may delete a directory of `wheels/` by hand, and a repair that was killed between its two renames has
taken an entry away without bringing the sound one. The set and its ready reply look untouched then.

1. A directory changes whenever a name in it comes or goes. So a stat of `wheels/` and one of `bundles/` say
   that all that stood still stands, and only after a change what a set needs is looked for, once.
2. What is inside an entry is `verify`'s to find.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .store.references import read_references

if TYPE_CHECKING:
    from .store.tree import Store

__all__ = ["Standing"]

_SETS_KNOWN = 4096


class Standing:
    """Remembers for each set in which state of `wheels/` and `bundles/` all that it needs was there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._places = [str(store.root / kind) for kind in ("wheels", "bundles")]
        self._seen: dict[str, list[tuple[int, int, int]]] = {}

    def stands(self, digest: str) -> bool:
        """Tell whether every entry and bundle of a set is there; blocks for two stats, or more."""
        try:
            found = [os.stat(place) for place in self._places]  # noqa: PTH116 - the hot path's own call
        except OSError:
            return False
        state = [(one.st_ino, one.st_ctime_ns, one.st_nlink) for one in found]
        if self._seen.get(digest) == state:
            return True
        references = read_references(self._store.set_path(digest))
        if references is None or not all(map(self._is_there, references.names)):
            self._seen.pop(digest, None)
            return False
        if len(self._seen) >= _SETS_KNOWN:
            self._seen.clear()
        self._seen[digest] = state
        return True

    def _is_there(self, name: str) -> bool:
        # The names are those of entries and bundles, and that of the client copy.
        return any(
            os.path.lexists(self._store.root / kind / name) for kind in ("wheels", "bundles", "client")
        )
