"""A user's mistakes and the world's: one line with a code, no traceback, nothing half-made in the store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.faults import truncated
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

EXIT_REFUSED = 125


def refused(sandbox: Sandbox, directory: Path, code: str, *words: str) -> str:
    """Run in a directory both ways; both must refuse with one line that carries the code."""
    outcome = sandbox.sprawl("run", "-c", "print('ran')", cwd=directory, check=False)
    hooked = sandbox.run(
        sys.executable, "-c", "print('ran')", cwd=directory, check=False, env={"VIRTUAL_SPRAWL": "1"}
    )
    for end in (outcome, hooked):
        assert end.stdout == ""
        assert end.returncode == EXIT_REFUSED
        (line,) = end.stderr.splitlines()
        assert f"[{code}]" in line
        for word in words:
            assert word in line
    store = sandbox.status()["store"]
    assert (store["entries"], store["sets"]) == (0, 0)
    assert list((sandbox.store / "tmp").iterdir()) == []
    return outcome.stderr


@pytest.fixture
def wheel(tmp_path: Path, index: SimpleIndex) -> Path:
    path = build_wheel(tmp_path, "alpha", "1.0")
    index.add(path)
    return path


def test_a_lockfile_that_does_not_parse(sandbox: Sandbox) -> None:
    project = sandbox.project("p", {"uv.lock": "version = \n"})
    refused(sandbox, project, "lock.syntax", "uv.lock")


def test_a_wheel_with_another_hash(sandbox: Sandbox, index: SimpleIndex, wheel: Path) -> None:
    index.add(wheel, sha256="0" * 64)
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{'0' * 64}"])
    refused(sandbox, project, "fetch.hash-mismatch", "alpha-1.0-py3-none-any.whl")


def test_no_wheel_for_this_interpreter(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    other = build_wheel(tmp_path, "alpha", "1.0", tag="cp27-cp27m-win32")
    index.add(other)
    digest = index.sha256(other.name)
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{digest}"])
    refused(sandbox, project, "select.no-wheel", "alpha")


def test_an_index_that_is_not_there(sandbox: Sandbox) -> None:
    sandbox.environ["VIRTUAL_SPRAWL_INDEX"] = "http://127.0.0.1:9/simple/"
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{'0' * 64}"])
    refused(sandbox, project, "index.unreachable", "127.0.0.1:9")


def test_an_index_without_the_project(sandbox: Sandbox) -> None:
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{'0' * 64}"])
    refused(sandbox, project, "index.not-found", "alpha")


def test_a_truncated_download(sandbox: Sandbox, index: SimpleIndex, wheel: Path) -> None:
    index.script(index.file_path(wheel.name), truncated(100), forever=True)
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
    refused(sandbox, project, "net.truncated", "alpha")


def test_a_wheel_that_would_leave_its_place(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    evil = build_wheel(tmp_path, "alpha", "1.0", {"../../evil.py": "print('evil')"})
    index.add(evil)
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(evil.name)}"])
    refused(sandbox, project, "zip.path-traversal", "alpha")


def test_no_lockfile(sandbox: Sandbox) -> None:
    project = sandbox.project("p", {"script.py": "print('ran')"})
    outcome = sandbox.sprawl("run", project / "script.py", check=False)
    assert outcome.returncode == EXIT_REFUSED
    assert "[lock.not-found]" in outcome.stderr
    assert f"no lockfile from {project} up to " in outcome.stderr
    assert sandbox.sprawl("select", project, check=False).stderr == outcome.stderr
    # The hook may be switched on for a whole session: where there is no lockfile it does nothing.
    hooked = sandbox.run(sys.executable, project / "script.py", env={"VIRTUAL_SPRAWL": "1"})
    assert (hooked.stdout, hooked.stderr) == ("ran\n", "")


def test_offline_without_the_packages(sandbox: Sandbox, index: SimpleIndex, wheel: Path) -> None:
    line = f"alpha @ {index.file_url(wheel.name)} --hash=sha256:{index.sha256(wheel.name)}"
    project = sandbox.project("p", {}, [line])
    outcome = sandbox.sprawl("run", "--offline", "-c", "print('ran')", cwd=project, check=False)
    assert outcome.returncode == EXIT_REFUSED
    assert "[net.offline]" in outcome.stderr
    code = "import alpha; print('ran')"
    assert sandbox.sprawl("run", "-c", code, cwd=project).stdout == "ran\n"
    assert sandbox.sprawl("run", "--offline", "-c", code, cwd=project).stdout == "ran\n"


def test_a_wheel_file_that_is_not_there(sandbox: Sandbox) -> None:
    outcome = sandbox.sprawl("install", "no-1.0-py3-none-any.whl", check=False)
    assert (outcome.returncode, outcome.stdout) == (EXIT_REFUSED, "")
    assert "[wheel.not-found]" in outcome.stderr


def test_requirements_that_are_not_pinned(sandbox: Sandbox) -> None:
    refused(sandbox, sandbox.project("p", {}, ["alpha>=1.0"]), "lock.not-pinned", "requirements.txt")


def test_on_error_continue_starts_python_all_the_same(sandbox: Sandbox) -> None:
    project = sandbox.project("p", {"uv.lock": "version = \n"})
    environ = {"VIRTUAL_SPRAWL": "1", "VIRTUAL_SPRAWL_ON_ERROR": "continue"}
    outcome = sandbox.run(sys.executable, "-c", "print('ran')", cwd=project, env=environ)
    assert outcome.stdout == "ran\n"
    assert "[lock.syntax]" in outcome.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    big = build_wheel(tmp_path, "alpha", "1.0", {"alpha.bin": os.urandom(3 << 20)})
    index.add(big)
    project = sandbox.project("p", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(big.name)}"])
    sandbox.store.mkdir(parents=True)
    mounted = sandbox.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", sandbox.store, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a tmpfs")
    try:
        refused(sandbox, project, "disk.full")
        sandbox.run("mount", "-o", "remount,size=64m", sandbox.store)
        code = "from importlib.metadata import version; print(version('alpha'))"
        assert sandbox.sprawl("run", "-c", code, cwd=project).stdout == "1.0\n"
    finally:
        sandbox.close()
        sandbox.run("umount", "--lazy", sandbox.store)
