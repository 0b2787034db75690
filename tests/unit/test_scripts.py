"""Scripts: first lines every kernel can read, entry points without injection, names that stay harmless."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sprawld.errors import StoreError, WheelError
from sprawld.pathsets.scripts import (
    SHEBANG_BYTES,
    check_script_name,
    entry_point_script,
    first_line,
    rewritten_script,
    scripts_of,
)

BAD_FILE_NAMES = ("", ".", "..", "../x", "a/b", "-x", ".hidden", "a\nb", "a\x00")
INTERPRETER_NAMES = ("python", "python3", "python3.12", "pythonw", "Python3.13t", "pypy3")


def link_python(directory: Path) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "python").symlink_to(sys.executable)
    return str(directory / "python")


def run(path: Path, content: bytes, *arguments: str) -> str:
    path.write_bytes(content)
    path.chmod(0o555)
    return subprocess.run([path, *arguments], capture_output=True, check=True, text=True).stdout


def test_the_first_line_is_plain_where_it_fits() -> None:
    assert first_line("/opt/x/bin/python") == b"#!/opt/x/bin/python\n"
    longest = "/" + "x" * (SHEBANG_BYTES - 4)
    assert len(first_line(longest)) == SHEBANG_BYTES
    assert first_line(longest + "x").startswith(b"#!/bin/sh\n")


@pytest.mark.parametrize(
    "name", ["plain", "with space", "x" * 200, "it's", "a''b", '"quoted"', "$HOME;`ls`", "naïve"]
)
def test_a_script_runs_with_its_interpreter(tmp_path: Path, name: str) -> None:
    python = link_python(tmp_path / name)
    show = b"import sys\nprint(sys.argv[1:], __file__)\n"
    output = run(tmp_path / "script", first_line(python) + show, "a b", "$c")
    assert output == f"{['a b', '$c']} {tmp_path / 'script'}\n"


@pytest.mark.parametrize("python", ["relative/python", "", "/a\nb", "/a\\b", "/a\x1b", "/a\udc80"])
def test_a_path_no_script_can_name_is_refused(python: str) -> None:
    with pytest.raises(StoreError) as caught:
        first_line(python)
    assert caught.value.code == "store.unwritable"


def test_an_entry_point_is_called_and_its_result_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text("class App:\n    @staticmethod\n    def main():\n        return 7\n")
    (tmp_path / "script").write_bytes(entry_point_script(sys.executable, "tool:App.main"))
    assert subprocess.run([sys.executable, tmp_path / "script"], check=False).returncode == 7


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "module",
        "module:",
        ":main",
        "module:main()",
        "module:main;import os",
        "module:main\nimport os",
        "os;x:main",
        "a..b:main",
        "a: main",
        "a:b:c",
        "a:main [extra]",
        "../a:main",
    ],
)
def test_an_entry_point_that_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(WheelError) as caught:
        entry_point_script("/python", reference)
    assert caught.value.code == "wheel.bad-entry-point"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"#!python\nprint()\n", b"#!/p\nprint()\n"),
        (b"#!pythonw\nprint()\n", b"#!/p\nprint()\n"),
        (b"#!python -u\r\nprint()\n", b"#!/p\nprint()\n"),
        (b"#!python", b"#!/p\n"),
        (b"#!/usr/bin/env python\nprint()\n", b"#!/usr/bin/env python\nprint()\n"),
        (b"\x7fELF", b"\x7fELF"),
    ],
)
def test_only_the_placeholder_line_is_rewritten(content: bytes, expected: bytes) -> None:
    assert rewritten_script("/p", content) == expected


@pytest.mark.parametrize(
    "name",
    [*BAD_FILE_NAMES, *INTERPRETER_NAMES],
)
def test_names_that_are_never_written(name: str) -> None:
    with pytest.raises(WheelError) as caught:
        check_script_name(name)
    assert caught.value.code == "wheel.bad-entry-point"


@pytest.mark.parametrize(
    "name", ["ruff", "f2py3.12", "python-argcomplete-check", "pythonic", "c++filt", "_x"]
)
def test_names_that_are(name: str) -> None:
    check_script_name(name)


def test_scripts_of_a_distribution(tmp_path: Path) -> None:
    for name, content, mode in (
        ("old", b"#!python\nprint()\n", 0o444),
        ("native", b"\x7fELF", 0o555),
        ("forgotten", b"#!/bin/sh\n", 0o444),
        ("twice", b"\x7fELF", 0o555),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        os.chmod(path, mode)
    kinds = {"old": "python", "native": "native", "forgotten": "native", "twice": "native"}
    groups = {"console_scripts": {"twice": "a:main"}, "gui_scripts": {"window": "a.gui:main"}}
    assert scripts_of(groups, kinds, str(tmp_path), "/p") == {
        "old": b"#!/p\nprint()\n",
        "native": None,
        "forgotten": b"#!/bin/sh\n",
        "twice": entry_point_script("/p", "a:main"),
        "window": entry_point_script("/p", "a.gui:main"),
    }


@pytest.mark.parametrize("groups", [{"console_scripts": {"../x": "a:b"}}, {"gui_scripts": {"x": "a:b()"}}])
def test_a_bad_entry_point_of_a_distribution_is_refused(groups: dict[str, dict[str, str]]) -> None:
    with pytest.raises(WheelError) as caught:
        scripts_of(groups, {}, "/nowhere", "/p")
    assert caught.value.code == "wheel.bad-entry-point"
