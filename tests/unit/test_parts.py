"""The budget in idle time: armed by a publication, put off while somebody waits, never without a limit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sprawld import parts as module
from sprawld.config import Config
from sprawld.parts import Parts
from sprawld.server import Server
from sprawld.store import gc
from tests.support import entries


def run(tmp_path: Path, work: Callable[[Parts], object], **limits: int) -> None:
    """Run `work` with the parts of a daemon, and then everything that they have put off."""

    async def main() -> None:
        config = Config(store=tmp_path / "store", socket=tmp_path / "sock", **limits)
        parts = Parts(config, {"HOME": str(tmp_path)}, Server())
        lock = tmp_path / "uv.lock"
        lock.touch()
        entries.publish_entry(parts.store, "one")
        entries.publish_set(parts.store, ["one"], lock)
        work(parts)
        while parts._timers or parts._chores:
            await asyncio.sleep(0)
        await parts.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GC_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(module, "SYNC_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(gc, "GRACE_SECONDS", -1.0)


def left(tmp_path: Path) -> int:
    return len(os.listdir(tmp_path / "store" / "sets"))


def publish(parts: Parts) -> None:
    parts._later("publish", 0.0, parts.sync_soon)


def test_a_publication_over_the_budget_is_followed_by_a_gc(tmp_path: Path) -> None:
    run(tmp_path, publish, gc_max_size=1)
    assert left(tmp_path) == 0


def test_what_fits_stays(tmp_path: Path) -> None:
    run(tmp_path, publish, gc_max_size=1 << 30)
    assert left(tmp_path) == 1


def test_without_a_limit_nothing_is_collected(tmp_path: Path) -> None:
    run(tmp_path, publish)
    assert left(tmp_path) == 1


def test_without_a_publication_nothing_is_armed(tmp_path: Path) -> None:
    run(tmp_path, lambda parts: None, gc_max_size=1)
    assert left(tmp_path) == 1


def test_it_waits_until_nobody_waits_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [True, True, False]
    monkeypatch.setattr(Server, "busy", property(lambda server: answers.pop(0)))
    run(tmp_path, publish, gc_max_size=1)
    assert answers == []
    assert left(tmp_path) == 0
