"""Many clients at once, and a daemon that is killed at any moment: nothing fetched twice, nothing torn."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sprawld.store.manifest import read_manifest
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

CLIENTS = 20
WHEELS = 8
KILLS = int(os.environ.get("VIRTUAL_SPRAWL_TEST_KILLS", "12"))
"""Kills at random moments in one run of the suite; set it to 50 or more for a long run."""
CODE = (
    f"import sys\nfrom importlib import import_module\n"
    f"print(sum(import_module(f'part{{n}}').VALUE for n in range({WHEELS})))"
)


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    lines = []
    for number in range(WHEELS):
        # Data that does not compress, so that a run has something to be interrupted in.
        data = random.Random(number).randbytes(600_000)
        files = {f"part{number}/__init__.py": f"VALUE = {number}\n", f"part{number}/data.bin": data}
        files |= {f"part{number}/m{item}.py": f"X = {item}\n" for item in range(40)}
        wheel = build_wheel(tmp_path, f"part{number}", "1.0", files)
        index.add(wheel)
        lines.append(f"part{number}==1.0 --hash=sha256:{index.sha256(wheel.name)}")
    return sandbox.project("parts", {}, lines)


def expect_whole_entries(sandbox: Sandbox) -> int:
    """Compare every file of every visible entry with its manifest; return the number of entries."""
    entries = sorted((sandbox.store / "wheels").iterdir())
    for entry in entries:
        listed = {file.path: file for file in read_manifest(entry / "manifest").files}
        found = {
            str(path.relative_to(entry)) for path in entry.rglob("*") if path.is_file() or path.is_symlink()
        }
        assert found == {*listed, "manifest"}
        for name, file in listed.items():
            assert hashlib.sha256((entry / name).read_bytes()).hexdigest() == file.digest
    return len(entries)


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
