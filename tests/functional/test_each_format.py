"""Extras and groups of a real project, locked by each tool at test time and run on real packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sprawld.acquire.settings import default_index
from tests.conformance.tools import Toolbox, ToolMissingError
from tests.support.sandbox import Sandbox, network_settings

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(400)]

PROJECT = """\
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["six>=1.16"]
[project.optional-dependencies]
web = ["click>=8"]
[dependency-groups]
dev = ["attrs>=23"]
docs = ["markupsafe>=2"]
[tool.poetry]
package-mode = false
[tool.pdm]
distribution = false
[tool.uv]
package = false
"""
PIPFILE = f"""\
[[source]]
name = "default"
url = "{default_index()}"
verify_ssl = true
[packages]
six = ">=1.16"
[dev-packages]
attrs = ">=23"
[docs]
markupsafe = ">=2"
"""
LOOK = """
import importlib.util
print(*(name for name in ("six", "click", "attr", "markupsafe") if importlib.util.find_spec(name)))
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return Toolbox(tmp_path_factory.mktemp("tools"))


def tool(tools: Toolbox, project: Path, name: str, *words: str, **environ: str) -> None:
    """Run a tool in the project; skips where it cannot be had or no index answers it."""
    try:
        command = tools.uv if name == "uv" else tools.tool(name) / name
    except ToolMissingError as error:
        pytest.skip(str(error))
    environ |= {
        "POETRY_PYPI_MIRROR_URL": os.environ.get("PIP_INDEX_URL") or default_index(),
        "POETRY_VIRTUALENVS_CREATE": "false",
        "PDM_CHECK_UPDATE": "0",
        "PDM_PYTHON": sys.executable,
        "PIPENV_PYTHON": sys.executable,
        "UV_PYTHON": sys.executable,
        **network_settings(),
    }
    done = subprocess.run(
        [command, *words],
        cwd=project,
        env=tools.environ(environ),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        pytest.skip(f"{name} cannot lock here: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def by_uv(tools: Toolbox, project: Path) -> None:
    tool(tools, project, "uv", "lock", "-q")


def by_poetry(tools: Toolbox, project: Path) -> None:
    tool(tools, project, "poetry", "lock", "-n")


def by_pdm(tools: Toolbox, project: Path) -> None:
    tool(tools, project, "pdm", "lock", "-q", "-G", ":all")


def by_pdm_as_pylock(tools: Toolbox, project: Path) -> None:
    tool(tools, project, "pdm", "lock", "-q", "-G", ":all", PDM_LOCK_FORMAT="pylock")
    assert (project / "pylock.toml").exists()


def by_pipenv(tools: Toolbox, project: Path) -> None:
    (project / "pyproject.toml").unlink()
    (project / "Pipfile").write_text(PIPFILE)
    tool(tools, project, "pipenv", "lock")
    tool(tools, project, "pipenv", "lock", "--categories", "docs")


LOCKS = {
    "uv.lock": by_uv,
    "poetry.lock": by_poetry,
    "pdm.lock": by_pdm,
    "pylock.toml": by_pdm_as_pylock,
    "Pipfile.lock": by_pipenv,
}
DEFAULT = {
    "uv.lock": "six attr",  # the group `dev`
    "poetry.lock": "six attr markupsafe",  # every group that is not optional
    "pdm.lock": "six attr markupsafe",  # every development group
    "pylock.toml": "six",  # the file's default groups
    "Pipfile.lock": "six",
}


@pytest.mark.parametrize("name", LOCKS)
def test_extras_and_groups_of_a_project(user: Sandbox, tools: Toolbox, name: str) -> None:
    project = user.project("sample", {"pyproject.toml": PROJECT})
    LOCKS[name](tools, project)

    def importable(*options: str) -> str:
        return user.sprawl("run", *options, "-c", LOOK, cwd=project, timeout=300).stdout.strip()

    assert selected(user, project)["lock"] == str(project / name)
    assert importable() == DEFAULT[name]
    assert importable("--no-dev", "--group", "docs") == "six markupsafe"
    assert importable("--only-group", "docs") == "markupsafe"
    assert importable("--group", "dev", "--group", "docs") == "six attr markupsafe"
    if name != "Pipfile.lock":  # it knows no extras
        assert importable("--no-dev", "--extra", "web") == "six click"
        assert importable("--all-extras", "--all-groups") == "six click attr markupsafe"


def test_a_lock_that_pip_made(user: Sandbox, tools: Toolbox) -> None:
    project = user.project("sample", {"needs.txt": "six>=1.16\nclick>=8\n"})
    tool(tools, project, "pip", "lock", "-q", "-r", "needs.txt")
    assert selected(user, project)["format"] == "pylock 1.0"
    assert user.sprawl("run", "-c", LOOK, cwd=project, timeout=300).stdout == "six click\n"


def selected(user: Sandbox, project: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(user.sprawl("select", "--json", project).stdout)
    return document
