"""Room on the disk: a wheel that cannot fit is refused before it is asked for, and gc works without room."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

HUGE = 10**17
"""Bytes; more than any disk has."""


def test_a_wheel_without_room_is_refused_before_the_download(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path, "huge", "1.0", {"huge.py": ""})
    index.add(wheel)
    digest = index.sha256(wheel.name)
    file = {"filename": wheel.name, "url": index.file_url(wheel.name), "hashes": {"sha256": digest}}
    page = {"meta": {"api-version": "1.1"}, "name": "huge", "files": [{**file, "size": HUGE}]}
    index.set_page("huge", json.dumps(page))
    project = sandbox.project("huge", {}, [f"huge==1.0 --hash=sha256:{digest}"])
    outcome = sandbox.sprawl("sync", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[disk.full]" in outcome.stderr
    assert f"{wheel.name} needs {HUGE * 22 // 10} bytes" in outcome.stderr
    assert index.requests[index.file_path(wheel.name)] == 0
    assert list((sandbox.store / "tmp").iterdir()) == []
