"""Entries that somebody deleted by hand come back with the next run, whoever answers it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


def keep_running(sandbox: Sandbox) -> None:
    assert sandbox.status()["pid"]


@pytest.mark.parametrize(
    "daemon", [keep_running, lambda sandbox: sandbox.kill_daemon()], ids=["runs", "died"]
)
def test_an_entry_that_was_deleted_comes_back(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path, daemon: Callable[[Sandbox], None]
) -> None:
    lines = []
    for name in ("alpha", "beta"):
        wheel = build_wheel(tmp_path, name, "1.0", {f"{name}/__init__.py": f"WHO = '{name}'\n"})
        index.add(wheel)
        lines.append(f"{name}==1.0 --hash=sha256:{index.sha256(wheel.name)}")
    project = sandbox.project("one", {"script.py": "import alpha, beta\nprint(alpha.WHO, beta.WHO)\n"}, lines)
    for _ in range(2):
        assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha beta\n"
    fetched = index.requests.total()
    lost = sandbox.store / "wheels" / lines[0].rpartition(":")[2]
    lost.chmod(0o755)
    for path in lost.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(lost)
    daemon(sandbox)
    for _ in range(2):
        assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "alpha beta\n"
    assert lost.is_dir()
    # The wheel, and no page: where the file lies was seen before.
    assert index.requests.total() == fetched + 1
    assert sandbox.ctl("verify", "--all")["problems"] == []
