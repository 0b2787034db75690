"""The daemon makes packs of what is run, when nobody waits for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

SCRIPT = "import alpha.tool; print(alpha.tool.WHO, bool(alpha.tool.__loader__.packed))\n"


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    lines = []
    for name in ("alpha", "beta"):
        content = {f"{name}/__init__.py": "", f"{name}/tool.py": f"WHO = '{name}'\n"}
        path = build_wheel(tmp_path, name, "1.0", content)
        index.add(path)
        lines.append(f"{name}==1.0 --hash=sha256:{index.sha256(path.name)}")
    return sandbox.project("one", {"script.py": SCRIPT}, lines)


def finished(sandbox: Sandbox) -> dict[str, Any]:
    """Return what `status` tells of packs as soon as those of the two entries are made."""
    while True:
        packs: dict[str, Any] = sandbox.status()["packs"]
        if packs["count"] >= 2 and not packs["waiting"]:
            return packs


def test_the_second_run_reads_packs(sandbox: Sandbox, project: Path) -> None:
    assert sandbox.sprawl("run", project / "script.py").stdout.startswith("alpha ")
    packs = finished(sandbox)
    assert (packs["count"], packs["built"], packs["failed"]) == (2, 2, 0)
    assert packs["bytes"] == packs["built_bytes"] > 0
    before = sandbox.tree()
    assert sandbox.sprawl("run", project / "script.py").stdout == "alpha True\n"
    assert sandbox.tree() == before
    found = list((sandbox.store / "packs").rglob("*.pack"))
    assert {path.stat().st_mode & 0o777 for path in found} == {0o444}
    assert list((sandbox.store / "tmp").iterdir()) == []


def test_packs_go_with_their_entries(sandbox: Sandbox, project: Path) -> None:
    sandbox.sprawl("run", project / "script.py")
    assert finished(sandbox)["count"] == 2
    shutil.rmtree(project)
    assert sandbox.ctl("gc", "--max-age", "0s")["entries"] == 2
    assert sandbox.status()["packs"]["count"] == 0


def test_the_next_daemon_makes_what_is_missing_and_drops_what_is_left_over(
    sandbox: Sandbox, project: Path
) -> None:
    sandbox.sprawl("run", project / "script.py")
    finished(sandbox)
    sandbox.kill_daemon()
    one, _ = sorted((sandbox.store / "packs").rglob("*.pack"))
    left_over = one.rename(one.with_name("0" * 64 + ".pack"))
    sandbox.sprawl("sync", cwd=project)
    packs = finished(sandbox)
    assert (packs["count"], packs["built"]) == (2, 1)
    assert one.exists()
    assert not left_over.exists()
