"""The module that the hook starts with: made of others, and refused where they contradict each other."""

from __future__ import annotations

import ast
import shutil
import subprocess
import zipfile
from pathlib import Path

import hatchling.build
import pytest

from sprawld.pathsets import clientcopy
from tests.support.interpreters import interpreter_cases
from virtual_sprawl import hookfiles, joined

PACKAGE = Path(joined.__file__).parent
NAMES = sorted(joined.JOINED)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(PACKAGE, tmp_path / "virtual_sprawl", ignore=shutil.ignore_patterns("__pycache__"))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("python", interpreter_cases())
def test_every_interpreter_loads_it_with_and_without_the_import_system(
    copy: Path, python: Path, name: str
) -> None:
    path = copy / f"{name}.py"
    path.write_bytes(joined.join(str(copy), name))
    wanted = joined.JOINED[name][1]
    program = (
        "import sys; from importlib.machinery import SourceFileLoader\n"
        f"from virtual_sprawl import {name} as found\n"
        f"made = sys.modules['elsewhere.{name}'] = type(sys)('elsewhere.{name}')\n"
        f"SourceFileLoader(made.__name__, {str(path)!r}).exec_module(made)\n"
        f"assert (made.__package__, made.__file__) == ('elsewhere', {str(path)!r})\n"
        f"for name in {wanted!r}: assert getattr(found, name) is not getattr(made, name)\n"
    )
    subprocess.run([python, "-E", "-s", "-W", "error", "-c", program], cwd=copy.parent, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_that_nobody_needs(name: str) -> None:
    tree = ast.parse(joined.join(str(PACKAGE), name))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 5
    assert not [node.name for node in functions if ast.get_docstring(node) or node.returns]
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "TYPE_CHECKING" not in names
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert defined <= names | set(joined.JOINED[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_none_of_its_parts(name: str) -> None:
    tree = ast.parse(joined.join(str(PACKAGE), name))
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert not {alias.name for node in relative for alias in node.names} & set(joined.JOINED[name][0])
    top = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not [node for node in top if node.level], "the package need not be there"


@pytest.mark.parametrize("addition", ["_THIS = 1", "def _divide(): pass", "lease = 1"])
def test_one_name_of_two_modules_is_refused(copy: Path, addition: str) -> None:
    with (copy / "question.py").open("a") as stream:
        stream.write(addition + "\n")
    with pytest.raises(ValueError, match="both define"):
        joined.join(str(copy))


def test_they_are_files_of_the_hook_and_of_a_set() -> None:
    hook, of_set = hookfiles.hook_files(), clientcopy.client_files(PACKAGE)
    for name in joined.HOOK:
        assert hook[f"virtual_sprawl/{name}.py"] == joined.join(str(PACKAGE), name)
    for name in joined.SET:
        assert of_set[f"{name}.py"] == joined.join(str(PACKAGE), name)


@pytest.mark.parametrize(("kind", "start"), [("wheel", joined.NAME), ("editable", "_hook")])
def test_installed_start_up_files_name_a_module_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, start: str
) -> None:
    monkeypatch.chdir(PACKAGE.parents[1])
    build = {"wheel": hatchling.build.build_wheel, "editable": hatchling.build.build_editable}[kind]
    with zipfile.ZipFile(tmp_path / build(str(tmp_path))) as wheel:
        assert f"virtual_sprawl.{start}" in wheel.read("virtual_sprawl.pth").decode()
        assert "virtual_sprawl.start" not in wheel.namelist()
        for name in NAMES:
            assert (f"virtual_sprawl/{name}.py" in wheel.namelist()) == (kind == "wheel")
