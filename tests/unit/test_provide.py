"""What is on its way into the store leaves nothing in tmp/ when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sprawld.acquire.fetch import Fetched
from sprawld.acquire.job import UnpackJob
from sprawld.config import Config
from sprawld.errors import StoreError
from sprawld.model import Artifact, Digest
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


def provider_of(store: Store, *, fetcher: Any, workers: Any = None) -> Provider:
    """Return a provider of files that lie here: it asks nobody else."""
    nothing: Any = None
    return Provider(
        config=Config(store=store.root, socket=store.root / "sock"),
        store=store,
        first_use=nothing,
        transport=nothing,
        index=nothing,
        fetcher=fetcher,
        workers=workers,
        published=lambda: None,
    )


class Together:
    """A fetcher whose files are there when all are, and workers that note whether a job is alone."""

    def __init__(self, count: int) -> None:
        self._all = asyncio.Barrier(count)
        self.alone: list[bool] = []

    async def fetch(self, artifact: Artifact, staging: Path, **options: object) -> Fetched:
        await self._all.wait()
        return Fetched(path=staging / artifact.filename, sha256=Digest("a" * 64), size=1)

    async def unpack(self, job: UnpackJob) -> NoReturn:
        self.alone.append(job.alone)
        await self._all.wait()
        raise StoreError("store.worker-died", "no worker")


@pytest.mark.parametrize(("count", "alone"), [(1, [True]), (3, [False] * 3)])
def test_a_wheel_is_alone_if_no_other_is_under_way(tmp_path: Path, count: int, alone: list[bool]) -> None:
    async def main() -> None:
        both: Any = Together(count)
        provider = provider_of(Store.open(tmp_path / "store"), fetcher=both, workers=both)
        artifacts = [
            Artifact(filename=f"a{number}-1-py3-none-any.whl", path=tmp_path / f"{number}")
            for number in range(count)
        ]
        work = [provider.provide_file(artifact) for artifact in artifacts]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        assert {getattr(outcome, "code", "") for outcome in outcomes} == {"store.worker-died"}
        assert both.alone == alone

    asyncio.run(main())


def test_a_refused_wheel_whose_request_ends_before_its_directory_is_removed(tmp_path: Path) -> None:
    """As of several wheels for which a disk is too small: the first refusal cancels the others' requests."""
    store = Store.open(tmp_path / "store")

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        fetcher: Any = FullDisk()
        provider = provider_of(store, fetcher=fetcher)
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
