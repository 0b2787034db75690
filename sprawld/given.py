"""Sets that were given for selections, for the same selection in another place.

1. Nothing is believed of a set but that it was the answer: that it, its index and all it needs are still
   there is asked each time. Who asks holds the set's name.
2. Only selections count whose files are all named by sha256: then the entries are decided by them alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .hotpath import check_of
from .model import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .hotpath import Check
    from .model import Choice, Digest, PathSet
    from .standing import Standing
    from .store.tree import Store

__all__ = ["Given", "GivenSets"]

_KEPT: Final = 64
"""Each holds its index, some 10 kB."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one selection gave."""

    twin: object
    path_set: PathSet
    digests: list[Digest]
    """Of its entries."""
    index: Check
    """Of the set's index as it was."""


class GivenSets:
    """The sets that were given lately; `keep` and `stands` look at files."""

    def __init__(self, store: Store, standing: Standing) -> None:
        self._store = store
        self._standing = standing
        self._given: OrderedDict[int, Given] = OrderedDict()
        """By the id of the twin, which they keep alive."""

    def keep(self, twin: object, choices: Iterable[Choice], path_set: PathSet, digests: list[Digest]) -> None:
        """Remember what the selection `twin` of these packages gave; nothing for None."""
        if twin is None or not all(one.artifact and digest_of(one.artifact) for one in choices):
            return
        self._given[id(twin)] = Given(twin, path_set, digests, check_of(str(path_set.path / "index")))
        if len(self._given) > _KEPT:
            self._given.popitem(last=False)

    def get(self, twin: object) -> Given | None:
        """Return what the selection gave before, whether it is still there or not."""
        return None if twin is None else self._given.get(id(twin))

    def stands(self, given: Given) -> bool:
        """Tell whether the set and all it needs are as they were."""
        path_set = given.path_set
        return (
            self._store.has_set(path_set.digest)
            and self._standing.stands(path_set.digest)
            and check_of(given.index[0]) == given.index
        )
