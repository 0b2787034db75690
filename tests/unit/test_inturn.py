"""Jobs of a task group that start in turn."""

from __future__ import annotations

import asyncio
import functools

import pytest

from sprawld.inturn import large_first, start_in_turn


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_so_many_at_once() -> None:
    async def run() -> None:
        started: list[int] = []
        ends = [asyncio.Event() for _ in range(5)]

        async def job(number: int) -> None:
            started.append(number)
            await ends[number].wait()

        async with asyncio.TaskGroup() as group:
            jobs = [functools.partial(job, number) for number in range(5)]
            starting = group.create_task(start_in_turn(group, jobs, 2))
            await settle()
            assert started == [0, 1]
            ends[1].set()
            await settle()
            assert started == [0, 1, 2]
            assert not starting.done()
            for end in ends:
                end.set()
        assert started == [0, 1, 2, 3, 4]

    asyncio.run(run())


def test_a_failure_ends_the_waiting() -> None:
    started: list[int] = []

    async def job(number: int) -> None:
        started.append(number)
        if number:
            raise ValueError(number)
        await asyncio.Event().wait()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            await start_in_turn(group, [functools.partial(job, number) for number in (0, 1, 2, 3)], 2)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    assert [str(error) for error in caught.value.exceptions] == ["1"]
    assert started == [0, 1]


def test_large_ones_are_first_with_small_ones_between() -> None:
    sizes = list(range(1, 25))
    found = large_first(sizes, int)
    assert found[:17] == [24, 1, 23, 2, 22, 3, 21, 4, 20, 5, 19, 6, 18, 7, 17, 8, 16]
    assert found[17:] == sorted(found[17:], reverse=True)
    assert sorted(found) == sizes


@pytest.mark.parametrize(
    ("sizes", "ordered"), [([], []), ([7], [7]), ([1, 2], [2, 1]), ([1, 2, 3], [3, 1, 2]), ([0, 0], [0, 0])]
)
def test_few_are_ordered_too(sizes: list[int], ordered: list[int]) -> None:
    assert large_first(sizes, int) == ordered
