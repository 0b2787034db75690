"""One running task per key, any number of waiters."""

from __future__ import annotations

import asyncio

import pytest

from sprawld.singleflight import SingleFlight


def test_waiters_share_one_run() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        gate = asyncio.Event()
        runs = 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            await gate.wait()
            return 42

        waiters = [asyncio.create_task(flights.run("wheel", work)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*waiters) == [42] * 20
        assert (runs, flights.started, flights.joined) == (1, 1, 19)
        assert "wheel" not in flights

    asyncio.run(scenario())


def test_a_failure_reaches_all_and_is_forgotten() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, int] = SingleFlight()

        async def fail() -> int:
            await asyncio.sleep(0)
            raise OSError("no")

        async def succeed() -> int:
            return 1

        outcomes = await asyncio.gather(
            flights.run("wheel", fail), flights.run("wheel", fail), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
        assert await flights.run("wheel", succeed) == 1

    asyncio.run(scenario())


def test_the_task_ends_only_with_its_last_waiter() -> None:
    async def scenario() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        gate = asyncio.Event()
        cancelled = False

        async def work() -> int:
            nonlocal cancelled
            try:
                await gate.wait()
            except asyncio.CancelledError:
                cancelled = True
                raise
            return 7

        first = asyncio.create_task(flights.run("wheel", work))
        second = asyncio.create_task(flights.run("wheel", work))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not cancelled
        assert "wheel" in flights
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert "wheel" not in flights
        await asyncio.sleep(0)
        assert cancelled

    asyncio.run(scenario())
