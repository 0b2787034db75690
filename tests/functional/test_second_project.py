"""A lock that lies in a second project gives the same set at once, and only while all of the set is there."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.locks import DIGEST, FILES, package, uv_lock
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

PROJECT = '[project]\nname = "app"\nversion = "1.0"\ndependencies = ["alpha"]\n'


@pytest.fixture
def lock(index: SimpleIndex, tmp_path: Path) -> str:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha.py": "WHO = 'alpha'\n"})
    index.add(wheel)
    app = package("app", source='virtual = "."', dependencies='{ name = "alpha" }')
    text = uv_lock(app, package("alpha", source=f'registry = "{index.url}"'))
    here = {
        f"{FILES}/{wheel.name}": index.file_url(wheel.name),
        DIGEST: index.sha256(wheel.name),
        "size = 10": f"size = {wheel.stat().st_size}",
    }
    for before, after in here.items():
        text = text.replace(before, after)
    return text


def make(sandbox: Sandbox, name: str, lock: str) -> Path:
    files = {"uv.lock": lock, "pyproject.toml": PROJECT, "main.py": "import alpha\nprint(alpha.WHO)\n"}
    project = sandbox.project(name, files)
    # What was just written is not believed to be whole; the clock is the file system's.
    until = time.time() + 0.1
    while time.time() < until:
        pass
    return project


def digest(sandbox: Sandbox, project: Path) -> str:
    return str(json.loads(sandbox.sprawl("sync", "--json", cwd=project).stdout)["digest"])


def test_the_same_set_and_nothing_fetched(sandbox: Sandbox, index: SimpleIndex, lock: str) -> None:
    first = digest(sandbox, make(sandbox, "first", lock))
    fetched = index.requests.total()
    second = make(sandbox, "second", lock)
    assert digest(sandbox, second) == first
    assert index.requests.total() == fetched
    assert sandbox.sprawl("run", "main.py", cwd=second).stdout == "alpha\n"


@pytest.mark.parametrize("kind", ["sets", "wheels"])
def test_what_somebody_deleted_is_made_anew(sandbox: Sandbox, lock: str, kind: str) -> None:
    first = digest(sandbox, make(sandbox, "first", lock))
    for path in (sandbox.store / kind).iterdir():
        path.chmod(0o755)
        for below in path.rglob("*"):
            if below.is_dir() and not below.is_symlink():
                below.chmod(0o755)
        shutil.rmtree(path)
    second = make(sandbox, "second", lock)
    assert digest(sandbox, second) == first
    assert sandbox.sprawl("run", "main.py", cwd=second).stdout == "alpha\n"
