"""Which older sets may have the links that a new one needs: it shares them, as further names of the same.

The link to an entry is the same in every set that has it, place and target. One more name of a link takes a
tenth of the time that a disk takes for a new one, and no inode. Nothing here is relied upon: whoever makes
the link looks at what is shared, and makes a new one where the older set is gone or has it otherwise.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["OlderSets"]

_KEPT: Final = 16_384
"""Some 150 bytes each."""


class OlderSets:
    """Sets that were made or given lately, by what they link to: entries, bundles, the client, a Python."""

    def __init__(self, sets: Path) -> None:
        self._sets = os.fspath(sets)
        self._latest: dict[str, str] = {}

    def note(self, name: str, linked: Iterable[str]) -> None:
        """Remember that the set `name` links to these. Thread-safe, as `find` is."""
        if len(self._latest) >= _KEPT:
            self._latest.clear()
        self._latest.update(dict.fromkeys(linked, name))

    def find(self, linked: str) -> str | None:
        """Return the directory of a set that links to this, or did; None if none is known."""
        name = self._latest.get(linked)
        return None if name is None else f"{self._sets}/{name}"
