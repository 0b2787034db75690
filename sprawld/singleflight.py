"""One running task per key, any number of waiters.

1. The task belongs to this object, not to the waiter that asked first: a waiter that is cancelled leaves the
   others waiting, and the task is cancelled only when the last waiter has left.
2. Success and failure go to every waiter of that flight; nothing is remembered afterwards, so a failure is
   tried again by the next call.
3. The table is changed without an `await` between look-up and insertion.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from typing import Any

__all__ = ["SingleFlight"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class _Flight(Generic[V]):
    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiters = 0


class SingleFlight(Generic[K, V]):
    """Runs at most one coroutine per key at a time and shares its outcome."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}
        self.started = 0
        """Flights started since creation."""
        self.joined = 0
        """Calls that found a flight under way."""

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    def keys(self) -> tuple[K, ...]:
        """Return the keys under way."""
        return tuple(self._flights)

    async def run(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the outcome of `start()` for this key, joining a flight that is under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.get_running_loop().create_task(start()))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
            self.started += 1
        else:
            self.joined += 1
        flight.waiters += 1
        try:
            # shield: cancelling this waiter must not cancel the task under the other ones.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                # Later callers must not join a task that is about to end as cancelled.
                self._forget(key, flight.task)
                flight.task.cancel()

    async def close(self) -> None:
        """Cancel everything under way and wait until it has ended."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            # Fetched so that a failure nobody waits for any more is not reported as never retrieved.
            task.exception()

    def _forget(self, key: K, task: asyncio.Task[V]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
