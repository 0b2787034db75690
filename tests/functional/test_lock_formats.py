"""One real project per lock format: locked by its tool at test time, run on real packages."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sprawld.acquire.settings import default_index
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(400)]

UV = "uv==0.13.9"
TOOLS = {
    "poetry": ("poetry==2.5.1", "poetry-plugin-pypi-mirror==0.6.5"),
    # What this release of pdm needs and does not say.
    "pdm": ("pdm==2.26.7", "hishel<2", "unearth<0.19"),
    "pipenv": ("pipenv==2026.2.0",),
}
PROJECT = """\
[project]
name = "sample"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["attrs>=23", "markupsafe>=2"]
"""
PROGRAM = """\
import attr, markupsafe
from importlib.metadata import version
print(markupsafe.escape("<ok>"), bool(version("attrs")))
"""
SCRIPT = f"""\
# /// script
# requires-python = ">=3.11"
# dependencies = ["attrs>=23", "markupsafe>=2"]
# ///
{PROGRAM}"""


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("tools") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    installed = subprocess.run(
        [venv / "bin/pip", "install", "-q", "--disable-pip-version-check", UV], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip("no package index answers")
    return venv / "bin/uv"


def run_tool(user: Sandbox, uv: Path, cwd: Path, *words: str | Path) -> str:
    """Run uv, or one of the other tools by way of it, in a home of its own and with its own cache."""
    environ = {
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_CACHE_DIR": str(uv.parents[2] / "cache"),
        "POETRY_PYPI_MIRROR_URL": default_index(),
        "PIPENV_PYTHON": sys.executable,
        "PDM_CHECK_UPDATE": "0",
        "PATH": f"{uv.parent}:{user.environ['PATH']}",
    }
    command: tuple[str | Path, ...] = (uv, *words)
    if words[0] in TOOLS:
        first, *further = TOOLS[str(words[0])]
        extras = [word for item in further for word in ("--with", item)]
        command = (uv, "tool", "run", "-q", "--from", first, *extras, *words)
    outcome = user.run(*command, cwd=cwd, env=environ, check=False, timeout=300)
    if outcome.returncode:
        pytest.skip(f"{words[0]} cannot lock here: {outcome.stderr.strip().splitlines()[-1:]}")
    return outcome.stdout


def lock_with(*words: str) -> Callable[[Callable[..., str], Path], object]:
    return lambda tool, project: tool(project, *words)


def lock_pylock(tool: Callable[..., str], project: Path) -> None:
    tool(project, "lock", "-q")
    tool(project, "export", "-q", "--format", "pylock.toml", "-o", "pylock.toml")
    (project / "uv.lock").unlink()


def lock_requirements(tool: Callable[..., str], project: Path, options: tuple[str, ...] = ()) -> None:
    tool(project, "pip", "compile", "-q", *options, "pyproject.toml", "-o", "requirements.txt")


def lock_pipfile(tool: Callable[..., str], project: Path) -> None:
    (project / "pyproject.toml").unlink()
    (project / "Pipfile").write_text(
        f'[[source]]\nname = "default"\nurl = "{default_index()}"\nverify_ssl = true\n'
        '[packages]\nattrs = ">=23"\nmarkupsafe = ">=2"\n'
    )
    tool(project, "pipenv", "lock")


FORMATS: dict[str, Callable[[Callable[..., str], Path], object]] = {
    "uv": lock_with("lock", "-q"),
    "pylock": lock_pylock,
    "poetry": lock_with("poetry", "lock", "-n"),
    "pdm": lock_with("pdm", "lock", "-q"),
    "pipfile": lock_pipfile,
    "requirements, hashed": functools.partial(lock_requirements, options=("--generate-hashes",)),
    "requirements, pinned only": lock_requirements,
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_project_runs_from_the_lock_of_its_tool(user: Sandbox, uv: Path, form: str) -> None:
    project = user.project("sample", {"pyproject.toml": PROJECT, "program.py": PROGRAM})
    tool = functools.partial(run_tool, user, uv)
    FORMATS[form](tool, project)
    assert user.sprawl("run", project / "program.py").stdout == "&lt;ok&gt; True\n"
    assert form.split(",")[0] in user.sprawl("select", "--json", project).stdout
    unpinned = user.status()["store"]["unpinned"]
    assert bool(unpinned) == (form == "requirements, pinned only")


def test_a_script_runs_from_its_own_lock(user: Sandbox, uv: Path) -> None:
    project = user.project("sample", {"program.py": SCRIPT})
    run_tool(user, uv, project, "lock", "-q", "--script", "program.py")
    assert (project / "program.py.lock").exists()
    assert user.sprawl("run", project / "program.py").stdout == "&lt;ok&gt; True\n"
