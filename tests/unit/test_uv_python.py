"""Pythons that a uv project allows, with the groups that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sprawld.errors import SelectionError
from sprawld.lockfiles.read import read_lock
from sprawld.model import Wanted
from tests.support.locks import PLAIN, linux, names, package, uv_lock, write

if TYPE_CHECKING:
    from pathlib import Path

LOCK = uv_lock(
    package(
        "app",
        source='virtual = "."',
        more="""[package.dev-dependencies]
dev = []
docs = [{ name = "a", marker = "python_full_version >= '3.12'" }]
site = [{ name = "a", marker = "python_full_version >= '3.12'" }]
[package.metadata.requires-dev]
docs = [{ name = "a" }]
""",
    ),
    package("a"),
)
PROJECT = """[project]
name = "app"
version = "1.0"
[dependency-groups]
dev = []
docs = ["a"]
site = [{ include-group = "Docs" }]
loop = [{ include-group = "loop" }, { include-group = 3 }]
[tool.uv.dependency-groups]
docs = { requires-python = ">=3.12" }
dev = {}
"""


@pytest.mark.parametrize(
    ("wanted", "old"),
    [
        (PLAIN, True),
        (Wanted(groups=("docs",)), False),
        (Wanted(only_groups=("site",)), False),
        (Wanted(all_groups=True), False),
        (Wanted(all_groups=True, no_groups=("docs", "site")), True),
    ],
)
def test_an_active_group_may_need_a_newer_python(tmp_path: Path, wanted: Wanted, old: bool) -> None:
    write(tmp_path, "pyproject.toml", PROJECT)
    lock = read_lock(write(tmp_path, "uv.lock", LOCK))
    lock.select(linux("3.12.1"), wanted)
    if old:
        assert names(lock.select(linux("3.11.9"), wanted)) == ["app==1.0"]
        return
    with pytest.raises(SelectionError, match=r"group 'docs' is for Python >=3\.12") as caught:
        lock.select(linux("3.11.9"), wanted)
    assert caught.value.code == "select.requires-python"
    assert "sprawl +" in (caught.value.hint or "")


def test_the_lock_itself_is_told_by_name(tmp_path: Path) -> None:
    lock = read_lock(write(tmp_path, "uv.lock", uv_lock(package("app", source='virtual = "."'))))
    with pytest.raises(SelectionError, match=r"the lock is for Python >=3\.10, this is 3\.9\.1"):
        lock.select(linux("3.9.1"), PLAIN)
