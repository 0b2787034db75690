"""When a local project is served where it lies, and why not otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.lockfiles.source_tree import MOST_NOTES
from tests.support.projects import look, pyproject, relative_paths, write_tree

SRC = {"src/demo_app/__init__.py": ""}
EXTENSION = "from setuptools import Extension, setup\nsetup(ext_modules=[Extension('a', ['a.c'])])\n"
STEPS = {
    "extension module": {"setup.py": EXTENSION},
    "what setup.py computes": {"setup.py": "from setuptools import setup\nsetup(**options())\n"},
    "setup.py without setup": {"setup.py": "import acme\nacme.install()\n"},
    "setup.py that does not parse": {"setup.py": "print 'hello'\n"},
    "cmdclass": {"setup.py": "import setuptools\nsetuptools.setup(cmdclass={})\n"},
    "setuptools table": {"pyproject.toml": pyproject("setuptools", "[[tool.setuptools.ext-modules]]\n")},
    "hatch hook": {"pyproject.toml": pyproject("hatch", "[tool.hatch.build.hooks.custom]\n")},
    "hatch hook of the wheel": {
        "pyproject.toml": pyproject("hatch", "[tool.hatch.build.targets.wheel.hooks.x]\n")
    },
    "poetry script": {"pyproject.toml": pyproject("poetry", '[tool.poetry]\nbuild = "build.py"\n')},
    "pdm hook": {"pyproject.toml": pyproject("pdm", '[tool.pdm.build]\ncustom-hook = "h.py"\n')},
    "maturin": {"pyproject.toml": pyproject("maturin", '[tool.maturin]\npython-source = "src"\n')},
    "scikit-build": {"pyproject.toml": pyproject("scikit_build_core.build")},
    "a backend in the tree": {
        "pyproject.toml": pyproject("hatch").replace("requires = []", 'requires = []\nbackend-path = ["."]')
    },
}


@pytest.mark.parametrize("case", STEPS)
def test_what_has_to_be_built_is_served_only_if_it_is_the_project_that_is_run(
    tmp_path: Path, case: str
) -> None:
    files = {"pyproject.toml": pyproject("setuptools")} | SRC | STEPS[case]
    tree = write_tree(tmp_path, files)
    dependency = look(tree, is_run=False)
    assert dependency.overlay is None
    assert dependency.obstacle
    run = look(tree)
    assert relative_paths(tree, run) == ["src"]
    assert f"{dependency.obstacle}: that is not done here" in run.notes


@pytest.mark.parametrize("hook", ["vcs", "version"])
def test_hooks_that_only_write_a_version_are_no_build_step(tmp_path: Path, hook: str) -> None:
    text = pyproject("hatch", f"[tool.hatch.build.hooks.{hook}]\n")
    tree = write_tree(tmp_path, {"pyproject.toml": text} | SRC)
    assert look(tree, is_run=False).overlay is not None


def test_a_setup_py_that_only_calls_setup_is_no_build_step(tmp_path: Path) -> None:
    files = {"pyproject.toml": pyproject("setuptools"), "setup.py": "import setuptools\nsetuptools.setup()\n"}
    found = look(write_tree(tmp_path, files | SRC), is_run=False)
    assert found.overlay is not None
    assert found.notes == ()


def test_a_setup_py_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"open({str(mark)!r}, 'w')\nimport setuptools\nsetuptools.setup(name='demo-app', version='1')\n"
    tree = write_tree(tmp_path / "p", {"setup.py": code, "demo_app.py": ""})
    assert relative_paths(tree, look(tree)) == ["."]
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        pyproject("hatch", name="another"),
        pyproject("hatch", name="not a name"),
        "[project\n",
        "[project]\nname = 1\n",
        pyproject("hatch", "[tool]\nhatch = 1\n"),
        pyproject("hatch", '[tool.hatch.build]\npackages = "x"\n'),
        pyproject("poetry", "[tool.poetry]\npackages = [1]\n"),
        pyproject("poetry"),
        pyproject("hatch"),
        pyproject("flit"),
    ],
)
def test_a_project_that_no_tool_would_install_is_not_served(tmp_path: Path, text: str) -> None:
    found = look(write_tree(tmp_path, {"pyproject.toml": text, "unrelated/data.txt": ""}))
    assert found.overlay is None
    assert found.obstacle.isprintable()
    assert tmp_path / "pyproject.toml" in found.watched


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert look(tmp_path / "nothing").obstacle


def test_the_name_is_kept_as_it_is_written(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"pyproject.toml": pyproject("hatch", name="Demo.App"), "demo_app.py": ""})
    overlay = look(tree).overlay
    assert overlay is not None
    assert overlay.name == "Demo.App"
    assert overlay.modules == ("demo_app",)


def test_the_notes_about_a_tree_have_an_end(tmp_path: Path) -> None:
    wrong = "".join(f'"{number}" = "not an object"\n' for number in range(4_000))
    tree = write_tree(tmp_path, {"pyproject.toml": pyproject("hatch", f"[project.scripts]\n{wrong}")} | SRC)
    assert len(look(tree).notes) == MOST_NOTES


def test_a_tree_full_of_requirements_is_refused(tmp_path: Path) -> None:
    many = ", ".join(f'"p{number}"' for number in range(6_000))
    found = look(
        write_tree(tmp_path, {"pyproject.toml": pyproject("hatch", f"dependencies = [{many}]\n")} | SRC)
    )
    assert "more than" in found.obstacle
