"""Corruption: whatever is done to the store is found with its exact path and repaired, nothing else moves.

One user, one daemon and one index serve all injections: each is made into a sound store and leaves one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import status
from tests.support.index import SimpleIndex
from tests.support.sandbox import Sandbox
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.functional

SITE = "lib/python/site-packages"


class Place:
    """A store with three entries and a set, and what the tests do with it."""

    def __init__(self, directory: Path, index: SimpleIndex) -> None:
        self.index = index
        self.sandbox = Sandbox(directory / "user", index=index.url)
        files = {
            "{0}/__init__.py": "WHO = '{0}'\n",
            "{0}/deep/data.txt": "{0}" * 400,
            "{0}/other.py": "X = 1\n",
        }
        self.entries = {}
        lines = []
        for name in ("alpha", "beta", "gamma"):
            own = {path.format(name): text.format(name) for path, text in files.items()}
            scripts = {"console_scripts": {f"{name}-tool": f"{name}:main"}}
            wheel = build_wheel(directory, name, "1.0", own, entry_points=scripts)
            index.add(wheel)
            digest = index.sha256(wheel.name)
            lines.append(f"{name}==1.0 --hash=sha256:{digest}")
            self.entries[name] = self.sandbox.store / "wheels" / digest
        self.project = self.sandbox.project("app", {}, lines)
        self.set = Path(self.sync())

    def sync(self) -> str:
        return self.sandbox.sprawl("sync", "--print-path", cwd=self.project).stdout.strip()

    def verify(self, *options: str, code: int = 0) -> Any:
        outcome = self.sandbox.run("sprawlctl", "verify", *options, "--json", check=False)
        assert outcome.returncode == code, outcome.stdout + outcome.stderr + self.sandbox.log()
        return json.loads(outcome.stdout)

    def snapshot(self, without: Path) -> dict[str, tuple[int, int]]:
        """Inode and mtime of every file of the entries but one."""
        found = {}
        for entry in self.entries.values():
            if entry != without:
                for path in entry.rglob("*"):
                    status = path.lstat()
                    found[str(path)] = (status.st_ino, status.st_mtime_ns)
        return found


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


def opened(path: Path, work: Callable[[Path], object]) -> Path:
    """Do something in a read-only place, as root could; return the path."""
    modes = {p: p.lstat().st_mode for p in (path.parent, path) if p.exists() and not p.is_symlink()}
    for one in modes:
        one.chmod(0o755)
    work(path)
    for one, mode in modes.items():
        if one.exists() and not one.is_symlink() and work is not _loosen:
            one.chmod(mode)
    return path


def _loosen(path: Path) -> None:
    path.chmod(0o644 if path.is_file() else 0o755)


def _flip(where: float) -> Callable[[Path], object]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(where * (len(content) - 1))] ^= 4
        path.write_bytes(content)

    return flip


def _swap(path: Path) -> None:
    other = path.parent / "other.py"
    one, two = path.read_bytes(), other.read_bytes()
    other.chmod(0o644)
    path.write_bytes(two)
    other.write_bytes(one)
    other.chmod(0o444)


def _edit(old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new, 1))


def _pycs(path: Path) -> None:
    path.mkdir()
    (path / "__init__.cpython-311.pyc").write_bytes(b"?")


def _link(path: Path) -> None:
    path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    path.symlink_to("/etc/hostname")


def _unlink(path: Path) -> None:
    path.unlink()


def _directory_mode(path: Path) -> None:
    path.chmod(0o755)


DAMAGE: list[tuple[str, str, Callable[[Path], object], str, str]] = [
    ("flip at the start", "{s}/{n}/__init__.py", _flip(0.0), "changed", "{s}/{n}/__init__.py"),
    ("flip in the middle", "{s}/{n}/deep/data.txt", _flip(0.5), "changed", "{s}/{n}/deep/data.txt"),
    ("flip at the end", "{s}/{n}/__init__.py", _flip(1.0), "changed", "{s}/{n}/__init__.py"),
    (
        "flip in metadata",
        "{s}/{n}-1.0.dist-info/METADATA",
        _flip(0.3),
        "changed",
        "{s}/{n}-1.0.dist-info/METADATA",
    ),
    ("truncate", "{s}/{n}/deep/data.txt", lambda p: os.truncate(p, 7), "changed", "{s}/{n}/deep/data.txt"),
    ("empty", "{s}/{n}/__init__.py", lambda p: p.write_bytes(b""), "changed", "{s}/{n}/__init__.py"),
    (
        "zero",
        "{s}/{n}/deep/data.txt",
        lambda p: p.write_bytes(bytes(p.stat().st_size)),
        "changed",
        "{s}/{n}/deep/data.txt",
    ),
    ("longer", "{s}/{n}/other.py", lambda p: p.write_bytes(b"X = 2\n" * 9), "changed", "{s}/{n}/other.py"),
    ("file gone", "{s}/{n}/__init__.py", _unlink, "missing", "{s}/{n}/__init__.py"),
    ("directory gone", "{s}/{n}/deep", shutil.rmtree, "missing", "{s}/{n}/deep/data.txt"),
    ("entry gone", "", shutil.rmtree, "missing", ""),
    ("extra file", "{s}/evil.pth", lambda p: p.write_text("import os\n"), "extra", "{s}/evil.pth"),
    ("extra at the root", "extra", Path.touch, "extra", "extra"),
    ("extra pycs", "{s}/{n}/__pycache__", _pycs, "extra", "{s}/{n}/__pycache__/__init__.cpython-311.pyc"),
    ("swapped files", "{s}/{n}/__init__.py", _swap, "changed", "{s}/{n}/__init__.py"),
    ("mode of a file", "{s}/{n}/other.py", _loosen, "mode", "{s}/{n}/other.py"),
    ("mode of a directory", "{s}/{n}/deep", _loosen, "mode", "{s}/{n}/deep"),
    ("link for a file", "{s}/{n}/other.py", _link, "changed", "{s}/{n}/other.py"),
    ("link for a directory", "{s}/{n}/deep", _link, "extra", "{s}/{n}/deep"),
    ("manifest hash edited", "manifest", _edit(b"\n", b"\n0"), "manifest", "manifest"),
    ("manifest path edited", "manifest", _edit(b"data.txt", b"dota.txt"), "manifest", "manifest"),
    ("manifest summary edited", "manifest", _edit(b"__init__.py", b"__main__.py"), "manifest", "manifest"),
    (
        "manifest truncated",
        "manifest",
        lambda p: os.truncate(p, p.stat().st_size - 3),
        "manifest",
        "manifest",
    ),
    (
        "manifest cut in half",
        "manifest",
        lambda p: os.truncate(p, p.stat().st_size // 2),
        "manifest",
        "manifest",
    ),
    ("manifest empty", "manifest", lambda p: p.write_bytes(b""), "manifest", "manifest"),
    ("manifest gone", "manifest", _unlink, "manifest", "manifest"),
]


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
    opened(entry / SITE / "beta/__init__.py", _flip(0.5))
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


SETS: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("index flipped", "index", _flip(0.5), "changed"),
    ("index cut", "index", lambda p: os.truncate(p, 9), "changed"),
    ("pyvenv.cfg edited", "pyvenv.cfg", _edit(b"home", b"hole"), "changed"),
    ("set.json garbage", "set.json", lambda p: p.write_bytes(b"?"), "description"),
    ("python elsewhere", "bin/python", _link, "link"),
    ("script edited", "bin/alpha-tool", _flip(0.1), "changed"),
    ("lease open to others", "lease", lambda p: p.chmod(0o644), "mode"),
    ("extra file", "evil.pth", Path.touch, "extra"),
    ("link gone", "{site}/alpha", _unlink, "missing"),
    ("link elsewhere", "{site}/beta", _link, "link"),
]


@pytest.mark.parametrize("row", SETS, ids=[row[0] for row in SETS])
def test_a_damaged_set_is_found_and_made_anew(
    place: Place, row: tuple[str, str, Callable[[Path], object], str]
) -> None:
    _, where, work, kind = row
    site = next(place.set.glob("lib/*/site-packages")).relative_to(place.set)
    path = place.set / where.format(site=site)
    parents = [path.parent]
    for parent in parents:
        parent.chmod(0o755)
    mode = path.stat().st_mode if path.exists() else 0
    if path.is_file() and not path.is_symlink():
        path.chmod(0o644)
    work(path)
    if mode and path.is_file() and not path.is_symlink() and kind != "mode":
        path.chmod(mode)
    for parent in parents:
        parent.chmod(0o555)
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
    path = opened(place.entries["alpha"] / SITE / "alpha/other.py", _flip(0.0))
    inode = path.stat().st_ino
    kept = place.verify("--all", "--repair", code=1)
    assert [problem["status"] for problem in kept["problems"]] == ["in use"]
    assert kept["checked"]["unchecked"] == 1
    assert path.stat().st_ino == inode
    running.communicate("\n")
    assert place.verify("--all", "--repair")["sound"]


def test_client_copies_are_mended(place: Place) -> None:
    copy = next((place.sandbox.store / "client").iterdir()) / "_virtual_sprawl"
    pyc = next((copy / "__pycache__").glob("finder.*.pyc"))
    for path, work in ((pyc, _flip(0.9)), (copy / "finder.py", _flip(0.9))):
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
    opened(entry / SITE / "alpha/__init__.py", _flip(0.5))
    assert place.verify("--all", "--repair")["sound"]
    opened(entry / "manifest", _unlink)
    assert place.verify("--all", "--repair")["sound"], "the repair recorded the origin again"


def test_levels(place: Place) -> None:
    opened(place.entries["alpha"] / SITE / "alpha/__init__.py", _flip(0.5))
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
