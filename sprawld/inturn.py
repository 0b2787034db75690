"""The order of many jobs, and their start, so many at a time: one that waits for its turn is no task yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

__all__ = ["large_first", "start_in_turn"]

_T = TypeVar("_T")
_SMALL_BETWEEN: Final = 8
"""Half of what is fetched at once."""


async def start_in_turn(
    group: asyncio.TaskGroup, jobs: Iterable[Callable[[], Coroutine[Any, Any, object]]], most: int
) -> None:
    """Start all jobs in `group`, in order and at most `most` at once; returns when the last one has started.

    A task that does nothing but wait takes 10 kB; a lock may have thousands of packages.
    """
    places = asyncio.Semaphore(most)
    for job in jobs:
        await places.acquire()
        group.create_task(job()).add_done_callback(lambda task: places.release())


def large_first(items: Iterable[_T], size: Callable[[_T], int]) -> list[_T]:
    """Order by falling size, with some of the smallest between the first.

    The longest download and unpacking decide when all are done. But while the largest arrive, all at once,
    nothing could be unpacked.
    """
    ranked = sorted(items, key=size, reverse=True)
    few = min(_SMALL_BETWEEN, len(ranked) // 2)
    small = [ranked.pop() for _ in range(few)]
    for position, item in enumerate(small):
        ranked.insert(2 * position + 1, item)
    return ranked
