"""Corruption: whatever is done to the store is found with its exact path and repaired, nothing else moves.

One user, one daemon and one index serve all injections: each is made into a sound store and leaves one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults import status
from tests.support.index import SimpleIndex
from tests.support.place import DAMAGE, SETS, SITE, Place, damage_set, flip, opened, unlink

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with SimpleIndex() as index:
        place = Place(tmp_path_factory.mktemp("place"), index)
        yield place
        place.sandbox.close()


@pytest.fixture(autouse=True)
def sound(place: Place) -> Iterator[None]:
    yield
    place.sync()
    assert place.verify("--all")["problems"] == []


@pytest.mark.parametrize("name", ["alpha", "gamma"])
@pytest.mark.parametrize("row", DAMAGE, ids=[row[0] for row in DAMAGE])
def test_a_damaged_entry_is_found_and_repaired(
    place: Place, name: str, row: tuple[str, str, Callable[[Path], object], str, str]
) -> None:
    _, where, work, kind, expected = row
    entry = place.entries[name]
    untouched = place.snapshot(without=entry)
    opened(entry / where.format(s=SITE, n=name), work)
    path = str(entry / expected.format(s=SITE, n=name))
    found = place.verify("--all", code=1)
    assert (kind, path) in {(problem["kind"], problem["path"]) for problem in found["problems"]}
    assert {problem["name"] for problem in found["problems"]} == {entry.name}
    repaired = place.verify("--all", "--repair")
    assert repaired["sound"]
    assert {problem["status"] for problem in repaired["problems"]} == {"repaired"}
    assert place.verify("--all")["problems"] == []
    assert place.snapshot(without=entry) == untouched
    code = f"import {name}; print({name}.WHO)"
    assert place.sandbox.sprawl("run", "-c", code, cwd=place.project).stdout == f"{name}\n"


@pytest.mark.parametrize("row", DAMAGE, ids=[row[0] for row in DAMAGE])
def test_offline_nothing_is_deleted(
    place: Place, row: tuple[str, str, Callable[[Path], object], str, str]
) -> None:
    _, where, work, kind, _ = row
    entry = place.entries["beta"]
    opened(entry / where.format(s=SITE, n="beta"), work)
    before = place.sandbox.tree()
    place.verify("--all", "--repair", "--offline", code=0 if kind == "mode" else 1)
    assert place.sandbox.tree() == before
    assert place.verify("--all", "--repair")["sound"]


def test_without_a_source_a_damaged_entry_stays(place: Place) -> None:
    entry = place.entries["beta"]
    opened(entry / SITE / "beta/__init__.py", flip(0.5))
    before = place.sandbox.tree()
    wheel = place.index.file_path("beta-1.0-py3-none-any.whl")
    place.index.script(wheel, status(404), forever=True)
    outcome = place.sandbox.run("sprawlctl", "verify", "--all", "--repair", check=False)
    place.index.script(wheel)
    assert outcome.returncode == 1
    assert f"changed: {entry / SITE / 'beta/__init__.py'} (beta 1.0) - failed" in outcome.stdout
    assert "1 problems remain" in outcome.stdout
    assert place.sandbox.tree() == before
    assert place.verify("--all", "--repair")["sound"]


@pytest.mark.parametrize("row", SETS, ids=[row[0] for row in SETS])
def test_a_damaged_set_is_found_and_made_anew(
    place: Place, row: tuple[str, str, Callable[[Path], object], str]
) -> None:
    kind = row[3]
    path = damage_set(place.set, row)
    found = place.verify("--quick", code=1)["problems"]
    assert [(problem["kind"], problem["path"]) for problem in found] == [(kind, str(path))]
    untouched = place.snapshot(without=Path())
    assert place.verify("--quick", "--repair")["sound"]
    assert not place.set.exists()
    assert place.sync() == str(place.set)
    assert place.snapshot(without=Path()) == untouched


def test_what_runs_is_reported_and_left_alone(place: Place) -> None:
    code = "import alpha; print('up', flush=True); input()"
    running = place.sandbox.start("sprawl", "run", "-c", code, cwd=place.project, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    path = opened(place.entries["alpha"] / SITE / "alpha/other.py", flip(0.0))
    inode = path.stat().st_ino
    kept = place.verify("--all", "--repair", code=1)
    assert [problem["status"] for problem in kept["problems"]] == ["in use"]
    assert kept["checked"]["unchecked"] == 1
    assert path.stat().st_ino == inode
    running.communicate("\n")
    assert place.verify("--all", "--repair")["sound"]


def test_client_copies_are_mended(place: Place) -> None:
    copy = next((place.sandbox.store / "client").iterdir()) / "_virtual_sprawl"
    pyc = next((copy / "__pycache__").glob("_finder.*.pyc"))
    for path, work in ((pyc, flip(0.9)), (copy / "_finder.py", flip(0.9))):
        opened(path, work)
        assert [p["path"] for p in place.verify("--quick", code=1)["problems"]] == [str(path)]
        assert place.verify("--quick", "--repair")["sound"]
        assert place.verify("--quick")["problems"] == []
    assert pyc.exists()


def test_a_database_of_garbage_is_found_and_begun_anew(place: Place) -> None:
    place.sandbox.close()
    assert place.verify()["sound"]  # by a new daemon
    database = place.sandbox.store / "state.sqlite"
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    database.write_bytes(os.urandom(8192))
    found = place.verify(code=1)["problems"]
    assert [(problem["kind"], problem["path"]) for problem in found] == [("database", str(database))]
    assert place.verify("--repair")["sound"]
    assert place.verify()["problems"] == []


def test_a_lost_origin_is_replaced_by_the_index(place: Place) -> None:
    entry = place.entries["alpha"]
    shutil.rmtree(place.sandbox.store / "origins")
    opened(entry / SITE / "alpha/__init__.py", flip(0.5))
    assert place.verify("--all", "--repair")["sound"]
    opened(entry / "manifest", unlink)
    assert place.verify("--all", "--repair")["sound"], "the repair recorded the origin again"


def test_levels(place: Place) -> None:
    opened(place.entries["alpha"] / SITE / "alpha/__init__.py", flip(0.5))
    quick = place.verify("--quick")
    assert quick["checked"]["hashed"] == 0
    assert place.verify("--all", code=1)["checked"]["hashed"] == 3
    assert place.verify("--all", "--repair")["sound"]
    assert place.verify()["checked"]["hashed"] == 1


def test_no_daemon_can_be_reached(place: Place) -> None:
    place.sandbox.close()
    environ = {"VIRTUAL_SPRAWL_DAEMON": "never"}
    outcome = place.sandbox.run("sprawlctl", "verify", env=environ, check=False)
    assert outcome.returncode == 3
    assert sys.version_info >= (3, 11)
