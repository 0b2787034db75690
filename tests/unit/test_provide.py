"""What is on its way into the store leaves nothing in tmp/ when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from sprawld.provide import Provider
from sprawld.store.tree import Store


class SlowStore(Store):
    """A store on a disk that takes its time."""

    asked = threading.Event()
    goes_on = threading.Event()

    def new_staging(self, prefix: str) -> Path:
        self.asked.set()
        assert self.goes_on.wait(30)
        return super().new_staging(prefix)


def test_a_directory_that_was_being_made_when_its_caller_was_cancelled_is_removed(tmp_path: Path) -> None:
    store = SlowStore.open(tmp_path / "store")
    assert isinstance(store, SlowStore)
    provider = Provider.__new__(Provider)
    provider._store = store

    async def main() -> None:
        task = asyncio.create_task(provider._new_staging("wheel-"))
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
