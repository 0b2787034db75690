"""Leases of programs: through fork, exec and the death of the daemon, to the last process and no longer."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

FORKED = """\
import os, sys
import alpha
if os.fork():
    os._exit(0)
print('up', flush=True)
sys.stdin.readline()
import alpha.late
print(alpha.late.X, flush=True)
"""
EXECUTED = """\
import os, sys
code = "import sys; print('up', flush=True); input(); import alpha.late; print(alpha.late.X)"
os.execv(sys.executable, [sys.executable, "-c", code])
"""


@pytest.mark.parametrize("program", [FORKED, EXECUTED], ids=["fork", "exec"])
def test_gc_of_a_new_daemon_leaves_alone_what_runs(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path, program: str
) -> None:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": "", "alpha/late.py": "X = 7\n"})
    index.add(wheel)
    locked = f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"
    project = sandbox.project("one", {"script.py": program}, [locked])
    running = sandbox.start("sprawl", "run", "script.py", cwd=project, stdin=subprocess.PIPE)
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    sandbox.kill_daemon()
    shutil.rmtree(project)
    report = sandbox.ctl("gc", "--max-age", "0")
    assert (report["sets"], report["entries"]) == (0, 0)
    assert sandbox.status()["store"]["leased"] == 1
    running.stdin.write("\n")
    running.stdin.flush()
    assert running.stdout.readline() == "7\n"
    # The end of its output is the end of the last process that has it.
    assert running.communicate()[0] == ""
    report = sandbox.ctl("gc", "--max-age", "0")
    assert (report["sets"], report["entries"]) == (1, 1)
