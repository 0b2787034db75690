"""Failpoints of a real daemon: nothing without the option; with it, a repair that is cut in half heals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemons import NEVER
from tests.support.faults import stalled
from tests.support.index import SimpleIndex
from tests.support.sandbox import Sandbox
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.functional

VARIABLE = "SPRAWL_TEST_FAILPOINT"


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": "WHO = 'alpha'\n"})
    index.add(wheel)
    locked = f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"
    return sandbox.project("one", {"script.py": "import alpha\nprint(alpha.WHO)\n"}, [locked])


@contextmanager
def daemon(sandbox: Sandbox, *options: str, failpoint: str) -> Iterator[subprocess.Popen[str]]:
    """Start a daemon by hand and wait until it listens."""
    reader, writer = os.pipe()
    words = ["sprawld", "--ready-fd", str(writer), *options]
    process = sandbox.start(*words, env={VARIABLE: failpoint}, pass_fds=[writer])
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"\n"
        yield process
    finally:
        os.close(reader)
        process.kill()
        process.communicate()


@pytest.mark.parametrize("point", ["fetch.created", "publish.before-rename", "reply.made"])
def test_the_variable_alone_does_nothing(sandbox: Sandbox, project: Path, point: str) -> None:
    with daemon(sandbox, failpoint=f"{point}:kill") as process:
        assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha\n"
        assert process.poll() is None


def test_a_daemon_that_is_to_be_tested_dies_where_it_is_told(sandbox: Sandbox, project: Path) -> None:
    with daemon(sandbox, "--enable-failpoints", failpoint="publish.renamed:kill") as process:
        # The client starts another one, which knows of no failpoint.
        assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha\n"
        assert process.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize("point", ["repair.set-apart", "repair.published"])
def test_a_repair_that_is_killed_half_way_is_made_good(sandbox: Sandbox, project: Path, point: str) -> None:
    """Between its two renames the entry is gone while its set is there."""
    sandbox.sprawl("run", "script.py", cwd=project)
    sandbox.ctl("stop")
    (entry,) = (sandbox.store / "wheels").iterdir()
    source = entry / "lib/python/site-packages/alpha/__init__.py"
    source.chmod(0o644)
    source.write_text("WHO = 'omega'\n")
    source.chmod(0o444)
    with daemon(sandbox, "--enable-failpoints", failpoint=f"{point}:kill") as process:
        outcome = sandbox.run("sprawlctl", "verify", "--all", "--repair", check=False)
        assert outcome.returncode == 3
        assert "[daemon.unreachable]" in outcome.stderr
        assert process.wait(60) == -signal.SIGKILL
    assert entry.exists() == (point == "repair.published")
    # Without a word to anybody: the next run finds what is missing and has it brought in.
    assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha\n"
    assert sandbox.ctl("verify", "--all")["problems"] == []


@pytest.mark.parametrize("point", ["unpack.file-made", "unpack.before-manifest"])
def test_a_daemon_that_dies_while_a_worker_unpacks(sandbox: Sandbox, project: Path, point: str) -> None:
    with daemon(sandbox, "--enable-failpoints", failpoint=f"{point}:kill-parent") as process:
        assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha\n"
        assert process.wait(60) == -signal.SIGKILL
    assert sandbox.ctl("verify", "--all")["problems"] == []


@pytest.mark.parametrize("env", [{}, NEVER], ids=["on-demand", "never"])
def test_a_client_waits_while_the_daemon_dies_between_syncfs_and_the_mark(
    sandbox: Sandbox, project: Path, index: SimpleIndex, tmp_path: Path, env: dict[str, str]
) -> None:
    """What was published first is made durable while the rest is still on its way."""
    wheel = build_wheel(tmp_path, "beta", "1.0", {"beta/__init__.py": ""})
    index.add(wheel)
    with (project / "requirements.txt").open("a") as lock:
        lock.write(f"beta==1.0 --hash=sha256:{index.sha256(wheel.name)}\n")
    index.script(index.file_path(wheel.name), stalled())
    with daemon(sandbox, "--enable-failpoints", failpoint="durable.synced:kill") as process:
        outcome = sandbox.sprawl("run", "script.py", cwd=project, env=env, check=False)
        assert process.wait(60) == -signal.SIGKILL
    if env:
        assert outcome.returncode == 125
        assert "[daemon.unreachable]" in outcome.stderr
    else:
        assert (outcome.stdout, outcome.stderr) == ("alpha\n", "")
    assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha\n"
