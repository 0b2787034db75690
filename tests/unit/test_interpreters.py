"""Finding installed Pythons: names are believed, shims and venvs passed over, the newest wins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.interpreters import interpreters
from virtual_sprawl.interpreters import (
    InterpreterNotFound,
    find_interpreter,
    list_interpreters,
    parse_version,
)


def program(path: Path, content: bytes = b"\x7fELF, but nothing that runs") -> str:
    """Write a file that looks like a program: running it would fail the test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


def environ(home: Path, *path: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": ":".join(map(str, path))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.12", (12, None, False, 1 << 16)),
        ("3.12.1", (12, 1, False, 1 << 16)),
        ("3.13t", (13, None, True, 1 << 16)),
        ("3.13.0t", (13, 0, True, 1 << 16)),
        ("cpython-3.12", (12, None, False, 1 << 16)),
        ("cpython3.12.4", (12, 4, False, 1 << 16)),
        ("python3.9", (9, None, False, 1 << 16)),
        ("3.14.0rc2", (14, 0, False, 2002)),
        ("3.14.0a7t", (14, 0, True, 7)),
        ("3", None),
        ("", None),
        ("t", None),
        ("2.7.18", None),
        ("3.x", None),
        ("3.12.1.1", None),
        ("3.٣", None),
        ("pypy3.10", None),
    ],
)
def test_versions_are_parsed_by_hand(text: str, expected: tuple[int, int | None, bool, int] | None) -> None:
    assert parse_version(text) == expected


def test_the_newest_micro_version_wins_and_nothing_is_run(tmp_path: Path) -> None:
    versions = tmp_path / ".pyenv/versions"
    for version in ("3.12.1", "3.12.10", "3.12.9", "3.12.11rc1", "3.11.20"):
        program(versions / version / "bin" / f"python{version[:4]}")
    found = find_interpreter("3.12", environ(tmp_path), ())
    # 3.12.11rc1 is newer than 3.12.10 by number, and a candidate only loses to its own release.
    assert found == str(versions / "3.12.11rc1/bin/python3.12")
    program(versions / "3.12.11/bin/python3.12")
    assert find_interpreter("3.12", environ(tmp_path), ()) == str(versions / "3.12.11/bin/python3.12")
    assert find_interpreter("3.12.9", environ(tmp_path), ()) == str(versions / "3.12.9/bin/python3.12")


def test_every_place_is_looked_at(tmp_path: Path) -> None:
    expected = {
        "3.14.2": program(tmp_path / ".pyenv/versions/3.14.2/bin/python3.14"),
        "3.13.4t": program(
            tmp_path / ".local/share/uv/python/cpython-3.13.4+freethreaded-linux-x86_64-gnu/bin/python3.13t"
        ),
        "3.12.8": program(tmp_path / ".local/share/uv/python/cpython-3.12.8-linux-x86_64-gnu/bin/python3.12"),
        "3.11.9": program(tmp_path / ".asdf/installs/python/3.11.9/bin/python"),
        "3.10.7": program(tmp_path / ".local/share/mise/installs/python/3.10.7/bin/python3"),
        "3.9": program(tmp_path / "usr/bin/python3.9"),
        "3.8": program(tmp_path / "on-path/python3.8"),
    }
    # None of these is an interpreter of its own.
    program(tmp_path / ".pyenv/versions/pypy3.10-7.3.12/bin/python3.10")
    program(tmp_path / ".pyenv/versions/3.7.16/bin/python3.7")
    (tmp_path / ".pyenv/versions/3.14").symlink_to("3.14.2")
    program(tmp_path / "usr/bin/python3.9-config")
    found = list_interpreters(environ(tmp_path, tmp_path / "on-path"), (str(tmp_path / "usr/bin"),))
    assert {each.version: each.path for each in found} == expected
    assert [each.version for each in found] == list(expected)


def test_shims_and_venvs_on_path_are_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "shims/python3.12", b"#!/bin/sh\nexit 1\n")
    program(tmp_path / "venv/bin/python3.12")
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /nowhere\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/python3.12").symlink_to("gone")
    real = program(tmp_path / "usr/bin/python3.12")
    path = [tmp_path / "shims", tmp_path / "venv/bin", tmp_path / "broken"]
    assert find_interpreter("3.12", environ(tmp_path, *path), (str(tmp_path / "usr/bin"),)) == real


def test_free_threaded_builds_are_taken_only_when_asked_for(tmp_path: Path) -> None:
    threaded = program(tmp_path / ".pyenv/versions/3.13.5t/bin/python3.13t")
    plain = program(tmp_path / ".pyenv/versions/3.13.0/bin/python3.13")
    assert find_interpreter("3.13", environ(tmp_path), ()) == plain
    assert find_interpreter("3.13t", environ(tmp_path), ()) == threaded


def test_a_homebrew_cellar_tells_the_micro_version(tmp_path: Path) -> None:
    target = program(tmp_path / "Cellar/python@3.12/3.12.7_1/bin/python3.12")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.12").symlink_to(target)
    found = list_interpreters(environ(tmp_path), (str(tmp_path / "bin"),))
    assert [each.version for each in found] == ["3.12.7"]


def test_an_interpreter_whose_name_leaves_it_open_is_asked_only_when_it_matters(tmp_path: Path) -> None:
    version, real = next(iter(interpreters().items()))
    full = subprocess.run(
        [real, "-I", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # A copy that runs from where it is: no directory around it tells its version, only it does.
    (tmp_path / "bin").mkdir()
    copy = shutil.copy(real.resolve(), tmp_path / "bin" / f"python{version}")
    (tmp_path / "bin/pyvenv.cfg").write_text(f"home = {real.parent}\n")
    newer = program(tmp_path / f".pyenv/versions/{version}.999/bin/python{version}")
    system = (str(tmp_path / "bin"),)
    assert find_interpreter(full, environ(tmp_path), system) == str(copy)
    assert find_interpreter(version, environ(tmp_path), system) == newer


def test_one_that_does_not_run_loses_to_one_that_is_known(tmp_path: Path) -> None:
    program(tmp_path / "bin/python3.12")
    known = program(tmp_path / ".pyenv/versions/3.12.0/bin/python3.12")
    assert find_interpreter("3.12", environ(tmp_path), (str(tmp_path / "bin"),)) == known


def test_a_header_beside_it_saves_the_question(tmp_path: Path) -> None:
    unknown = program(tmp_path / "usr/bin/python3.12")
    header = tmp_path / "usr/include/python3.12/patchlevel.h"
    header.parent.mkdir(parents=True)
    header.write_text("/* version */\n#define PY_MINOR_VERSION 12\n#define PY_MICRO_VERSION 4\n")
    program(tmp_path / ".pyenv/versions/3.12.3/bin/python3.12")
    system = (str(tmp_path / "usr/bin"),)
    assert find_interpreter("3.12", environ(tmp_path), system) == unknown
    assert find_interpreter("3.12.4", environ(tmp_path), system) == unknown


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_interpreter(sys.executable, {}, ()) == sys.executable
    with pytest.raises(InterpreterNotFound) as caught:
        find_interpreter(str(tmp_path / "python"), {"HOME": str(tmp_path)}, ())
    assert caught.value.code == "python.not-found"


@pytest.mark.parametrize(
    ("version", "code"),
    [("3.12", "python.not-found"), ("3.7", "python.unsupported"), ("latest", "python.not-found")],
)
def test_refusals_have_codes_and_name_what_there_is(tmp_path: Path, version: str, code: str) -> None:
    path = program(tmp_path / ".pyenv/versions/3.11.4/bin/python3.11")
    with pytest.raises(InterpreterNotFound) as caught:
        find_interpreter(version, environ(tmp_path), ())
    assert caught.value.code == code
    if version == "3.12":
        assert caught.value.hint == f"installed: 3.11.4 ({path})"


def test_nothing_installed_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(InterpreterNotFound) as caught:
        find_interpreter("3.12", environ(tmp_path), ())
    assert "no Python from 3.8 on" in caught.value.hint
