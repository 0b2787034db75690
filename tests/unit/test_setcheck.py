"""Checking sets: every kind of difference is found, with its path, and a sound one has none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.pathsets import setcheck
from sprawld.pathsets.setcheck import Description
from tests.support.workshop import Workshop, environment_of

ENVIRONMENT = environment_of(Path(sys.executable))
SITE = f"lib/{ENVIRONMENT.library}/site-packages"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


@pytest.fixture
def path(workshop: Workshop) -> Path:
    one = workshop.entry("one", files={"one/__init__.py": "", "space/one.py": ""})
    two = workshop.entry(
        "two",
        files={"two.py": "", "space/two.py": ""},
        entry_points={"console_scripts": {"tool": "two:main"}},
    )
    path = workshop.build(Path(sys.executable), one, two)
    (path / "boot").write_text("boot")
    return path


def described(path: Path) -> Description:
    found = setcheck.describe_set(path)
    assert found is not None
    return found


def check(workshop: Workshop, path: Path, staged: Path) -> list[tuple[str, str]]:
    staged.mkdir()
    setcheck.rebuild(staged, path, described(path), ENVIRONMENT, workshop.store)
    return [tuple(difference) for difference in setcheck.compare(path, staged)]


def test_a_sound_set_is_what_would_be_built(workshop: Workshop, path: Path, tmp_path: Path) -> None:
    assert check(workshop, path, tmp_path / "again") == []
    assert setcheck.is_current(path.name, described(path), ENVIRONMENT)
    assert setcheck.outline(path, described(path)) == []


def write(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    write(path, bytes(content))


DAMAGE: list[tuple[str, Callable[[Path], object], list[tuple[str, str]]]] = [
    ("index flipped", lambda p: flip(p / "index"), [("changed", "index")]),
    ("index cut", lambda p: write(p / "index", b""), [("changed", "index")]),
    ("pyvenv.cfg changed", lambda p: write(p / "pyvenv.cfg", b"home = /\n"), [("changed", "pyvenv.cfg")]),
    ("python elsewhere", lambda p: relink(p / "bin/python", "/bin/true"), [("link", "bin/python")]),
    ("python a file", lambda p: shutil.copy(__file__, p / "x") and os.replace(p / "x", p / "bin/python"), []),
    ("link elsewhere", lambda p: relink(p / SITE / "one", "../../../.."), [("link", f"{SITE}/one")]),
    ("link gone", lambda p: (p / SITE / "two.py").unlink(), [("missing", f"{SITE}/two.py")]),
    (
        "merged link gone",
        lambda p: (p / SITE / "space/one.py").unlink(),
        [("missing", f"{SITE}/space/one.py")],
    ),
    ("extra file", lambda p: (p / SITE / "evil.pth").touch(), [("extra", f"{SITE}/evil.pth")]),
    ("script changed", lambda p: flip(p / "bin/tool"), [("changed", "bin/tool")]),
    ("mode", lambda p: (p / "lease").chmod(0o644), [("mode", "lease")]),
    ("lease gone", lambda p: (p / "lease").unlink(), [("missing", "lease")]),
    ("lease is a link", lambda p: relink(p / "lease", "index"), [("changed", "lease")]),
    ("boot gone", lambda p: (p / "boot").unlink(), [("missing", "boot")]),
]
DAMAGE[4] = (*DAMAGE[4][:2], [("changed", "bin/python")])


@pytest.mark.parametrize(("damage", "found"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_damage_is_found(
    workshop: Workshop,
    path: Path,
    tmp_path: Path,
    damage: Callable[[Path], object],
    found: list[tuple[str, str]],
) -> None:
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o755 if directory == str(path) else 0o555)
    modes = {directory: os.stat(directory).st_mode for directory, _, _ in os.walk(path)}
    for directory in modes:
        os.chmod(directory, 0o755)
    damage(path)
    for directory, mode in modes.items():
        os.chmod(directory, mode)
    assert check(workshop, path, tmp_path / "again") == found


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"lock": 1}', '{"lock": "/x", "entries": [1]}'])
def test_a_damaged_description_is_none(path: Path, content: str) -> None:
    write(path / "set.json", content.encode())
    assert setcheck.describe_set(path) is None


def test_another_interpreter_or_description_is_not_current(path: Path) -> None:
    found = described(path)
    assert not setcheck.is_current(path.name, found, replace(ENVIRONMENT, identity="other"))
    assert not setcheck.is_current(path.name, replace(found, client="0" * 40), ENVIRONMENT)


def test_a_stale_set_is_checked_for_links_that_dangle_and_lie(workshop: Workshop, path: Path) -> None:
    found = described(path)
    (path / SITE).chmod(0o755)
    relink(path / SITE / "two.py", "../../../../../wheels/nothing/two.py")
    assert setcheck.outline(path, found) == [("link", f"{SITE}/two.py")]
    (path / "lease").unlink()
    assert ("changed", "lease") in setcheck.outline(path, found)
    fewer = replace(found, entries=found.entries[:1])
    assert ("description", "set.json") in setcheck.outline(path, fewer)
