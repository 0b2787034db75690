"""Credentials that only a client has: told to a daemon that was refused, and kept to their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.index import SimpleIndex
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


def test_a_daemon_that_has_none_is_told_when_an_index_refuses(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha.py": "WHO = 'alpha'\n"})
    index.add(wheel)
    index.auth = ("me", "sesame")
    project = sandbox.project("one", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
    code = "import alpha; print(alpha.WHO)"
    named = {"VIRTUAL_SPRAWL_INDEX": "", "UV_DEFAULT_INDEX": f"corp={index.url}"}

    def run(**variables: str) -> tuple[int, str, str]:
        done = sandbox.sprawl("run", "-c", code, cwd=project, env=named | variables, check=False)
        return done.returncode, done.stdout, done.stderr

    # The daemon is started without any, and stays.
    assert "[index.unauthorized]" in run()[2]
    other = {"UV_INDEX_OTHER_USERNAME": "me", "UV_INDEX_OTHER_PASSWORD": "sesame"}
    assert "[index.unauthorized]" in run(**other)[2], "the credentials of another index"
    wrong = {"UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "wrong"}
    assert "[index.unauthorized]" in run(**wrong)[2]
    assert run(**(wrong | {"UV_INDEX_CORP_PASSWORD": "sesame"})) == (0, "alpha\n", "")
    assert run() == (0, "alpha\n", "")
    with SimpleIndex([wheel]) as second:
        locked = [f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"]
        named["UV_DEFAULT_INDEX"] = f"elsewhere={second.url}"
        sandbox.ctl("gc", "--max-age", "0", env=named)
        (project / "requirements.txt").write_text("\n".join([*locked, ""]))
        run()
        assert not any("Authorization" in seen.headers for seen in second.log)
    found = [path for path in sandbox.store.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    assert found == [], "in the memory of the daemon only"
    assert "sesame" not in sandbox.log()
