"""The store's budget: which sets have to go so that what stays takes no more room than it may.

1. Sets go in the order of their last use, the longest unused first, and only as many as it takes. What frees
   room are the entries that no remaining set uses; a set whose going frees none stays.
2. Sizes are those of the entries' contents and of their packs; sets are links and count for nothing.
3. Leased, held, new and pinned sets are no candidates. Where they alone are too much, the budget is not kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .reserve import free_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["Budget", "choose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the store may take. None stands for no limit."""

    max_bytes: int | None = None
    """Content of all entries, and all packs."""
    min_free: int | None = None
    """Bytes to leave free on the file system."""
    free: int = 0
    """Bytes that are free now."""

    @classmethod
    def of(cls, root: Path, max_bytes: int | None, min_free: int | None) -> Budget | None:
        """Return the budget for the store at `root` as the disk is now; None where nothing is limited."""
        if max_bytes is None and min_free is None:
            return None
        return cls(max_bytes=max_bytes, min_free=min_free, free=free_bytes(root))

    def excess(self, total: int) -> int:
        """Return how many of `total` bytes of entries have to go; 0 or less when it fits."""
        by_size = 0 if self.max_bytes is None else total - self.max_bytes
        by_disk = 0 if self.min_free is None else self.min_free - self.free
        return max(by_size, by_disk)


def choose(
    budget: Budget,
    sizes: Mapping[str, int],
    going: Collection[str],
    entries_of: Mapping[str, Collection[str]],
    last_use: Mapping[str, int],
) -> list[str]:
    """Return the sets to give up, in the order in which they go.

    sizes: bytes of every entry. going: entries that are dead already. entries_of: what each remaining set
    refers to. last_use: seconds since the epoch, of the sets that may go.
    """
    excess = budget.excess(sum(sizes.values())) - sum(sizes.get(digest, 0) for digest in going)
    users = Counter(digest for digests in entries_of.values() for digest in digests)
    chosen = []
    for name in sorted(last_use, key=lambda name: (last_use[name], name)):
        if excess <= 0:
            break
        chosen.append(name)
        for digest in entries_of[name]:
            users[digest] -= 1
            if not users[digest] and digest not in going:
                excess -= sizes.get(digest, 0)
    for name in reversed(chosen[:]):
        # With what was chosen after it gone as well, does this one have to go?
        back = sum(sizes.get(digest, 0) for digest in entries_of[name] if not users[digest])
        if excess + back <= 0 or not back:
            chosen.remove(name)
            excess += back
            users.update(entries_of[name])
    return chosen
