"""The module that the hook starts with: made of others, and refused where they contradict each other."""

from __future__ import annotations

import ast
import shutil
import subprocess
import zipfile
from pathlib import Path

import hatchling.build
import pytest

from tests.support.interpreters import interpreter_cases
from virtual_sprawl import hookfiles, joined

PACKAGE = Path(joined.__file__).parent
START = f"virtual_sprawl/{joined.NAME}.py"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(PACKAGE, tmp_path / "virtual_sprawl", ignore=shutil.ignore_patterns("__pycache__"))
    )


@pytest.mark.parametrize("python", interpreter_cases())
def test_every_interpreter_loads_it_and_finds_the_parts_in_it(copy: Path, python: Path) -> None:
    (copy / f"{joined.NAME}.py").write_bytes(joined.join(str(copy)))
    program = (
        "import sys; import virtual_sprawl._start as start\n"
        f"from virtual_sprawl import {', '.join(joined.JOINED)}, finder\n"
        f"assert {{{', '.join(joined.JOINED)}}} == {{start}}\n"
        "assert finder.SetIndex.entrance and start.Entrance and start.enter_set and start.take_lease\n"
    )
    subprocess.run([python, "-E", "-s", "-W", "error", "-c", program], cwd=copy.parent, check=True)


def test_nothing_is_left_that_only_people_and_checkers_read() -> None:
    tree = ast.parse(joined.join(str(PACKAGE)))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 30
    assert not [node.name for node in functions if ast.get_docstring(node) or node.returns]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"]


def test_it_imports_none_of_its_parts() -> None:
    tree = ast.parse(joined.join(str(PACKAGE)))
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not {alias.name for node in relative for alias in node.names} & set(joined.JOINED)


@pytest.mark.parametrize("addition", ["_SiteEnd = 1", "def _divide(): pass", "lease = 1"])
def test_one_name_of_two_modules_is_refused(copy: Path, addition: str) -> None:
    with (copy / "question.py").open("a") as stream:
        stream.write(addition + "\n")
    with pytest.raises(ValueError, match="both define"):
        joined.join(str(copy))


def test_it_is_a_file_of_the_hook() -> None:
    assert hookfiles.hook_files()[START] == joined.join(str(PACKAGE))


@pytest.mark.parametrize(("kind", "start"), [("wheel", joined.NAME), ("editable", "_hook")])
def test_installed_start_up_files_name_a_module_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, start: str
) -> None:
    monkeypatch.chdir(PACKAGE.parents[1])
    build = {"wheel": hatchling.build.build_wheel, "editable": hatchling.build.build_editable}[kind]
    with zipfile.ZipFile(tmp_path / build(str(tmp_path))) as wheel:
        assert f"virtual_sprawl.{start}" in wheel.read("virtual_sprawl.pth").decode()
        assert "virtual_sprawl.start" not in wheel.namelist()
        assert (START in wheel.namelist()) == (kind == "wheel")
