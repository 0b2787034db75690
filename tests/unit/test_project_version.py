"""Versions that are told without running anything, and those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.lockfiles.project_version import FALLBACK
from tests.support.projects import look, pyproject, write_tree

MODULE = '"""Docs."""\nfrom os import path\n__version__ = "1.2.3"\n'
SCM = "[tool.setuptools_scm]\n"
CASES = {
    # backend, tables, files, version
    "setuptools attr": ("setuptools", 'version = {attr = "demo_app.__version__"}', {}, "1.2.3"),
    "setuptools attr, deeper": (
        "setuptools",
        'version = {attr = "demo_app.meta.NUMBERS"}',
        {"src/demo_app/meta.py": "NUMBERS = (4, 5, 6)\n"},
        "4.5.6",
    ),
    "setuptools file": ("setuptools", 'version = {file = "VERSION"}', {"VERSION": "2.0\n"}, "2.0"),
    "setuptools files": ("setuptools", 'version = {file = ["VERSION"]}', {"VERSION": "v2.0-rc1"}, "2.0rc1"),
}
TABLES = {
    "hatch path": ("hatch", '[tool.hatch.version]\npath = "src/demo_app/__init__.py"\n', {}, "1.2.3"),
    "hatch annotated": (
        "hatch",
        '[tool.hatch.version]\npath = "about.py"\n',
        {"about.py": "VERSION: str = 'v3.1'\n"},
        "3.1",
    ),
    "hatch pattern": (
        "hatch",
        '[tool.hatch.version]\npath = "about.py"\npattern = "(a+)+(?P<version>b)"\n',
        {"about.py": "__version__ = '1'\n"},
        "1",
    ),
    "hatch code": (
        "hatch",
        '[tool.hatch.version]\nsource = "code"\npath = "about.py"\nexpression = "ABOUT"\n',
        {"about.py": "ABOUT = '7'\n"},
        "7",
    ),
    "hatch vcs fallback": (
        "hatch",
        '[tool.hatch.version]\nsource = "vcs"\nfallback-version = "0.9"\n',
        {},
        "0.9",
    ),
    "flit": ("flit", "", {}, "1.2.3"),
    "pdm file": (
        "pdm",
        '[tool.pdm.version]\nsource = "file"\npath = "src/demo_app/__init__.py"\n',
        {},
        "1.2.3",
    ),
    "pdm scm fallback": ("pdm", '[tool.pdm.version]\nsource = "scm"\nfallback_version = "0.1"\n', {}, "0.1"),
    "poetry": ("poetry", '[tool.poetry]\nversion = "5.0"\n', {}, "5.0"),
    "setup.cfg attr": (
        "setuptools",
        "",
        {"setup.cfg": "[metadata]\nversion = attr: demo_app.__version__\n"},
        "1.2.3",
    ),
    "setup.cfg": ("setuptools", "", {"setup.cfg": "[metadata]\nversion = 8.1\n"}, "8.1"),
    "setup.py": (
        "setuptools",
        "",
        {"setup.py": "import setuptools\nsetuptools.setup(version='8.2')\n"},
        "8.2",
    ),
    "setuptools-scm, after a build": (
        "setuptools",
        SCM + 'version_file = "src/demo_app/_version.py"\n',
        {"src/demo_app/_version.py": "__version__ = version = '6.1.dev3+g12ab'\n"},
        "6.1.dev3+g12ab",
    ),
    "hatch-vcs, after a build": (
        "hatch",
        '[tool.hatch.version]\nsource = "vcs"\n[tool.hatch.build.hooks.vcs]\nversion-file = "_v.py"\n',
        {"_v.py": "__version__ = '6.2'\n"},
        "6.2",
    ),
}
CASES |= {
    name: (backend, f"[tool.setuptools.dynamic]\n{table}\n", files, version)
    for name, (backend, table, files, version) in CASES.items()
}
CASES |= TABLES


@pytest.mark.parametrize("case", CASES)
def test_a_dynamic_version_is_read_and_not_computed(tmp_path: Path, case: str) -> None:
    backend, tables, files, version = CASES[case]
    text = pyproject(backend, tables, version="")
    write_tree(tmp_path, {"src/demo_app/__init__.py": MODULE, "pyproject.toml": text, **files})
    found = look(tmp_path, version="0.0.1")
    assert found.overlay is not None, found.obstacle
    assert found.overlay.version == version
    assert f"\nVersion: {version}\n" in found.overlay.metadata
    assert found.notes == ()
    # Every file of the tree that was read is looked at again by the next request.
    assert all(tmp_path / name in found.watched for name in files)


@pytest.mark.parametrize(
    ("backend", "tables"),
    [
        ("setuptools", '[tool.setuptools.dynamic]\nversion = {attr = "demo_app.made"}\n'),
        ("setuptools", SCM),
        ("hatch", '[tool.hatch.version]\nsource = "vcs"\n'),
        ("hatch", '[tool.hatch.version]\npath = "../secret.py"\n'),
        ("hatch", '[tool.hatch.version]\npath = "nothing.py"\n'),
        ("acme_build", ""),
    ],
)
def test_a_version_that_cannot_be_told(tmp_path: Path, backend: str, tables: str) -> None:
    write_tree(tmp_path, {"secret.py": "__version__ = '6'\n"})
    project = write_tree(
        tmp_path / "p",
        {
            "src/demo_app/__init__.py": "import os\nmade = os.environ['X']\n",
            "pyproject.toml": pyproject(backend, tables, version=""),
        },
    )
    locked, unlocked = look(project, version="3.3"), look(project)
    assert locked.overlay is not None
    assert unlocked.overlay is not None
    assert locked.overlay.version == "3.3"
    assert unlocked.overlay.version == FALLBACK
    assert any(f"it is {FALLBACK} here" in note for note in unlocked.notes)


def test_what_the_project_file_states_counts_before_the_lock(tmp_path: Path) -> None:
    write_tree(tmp_path, {"src/demo_app.py": "", "pyproject.toml": pyproject("uv", version="2.0")})
    overlay = look(tmp_path, version="1.0").overlay
    assert overlay is not None
    assert overlay.version == "2.0"


def test_a_file_that_only_a_build_writes_is_named(tmp_path: Path) -> None:
    tables = SCM + 'write_to = "src/demo_app/_version.py"\n'
    write_tree(
        tmp_path,
        {"src/demo_app/__init__.py": "", "pyproject.toml": pyproject("setuptools", tables, version="")},
    )
    found = look(tmp_path)
    assert any("src/demo_app/_version.py is not there" in note for note in found.notes)
    assert tmp_path / "src/demo_app/_version.py" in found.watched


def test_a_source_that_is_not_python_is_no_trouble(tmp_path: Path) -> None:
    for text in ("def (", "x = " + "(" * 5_000, "\0", "x = 1" + "\nx = " * 3):
        write_tree(tmp_path, {"demo_app.py": text, "pyproject.toml": pyproject("flit", version="")})
        overlay = look(tmp_path).overlay
        assert overlay is not None
        assert overlay.version == FALLBACK
