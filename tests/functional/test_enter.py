"""A set's own interpreter: its lease, its finder, and that Python works whatever is wrong with the set."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sprawld.store.leases import is_leased
from tests.support.hookstage import PACKAGES
from tests.support.interpreters import interpreter_cases, newest
from tests.support.sets import HandmadeSet, make_set

pytestmark = pytest.mark.functional

REPORT = """
import json, sys, hello, tool.part, space.left
from importlib import metadata
print(json.dumps({
    "hooks": len(sys.path_hooks) - 2,
    "finder": type(sys.path_importer_cache[sys.argv[1]]).__name__, "hello": hello.where(),
    "last": sys.path[-1], "version": metadata.version("demo"), "writes": not sys.dont_write_bytecode,
    "loader": type(hello.__loader__).__name__,
}))
"""


def run(made: HandmadeSet, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [made.python, *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def report(made: HandmadeSet, *flags: str) -> dict[str, object]:
    done = run(made, *flags, "-c", REPORT, made.site_packages)
    assert (done.returncode, done.stderr) == (0, "")
    answers = json.loads(done.stdout)
    assert isinstance(answers, dict)
    return answers


def files(made: HandmadeSet) -> set[str]:
    return set(map(str, made.path.parents[1].rglob("*")))


@pytest.fixture(scope="module", params=interpreter_cases())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HandmadeSet:
    return make_set(tmp_path_factory.mktemp("store"), request.param, PACKAGES)


@pytest.fixture
def fresh(tmp_path: Path) -> HandmadeSet:
    return make_set(tmp_path, newest(), PACKAGES)


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E", "-s"], ["-O"]], ids=["plain", "-I", "-Es", "-O"])
def test_the_set_runs_on_its_finder(made: HandmadeSet, flags: list[str]) -> None:
    before = files(made)
    assert report(made, *flags) == {
        "hooks": 1,
        "finder": "TopFinder",
        "hello": str(made.site_packages / "hello.py"),
        "last": str(made.site_packages),
        "version": "1.5",
        "writes": True,
        "loader": "StoreSourceLoader",
    }
    assert files(made) == before, "nothing is written into the store"


def test_the_lease_is_held(made: HandmadeSet) -> None:
    with subprocess.Popen(
        [made.python, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_leased(made.path)
        process.kill()
    assert not is_leased(made.path)


def test_directories_are_listed_once_and_files_are_not_looked_for(made: HandmadeSet) -> None:
    program = """
import sys, importlib
seen = []
def hook(event, arguments):
    if event in ("os.listdir", "os.scandir") and str(arguments[0]).startswith(sys.argv[1]):
        seen.append(arguments[0])
sys.addaudithook(hook)
import tool, tool.part, space.left, hello
importlib.invalidate_caches()
for name in ("absent", "tool.absent", "tool.absent2", "space.absent"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(*seen)
"""
    done = run(made, "-c", program, made.site_packages)
    assert sorted(done.stdout.split()) == [f"{made.site_packages}/space", f"{made.site_packages}/tool"]


def no_index(made: HandmadeSet) -> None:
    (made.path / "index").unlink()


def garbage_index(made: HandmadeSet) -> None:
    (made.path / "index").write_bytes(b"garbage")


def shared_index(made: HandmadeSet) -> None:
    (made.path / "index").chmod(0o660)


def no_lease(made: HandmadeSet) -> None:
    (made.path / "lease").unlink()


def no_client(made: HandmadeSet) -> None:
    copy = Path(os.path.realpath(made.site_packages / "_virtual_sprawl"))
    copy.chmod(0o755)
    (copy / "_finder.py").unlink()
    for compiled in copy.glob("__pycache__/_finder.*"):
        compiled.unlink()


@pytest.mark.parametrize("damage", [no_index, garbage_index, shared_index, no_client])
def test_without_its_finder_the_set_still_works_and_writes_nothing(
    fresh: HandmadeSet, damage: Callable[[HandmadeSet], None]
) -> None:
    damage(fresh)
    before = files(fresh)
    answers = report(fresh)
    assert (answers["hooks"], answers["finder"], answers["writes"]) == (0, "FileFinder", False)
    assert answers["hello"] == str(fresh.site_packages / "hello.py")
    assert files(fresh) == before


def test_without_its_lease_the_set_still_works(fresh: HandmadeSet) -> None:
    no_lease(fresh)
    assert report(fresh)["hooks"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give an index away")
def test_an_index_of_another_user_is_not_read(fresh: HandmadeSet) -> None:
    os.chown(fresh.path / "index", 65534, -1)
    assert report(fresh)["hooks"] == 0


def test_the_store_may_be_moved(fresh: HandmadeSet, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = fresh.path.parents[1]
    moved = tmp_path_factory.mktemp("moved") / "store"
    store.rename(moved)
    path = moved / fresh.path.relative_to(store)
    there = HandmadeSet(path, path / fresh.site_packages.relative_to(fresh.path), fresh.index)
    answers = report(there)
    assert (answers["hooks"], answers["hello"]) == (1, str(there.site_packages / "hello.py"))
