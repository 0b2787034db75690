"""A bounded number of places at work, given to the largest job that waits."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Slots"]


class Slots:
    """Like a semaphore, but a place that comes free goes to the waiter with the largest size.

    The longest download decides when the last one ends, so it should not be the last to begin.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        # Breaks ties in the order of arrival; futures do not compare.
        self._arrivals = count()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Hold a place inside the block."""
        await self._take(size)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, size: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-size, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was handed over in the same tick that the waiter was cancelled.
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
