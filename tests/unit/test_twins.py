from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sprawld.lockfiles.find import Found, find_lock
from sprawld.lockfiles.overlays import with_overlays
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.selection import select
from sprawld.lockfiles.twins import Twins
from sprawld.model import Environment, Selection, Wanted
from tests.support.locks import PLAIN, linux, macos, package, uv_lock, write
from tests.unit.test_read import age

PROJECT = '[project]\nname = "app"\nversion = "1.0"\ndependencies = ["a"]\n'
APP = package(
    "app",
    source='virtual = "."',
    dependencies='{ name = "a" }',
    more='[package.metadata]\nrequires-dist = [{ name = "a" }]\n',
)
LOCK = uv_lock(APP, package("a"))


def project(directory: Path, lock: str = LOCK, pyproject: str = PROJECT) -> Found:
    directory.mkdir()
    age(write(directory, "uv.lock", lock), write(directory, "pyproject.toml", pyproject))
    return found_in(directory)


def found_in(directory: Path) -> Found:
    found = find_lock(directory, home=directory)
    assert found is not None
    return found


def selected(found: Found, environment: Environment | None = None, wanted: Wanted = PLAIN) -> Selection:
    lock = read_lock(found.lock, root=found.root)
    return with_overlays(select(found, lock, environment or linux(), wanted), wanted)[0]


def kept(twins: Twins, found: Found, environment: Environment | None = None) -> object:
    key = twins.key_of(found, environment or linux(), PLAIN)
    return twins.keep(key, found, environment or linux(), selected(found, environment))


def test_a_copy_gives_what_reading_it_gives(tmp_path: Path) -> None:
    twins, first = Twins(), project(tmp_path / "first")
    twin = kept(twins, first)
    second = project(tmp_path / "second")
    known = twins.get(twins.key_of(second, linux(), PLAIN), second)
    assert known == (selected(second), twin)
    assert known[0].choices[1].pin.source.path == tmp_path / "second"
    assert known[1] is twin
    assert twins.inputs(second) == (second.lock, tmp_path / "second/pyproject.toml")


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml"])
def test_every_byte_counts(tmp_path: Path, name: str) -> None:
    twins = Twins()
    assert kept(twins, project(tmp_path / "first"))
    second = project(tmp_path / "second")
    with (tmp_path / "second" / name).open("a") as file:
        file.write("#\n")
    assert twins.get(twins.key_of(second, linux(), PLAIN), second) is None


def test_interpreter_and_options_count(tmp_path: Path) -> None:
    twins, found = Twins(), project(tmp_path / "first")
    assert kept(twins, found)
    assert twins.get(twins.key_of(found, linux(), PLAIN), found)
    assert twins.get(twins.key_of(found, macos(), PLAIN), found) is None
    assert twins.get(twins.key_of(found, linux(), Wanted(no_dev=True)), found) is None


@pytest.mark.parametrize(
    ("lock", "pyproject"),
    [
        # The project itself is in the set; a tree beside it is; a file beside it; a text names the place.
        (LOCK.replace("virtual", "editable"), PROJECT),
        (uv_lock(APP, package("a", source='directory = "a"', wheel="")), PROJECT),
        (uv_lock(APP, package("a", source='registry = "wheels"').replace("url =", "path =")), PROJECT),
        (LOCK, PROJECT.replace('["a"]', '["a", "b"]')),
    ],
)
def test_what_depends_on_the_place_is_not_kept(tmp_path: Path, lock: str, pyproject: str) -> None:
    assert kept(Twins(), project(tmp_path / "first", lock, pyproject)) is None


def test_a_member_of_a_workspace_is_not_looked_at(tmp_path: Path) -> None:
    found = project(tmp_path / "first")
    member = Found(lock=found.lock, format="uv", root=tmp_path / "first/member")
    assert Twins().key_of(member, linux(), PLAIN) is None


def test_files_that_were_just_written_are_not_kept(tmp_path: Path) -> None:
    twins, found = Twins(), project(tmp_path / "first")
    key = twins.key_of(found, linux(), PLAIN)
    selection = selected(found)
    (tmp_path / "first/uv.lock").touch()
    assert twins.keep(key, found, linux(), selection) is None


def test_it_is_bounded(tmp_path: Path) -> None:
    found = project(tmp_path / "first")
    twins = Twins(most_bytes=2 * found.lock.stat().st_size)
    for number in range(5):
        other = project(tmp_path / str(number), LOCK, f"{PROJECT}# {number}\n")
        assert kept(twins, other)
    assert len(twins._kept) == 2
    shutil.rmtree(tmp_path / "4")
    assert twins.key_of(other, linux(), PLAIN) is None
