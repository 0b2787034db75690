from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sprawld.errors import LockError, SelectionError
from sprawld.lockfiles.find import Found, find_lock
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.selection import select
from sprawld.model import Environment, Pin, Project, Wanted
from tests.support.locks import DIGEST, PLAIN, linux, names, package, uv_lock, write

ROOT = package("app", source='editable = "."', dependencies='{ name = "a" }')


def found(directory: Path, *packages: str) -> Found:
    write(directory, "uv.lock", uv_lock(ROOT, *packages))
    result = find_lock(directory, home=directory)
    assert result is not None
    return result


def test_find_read_and_select_together(tmp_path: Path) -> None:
    write(tmp_path, "requirements.txt", "a\n")
    write(tmp_path, "pyproject.toml", '[project]\nname = "app"\nversion = "1.0"\n')
    here = found(tmp_path, package("a"))
    selection = select(here, read_lock(here.lock, root=here.root), linux(), PLAIN)
    assert names(selection) == ["a==1.0", "app==1.0"]
    assert [choice.kind for choice in selection.choices] == ["wheel", "editable"]
    assert (selection.lock, selection.format, selection.hashed) == (here.lock, "uv 1.3", True)
    assert selection.project == Project(root=tmp_path, name=selection.choices[1].pin.name, version="1.0")
    assert [item.path.name for item in selection.passed_over] == ["requirements.txt"]


def test_warnings_of_the_reader_are_handed_on(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", '[project]\nname = "app"\ndependencies = ["new"]\n')
    metadata = "[package.metadata]\nrequires-dist = []"
    write(tmp_path, "uv.lock", uv_lock(package("app", source='editable = "."', more=metadata)))
    here = find_lock(tmp_path, home=tmp_path)
    assert here is not None
    (warning,) = select(here, read_lock(here.lock), linux(), PLAIN).warnings
    assert "+new" in warning


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (package("a").replace(f'hash = "sha256:{DIGEST}", ', ""), "lock.hash-missing"),
        (package("a").replace(f"sha256:{DIGEST}", "md5:" + "0" * 32), "lock.hash-weak"),
        (package("a", wheel="a-1.0-cp38-cp38-win32.whl"), "select.no-wheel"),
    ],
)
def test_refusals_name_lock_and_package(tmp_path: Path, broken: str, code: str) -> None:
    here = found(tmp_path, broken)
    with pytest.raises((LockError, SelectionError)) as caught:
        select(here, read_lock(here.lock), linux(), PLAIN)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{here.lock}: a 1.0: ")


def test_the_user_may_allow_a_source_without_hashes(tmp_path: Path) -> None:
    here = found(tmp_path, package("a").replace(f'hash = "sha256:{DIGEST}", ', ""))
    selection = select(here, read_lock(here.lock), linux(), PLAIN, allow_weak=("files.example.org",))
    assert selection.choices[0].artifact is not None
    assert selection.choices[0].artifact.hashes == ()


def test_a_reader_that_selects_a_name_twice_is_not_believed(tmp_path: Path) -> None:
    here = found(tmp_path, package("a"))
    lock = read_lock(here.lock)

    @dataclass(frozen=True)
    class Twice:
        path: Path = here.lock
        format: str = "test"
        hashed: bool = True
        project: Project = lock.project
        inputs: tuple[Path, ...] = ()

        def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
            first, *rest = lock.select(environment, wanted)
            return (first, replace(first, version="2.0"), *rest)

    with pytest.raises(LockError) as caught:
        select(here, Twice(), linux(), PLAIN)
    assert caught.value.code == "lock.duplicate-package"
