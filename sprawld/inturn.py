"""Starts many jobs of a task group, so many at a time: a job that only waits for its turn is no task yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

__all__ = ["start_in_turn"]


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
