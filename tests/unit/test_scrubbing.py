"""The scrub: finds decay in idle time, goes on where the last daemon was, mends only where it may."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sprawld import scrubbing
from sprawld.config import Config
from sprawld.parts import Parts
from sprawld.scrubbing import Scrubber
from sprawld.server import Server
from tests.support import entries
from tests.support.entries import SITE

NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(scrubbing, "BYTES_PER_SECOND", 1 << 60)


def run(tmp_path: Path, work: Callable[[Parts], Awaitable[object]], **options: Any) -> None:
    """Run `work` with the parts of a daemon whose store has four entries."""

    async def main() -> None:
        config = Config(store=tmp_path / "store", socket=tmp_path / "sock", **options)
        parts = Parts(config, {"HOME": str(tmp_path)}, Server())
        for name in NAMES:
            entries.publish_entry(parts.store, name)
        try:
            await work(parts)
        finally:
            await parts.close()

    asyncio.run(main())


async def one_round(parts: Parts) -> dict[str, Any]:
    with ThreadPoolExecutor(1) as pool:
        await parts.scrubber.one_round(pool)
    return parts.scrubber.statistics()


def spoil(parts: Parts, digest: str) -> Path:
    path = next((parts.store.entry_path(digest) / SITE).rglob("*.py"))
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    path.chmod(0o444)
    return path


def test_decay_is_found_and_shown(tmp_path: Path) -> None:
    async def work(parts: Parts) -> None:
        sound = await one_round(parts)
        assert (sound["running"], sound["done"], sound["total"], sound["problems"]) == (False, 4, 4, [])
        assert sound["bytes"] > 0
        assert sound["finished"] is not None
        path = spoil(parts, min(parts.store.entries()))
        found = await one_round(parts)
        assert [(problem["kind"], problem["path"]) for problem in found["problems"]] == [
            ("changed", str(path))
        ]
        assert found["problems"][0]["status"] == "found"
        assert path.exists(), "nobody allowed a repair"
        # What a verify has repaired since, or did not find any more, is shown no longer.
        parts.scrubber.learn({"level": "quick", "sound": True, "problems": []})
        assert parts.scrubber.statistics()["problems"]
        mended = {"path": str(path), "status": "repaired"}
        parts.scrubber.learn({"level": "quick", "sound": True, "problems": [mended]})
        assert parts.scrubber.statistics()["problems"] == []

    run(tmp_path, work)


def test_a_repair_is_tried_where_the_user_wants_one(tmp_path: Path) -> None:
    async def work(parts: Parts) -> None:
        path = spoil(parts, min(parts.store.entries()))
        found = await one_round(parts)
        # There is no index that would have it: without a source nothing moves.
        assert found["problems"][0]["status"] in ("no source", "failed")
        assert path.exists()

    run(tmp_path, work, scrub="repair", index="http://127.0.0.1:9/simple/")


def test_the_next_daemon_goes_on_where_the_last_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    step = Scrubber._step

    async def counted(self: Scrubber, pool: ThreadPoolExecutor, kind: str, name: str) -> int:
        if len(looked_at) == 2:
            raise asyncio.CancelledError
        looked_at.append(name)
        return await step(self, pool, kind, name)

    monkeypatch.setattr(Scrubber, "_step", counted)

    async def interrupted(parts: Parts) -> None:
        with pytest.raises(asyncio.CancelledError):
            await one_round(parts)
        assert parts.scrubber.statistics()["running"]

    run(tmp_path, interrupted)
    first = looked_at[:]

    async def goes_on(parts: Parts) -> None:
        looked_at[:] = []
        parts.scrubber._round = parts.scrubber._read()
        looked_at.extend(["pretended"])
        with pytest.raises(asyncio.CancelledError):
            await one_round(parts)
        assert looked_at[1:] == sorted(parts.store.entries())[2:3]

    run(tmp_path, goes_on)
    assert len(first) == 2
    record = json.loads((tmp_path / "store/scrub.json").read_text())
    assert record["done"] == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"began": "x"}', "\0" * 100])
def test_a_record_that_makes_no_sense_is_begun_anew(tmp_path: Path, content: str) -> None:
    async def work(parts: Parts) -> None:
        (parts.store.root / "scrub.json").write_text(content)
        parts.scrubber._round = parts.scrubber._read()
        assert (await one_round(parts))["done"] == 4

    run(tmp_path, work)


def test_it_waits_while_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "QUIET_SECONDS", 0.01)
    quiet = iter([0.0, 0.005, 1.0, 0.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(Server, "quiet_seconds", property(lambda server: next(quiet)))

    async def work(parts: Parts) -> None:
        assert (await one_round(parts))["done"] == 4

    run(tmp_path, work)
    assert list(quiet) == []


def test_a_round_comes_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    async def work(parts: Parts) -> None:
        done = await one_round(parts)
        scrub = asyncio.create_task(parts.scrubber.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert parts.scrubber.statistics() == done, "the week is not over"
        scrub.cancel()
        await asyncio.wait([scrub])
        path = parts.store.root / "scrub.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"finished": time.time() - 8 * 86400}))
        scrub = asyncio.create_task(parts.scrubber.run())
        while not (parts.scrubber.statistics()["finished"] or 0) > done["finished"]:
            await asyncio.sleep(0)
        scrub.cancel()
        await asyncio.wait([scrub])

    run(tmp_path, work)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="threads have no priority of their own")
def test_the_reading_has_the_lowest_priority() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def priority() -> int:
        import threading

        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    with ThreadPoolExecutor(1, initializer=scrubbing._lower_priority) as pool:
        assert pool.submit(priority).result() == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
