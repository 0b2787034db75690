"""A wheel whose RECORD is not true is refused, unless the user's own configuration names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sprawld.store.manifest import read_summary
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

ALLOW = 'allow-bad-record = ["Bad_Record"]\n'


def test_only_the_user_can_allow_it(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    record: dict[str, str | None] = {"bad_record.py": "bad_record.py,sha256=" + "A" * 43 + ",6"}
    wheel = build_wheel(tmp_path, "bad-record", "1.0", {"bad_record.py": "X = 3\n"}, record=record)
    index.add(wheel, project="bad-record")
    # Files of these names are the user's, and mean nothing in a project.
    files = {
        "script.py": "import bad_record; print(bad_record.X)\n",
        "config.toml": ALLOW,
        ".config/virtual-sprawl/config.toml": ALLOW,
        "pyproject.toml": f"[tool.virtual-sprawl]\n{ALLOW}",
    }
    project = sandbox.project("one", files, [f"bad-record==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
    outcome = sandbox.sprawl("run", "script.py", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[record." in outcome.stderr
    assert "allow-bad-record" in outcome.stderr
    assert list((sandbox.store / "wheels").iterdir()) == []
    sandbox.ctl("stop")
    own = sandbox.home / ".config/virtual-sprawl/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(ALLOW)
    sandbox.close()
    assert sandbox.sprawl("run", "script.py", cwd=project).stdout == "3\n"
    (entry,) = (sandbox.store / "wheels").iterdir()
    assert not read_summary(entry / "manifest").record_verified
