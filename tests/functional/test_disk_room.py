"""Room on the disk: a wheel that cannot fit is refused before it is asked for, and gc works without room."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

HUGE = 10**17
"""Bytes; more than any disk has."""


def test_a_wheel_without_room_is_refused_before_the_download(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path, "huge", "1.0", {"huge.py": ""})
    index.add(wheel)
    digest = index.sha256(wheel.name)
    file = {"filename": wheel.name, "url": index.file_url(wheel.name), "hashes": {"sha256": digest}}
    page = {"meta": {"api-version": "1.1"}, "name": "huge", "files": [{**file, "size": HUGE}]}
    index.set_page("huge", json.dumps(page))
    project = sandbox.project("huge", {}, [f"huge==1.0 --hash=sha256:{digest}"])
    outcome = sandbox.sprawl("sync", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[disk.full]" in outcome.stderr
    assert f"{wheel.name} needs {HUGE * 22 // 10} bytes" in outcome.stderr
    assert index.requests[index.file_path(wheel.name)] == 0
    assert list((sandbox.store / "tmp").iterdir()) == []


def test_a_limit_on_the_size_of_files_is_a_full_disk(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path, "large", "1.0", {"large.bin": random.Random(1).randbytes(300_000)})
    index.add(wheel)
    project = sandbox.project("large", {}, [f"large==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
    outcome = sandbox.run("sh", "-c", "ulimit -f 200; exec sprawl sync", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[disk.full]" in outcome.stderr
    assert list((sandbox.store / "wheels").iterdir()) == list((sandbox.store / "tmp").iterdir()) == []


def test_a_daemon_whose_store_was_removed_leaves_the_place_to_another(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path, "small", "1.0", {"small.py": "X = 1\n"})
    index.add(wheel)
    project = sandbox.project("small", {}, [f"small==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
    sandbox.sprawl("run", "-c", "import small", cwd=project)
    before = os.pidfd_open(sandbox.daemon_pid())
    shutil.rmtree(sandbox.store)
    assert sandbox.sprawl("run", "-c", "import small; print(small.X)", cwd=project).stdout == "1\n"
    # The first daemon is gone or about to go, by itself.
    ended = select.poll()
    ended.register(before, select.POLLIN)
    assert ended.poll(60_000)
    os.close(before)
    assert sandbox.status()["store"]["sets"] == 1
