"""Many clients at once, and a daemon that is killed at any moment: nothing fetched twice, nothing torn."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.parts import make_parts, parts_code, torn_entries

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

CLIENTS = 20
WHEELS = 8
KILLS = int(os.environ.get("VIRTUAL_SPRAWL_TEST_KILLS", "12"))
"""Kills at random moments in one run of the suite; set it to 50 or more for a long run."""
CODE = parts_code(WHEELS)


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    lines = make_parts(tmp_path, index, WHEELS)
    return sandbox.project("parts", {}, lines)


def expect_whole_entries(sandbox: Sandbox) -> int:
    """Compare every file of every visible entry with its manifest; return the number of entries."""
    assert torn_entries(sandbox.store) == []
    return len(list((sandbox.store / "wheels").iterdir()))


def test_twenty_clients_on_a_cold_store_fetch_each_wheel_once(
    sandbox: Sandbox, index: SimpleIndex, project: Path
) -> None:
    def client(_: int) -> str:
        return sandbox.sprawl("run", "-c", CODE, cwd=project).stdout

    with ThreadPoolExecutor(CLIENTS) as pool:
        outcomes = list(pool.map(client, range(CLIENTS)))
    assert outcomes == [f"{sum(range(WHEELS))}\n"] * CLIENTS
    fetched = {path: count for path, count in index.requests.items() if path.startswith("/files/")}
    assert fetched == {f"/files/part{number}-1.0-py3-none-any.whl": 1 for number in range(WHEELS)}
    status = sandbox.status()
    assert (status["store"]["entries"], status["store"]["sets"]) == (WHEELS, 1)
    assert expect_whole_entries(sandbox) == WHEELS


def test_a_daemon_killed_at_random_moments_leaves_nothing_torn(
    sandbox: Sandbox, index: SimpleIndex, project: Path
) -> None:
    begun = time.monotonic()
    sandbox.sprawl("run", "-c", CODE, cwd=project)
    whole = time.monotonic() - begun
    moments = random.Random(7)
    for _ in range(KILLS):
        (project / "requirements.txt").rename(project / "away")
        sandbox.ctl("gc", "--max-age", "0")
        (project / "away").rename(project / "requirements.txt")
        assert list((sandbox.store / "wheels").iterdir()) == []
        pid = sandbox.daemon_pid()
        client = sandbox.start("sprawl", "run", "-c", CODE, cwd=project)
        # A random moment is what is tested here; no outcome depends on which one it is.
        time.sleep(moments.uniform(0, whole))
        os.kill(pid, signal.SIGKILL)
        expect_whole_entries(sandbox)
        output, errors = client.communicate(timeout=60)
        # The client asks again by itself: killing the daemon under it is not the user's mistake.
        assert (output, errors) == (f"{sum(range(WHEELS))}\n", "")
        assert sandbox.sprawl("run", "-c", CODE, cwd=project).stdout == output
        assert expect_whole_entries(sandbox) == WHEELS
        # A command that starts the daemon: the run before may have been answered from what was saved.
        assert sandbox.ctl("gc", "--dry-run")["items"] == []
        assert sandbox.status()["store"]["sets"] == 1
    assert list((sandbox.store / "tmp").iterdir()) == []
