"""Progress of a cold run on a real terminal: one line that is gone when the program starts."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.sandbox import SCRIPTS
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha.bin": os.urandom(1 << 20)})
    index.add(wheel)
    return sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"])


def on_terminal(sandbox: Sandbox, project: Path, *options: str) -> bytes:
    """Run with standard error on a terminal; return what the terminal got."""
    ours, theirs = pty.openpty()
    command = [str(SCRIPTS / "sprawl"), "run", *options, "-c", "pass"]
    with subprocess.Popen(
        command, cwd=project, env=sandbox.environ | {"TERM": "xterm"}, stdin=subprocess.DEVNULL, stderr=theirs
    ) as running:
        os.close(theirs)
        seen = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux ends a terminal without a writer with EIO
                break
            if not data:
                break
            seen += data
        assert running.wait() == 0
    os.close(ours)
    return seen


def test_a_cold_run_draws_one_line_and_clears_it(sandbox: Sandbox, project: Path) -> None:
    seen = on_terminal(sandbox, project)
    assert b"virtual-sprawl: " in seen
    assert b"0/1" in seen
    assert b"\n" not in seen
    assert seen.endswith(b"\r\x1b[K")
    # Warm: nothing to wait for, nothing to draw.
    assert on_terminal(sandbox, project) == b""


def test_quiet_draws_nothing(sandbox: Sandbox, project: Path) -> None:
    assert on_terminal(sandbox, project, "-q") == b""
