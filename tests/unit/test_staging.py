"""Staging directories of coroutines: none stays in tmp/, whoever is cancelled, whatever the disk refuses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sprawld.store import failpoints
from sprawld.store.staging import Staging, to_the_end
from sprawld.store.tree import Store


class SlowStore(Store):
    """A store on a disk that takes its time."""

    asked = threading.Event()
    goes_on = threading.Event()

    def new_staging(self, prefix: str) -> Path:
        self.asked.set()
        assert self.goes_on.wait(30)
        return super().new_staging(prefix)


@pytest.fixture
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.install(None)


def test_a_directory_that_was_being_made_when_its_caller_was_cancelled_is_removed(tmp_path: Path) -> None:
    store = SlowStore.open(tmp_path / "store")
    assert isinstance(store, SlowStore)

    async def main() -> None:
        task = asyncio.create_task(Staging(store).new("wheel"))
        assert await asyncio.to_thread(store.asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.goes_on.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)
        await asyncio.sleep(0)  # the callbacks of what is done

    asyncio.run(main())
    assert os.listdir(store.root / "tmp") == []


def test_a_caller_that_is_cancelled_before_a_thread_is_free_removes_all_the_same(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    goes_on = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        staging = Staging(store)
        path = await staging.new("wheel")
        blocked = loop.run_in_executor(None, goes_on.wait, 30)
        task = asyncio.create_task(staging.remove(path))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert path.exists()
        goes_on.set()
        assert await blocked

    asyncio.run(main())
    assert os.listdir(store.root / "tmp") == []


def test_what_the_disk_refuses_to_remove_goes_before_the_next_is_made(
    tmp_path: Path, no_failpoints: None
) -> None:
    store = Store.open(tmp_path / "store")

    async def main() -> None:
        staging = Staging(store)
        path = await staging.new("wheel")
        failpoints.install(failpoints.hook_from("discard.before-rename:eio"))
        await staging.remove(path)
        assert path.exists()
        failpoints.install(None)
        other = await staging.new("wheel")
        assert os.listdir(store.root / "tmp") == [other.name]

    asyncio.run(main())


def test_work_that_has_to_be_done_outlives_its_caller() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    done = []

    def work() -> None:
        begun.set()
        assert goes_on.wait(30)
        done.append(True)

    async def main() -> None:
        task = asyncio.create_task(to_the_end(work))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done

    asyncio.run(main())
