"""What is on its way into the store leaves nothing in tmp/ when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sprawld.errors import StoreError
from sprawld.model import Artifact
from sprawld.provide import Provider
from sprawld.store.tree import Store


class FullDisk:
    """A fetcher for which there is no room, on a machine whose threads are all busy from then on."""

    def __init__(self) -> None:
        self.refused = asyncio.Event()
        self.goes_on = threading.Event()

    async def fetch(self, *words: object, **options: object) -> NoReturn:
        asyncio.get_running_loop().run_in_executor(None, self.goes_on.wait, 30)
        self.refused.set()
        raise StoreError("disk.full", "no room")


def test_a_refused_wheel_whose_request_ends_before_its_directory_is_removed(tmp_path: Path) -> None:
    """As of several wheels for which a disk is too small: the first refusal cancels the others' requests."""
    store = Store.open(tmp_path / "store")
    nothing: Any = None

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        fetcher: Any = FullDisk()
        provider = Provider(
            config=nothing,
            store=store,
            first_use=nothing,
            transport=nothing,
            index=nothing,
            fetcher=fetcher,
            workers=nothing,
            published=lambda: None,
        )
        artifact = Artifact(filename="a-1-py3-none-any.whl", path=tmp_path / "a-1-py3-none-any.whl")
        task = asyncio.create_task(provider.provide_file(artifact))
        await fetcher.refused.wait()
        assert len(os.listdir(store.root / "tmp")) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fetcher.goes_on.set()

    asyncio.run(main())
    assert os.listdir(store.root / "tmp") == []
