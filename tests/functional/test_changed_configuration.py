"""A configuration that is edited holds from the next run on, whatever daemon, reply or record is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.index import SimpleIndex
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


def test_the_next_run_is_under_the_new_configuration(sandbox: Sandbox, tmp_path: Path) -> None:
    project = sandbox.project("one", {}, ["alpha==1.0"])
    settings = sandbox.home / ".config/virtual-sprawl/config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    with SimpleIndex([build_wheel(tmp_path, "alpha", "1.0", {"alpha.py": ""})]) as index:
        env = {"VIRTUAL_SPRAWL_INDEX": index.url}

        def run(*command: str) -> tuple[int, str]:
            done = sandbox.sprawl(*command, cwd=project, env=env, check=False)
            return done.returncode, done.stderr

        # Over loopback without a hash: plain http is refused, unless a lock with hashes is meant.
        first = run("run", "-c", "import alpha")
        before = sandbox.daemon_pid()
        settings.write_text("require-hashes = true\n")
        code, message = run("run", "-c", "import alpha")
        assert (code, "[lock.hash-missing]" in message) == (125, True), (first, message)
        changed = sandbox.daemon_pid()
        assert changed != before
        # A command is asked again as well, and nothing it began is done twice.
        settings.write_text("require-hashes = false\n")
        code, message = run("select", "--json")
        assert "lock.hash-missing" not in message
        assert sandbox.daemon_pid() != changed
        assert run("run", "-c", "import alpha") == first
        settings.write_text("require-hashs = true\n")
        code, message = run("run", "-c", "import alpha")
        assert (code, "config.invalid" in message) == (125, True)
