"""The project in its set, held against the editable installs that uv and pip make of the same tree.

The build backends come from the user's package index; the sets need none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.tools import Toolbox, ToolMissingError
from tests.support.projects import write_tree
from tests.support.sandbox import Sandbox, network_settings

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.timeout(400)]

BACKENDS = {
    "setuptools": ("setuptools>=77", "setuptools.build_meta"),
    "hatch": ("hatchling>=1.27", "hatchling.build"),
    "poetry": ("poetry-core>=2.0", "poetry.core.masonry.api"),
    "pdm": ("pdm-backend>=2.4", "pdm.backend"),
    "uv": ("uv-build>=0.8", "uv_build"),
    "flit": ("flit-core>=3.11", "flit_core.buildapi"),
}
FULL = """\
description = "Does things"
requires-python = ">=3.11"
keywords = ["one", "two"]
license = "MIT"
authors = [{name = "A B", email = "a@example.org"}]
classifiers = ["Typing :: Typed"]
dependencies = ["six >=1.16", "attrs ; sys_platform == 'win32'"]
[project.urls]
Home = "https://example.org"
[project.optional-dependencies]
cool = ["attrs>=23; os_name == 'nt' or os_name == 'posix'"]
[project.scripts]
demo = "demo_app.cli:main"
[project.entry-points."acme.plugins"]
a = "demo_app.cli:main"
"""
CODE = {
    "demo_app/__init__.py": '"""Does things"""\n__version__ = "1.2.3"\n',
    "demo_app/cli.py": "def main():\n    print('demo')\n",
}
SRC = {f"src/{name}": text for name, text in CODE.items()}
LIB = {f"lib/py/{name}": text for name, text in CODE.items()}
CASES = {
    # backend, version, tables, files
    "setuptools-src": ("setuptools", 'version = "1.2.3"', "", SRC),
    "setuptools-flat": ("setuptools", 'version = "1.2.3"', "", CODE),
    "setuptools-where": (
        "setuptools",
        'dynamic = ["version"]',
        '[tool.setuptools.dynamic]\nversion = {attr = "demo_app.__version__"}\n'
        '[tool.setuptools.packages.find]\nwhere = ["lib/py"]\n[tool.setuptools.package-dir]\n"" = "lib/py"\n',
        LIB,
    ),
    "hatch-src": (
        "hatch",
        'dynamic = ["version"]',
        '[tool.hatch.version]\npath = "src/demo_app/__init__.py"\n',
        SRC,
    ),
    "hatch-packages": (
        "hatch",
        'version = "1.2.3"',
        '[tool.hatch.build.targets.wheel]\npackages = ["lib/py/demo_app"]\n',
        LIB,
    ),
    "hatch-flat": ("hatch", 'version = "1.2.3"', "", CODE),
    "poetry-from": (
        "poetry",
        'version = "1.2.3"',
        '[tool.poetry]\npackages = [{include = "demo_app", from = "lib/py"}]\n',
        LIB,
    ),
    "pdm-src": (
        "pdm",
        'dynamic = ["version"]',
        '[tool.pdm.version]\nsource = "file"\npath = "src/demo_app/__init__.py"\n',
        SRC,
    ),
    "uv-src": ("uv", 'version = "1.2.3"', "", SRC),
    "flit-src": ("flit", 'dynamic = ["version"]', "", SRC),
    "flit-flat": ("flit", 'version = "1.2.3"', "", CODE),
}
BY_PIP = ("setuptools-src", "hatch-flat", "flit-flat")
LOOK = """
import json, re, subprocess, sys, sysconfig
from importlib.metadata import distribution, distributions, entry_points
import demo_app.cli
own = distribution("demo-app")
metadata = own.metadata.json
metadata.pop("metadata_version")
metadata.pop("description", None)
metadata.pop("description_content_type", None)
metadata.pop("dynamic", None)
# Old and new ways of saying the same.
metadata.pop("license", None), metadata.pop("license_expression", None), metadata.pop("license_file", None)
metadata.pop("home_page", None)
metadata.pop("import_name", None)
# Names and addresses share a header or not.
people = " ".join(str(metadata.pop(key, "")) for key in ("author", "author_email"))
metadata["people"] = sorted(set(re.split("[ <>]+", people.strip(" <>"))))
for key in ("requires_dist", "classifier", "project_url", "provides_extra"):
    metadata[key] = sorted(metadata.get(key, []))
metadata["requires_dist"] = sorted(sorted(re.split(r"and|;", re.sub(r"[ ()\\"']", "", text)))
                                   for text in metadata["requires_dist"])
metadata["keywords"] = sorted(re.split("[, ]+", str(metadata.get("keywords", "")).strip("[]")))
origin = json.loads(own.read_text("direct_url.json"))
print(json.dumps({
    "version": own.version,
    "metadata": metadata,
    "points": sorted((p.group, p.name, p.value) for p in own.entry_points),
    "found": [p.name for p in entry_points(group="acme.plugins")],
    "file": demo_app.cli.__file__,
    "origin": [origin["url"].rstrip("/"), origin["dir_info"]["editable"]],
    "script": subprocess.check_output([sysconfig.get_path("scripts") + "/demo"], text=True),
    "names": sorted(d.metadata["Name"] for d in distributions() if d.metadata["Name"] != "pip"),
}, sort_keys=True))
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return Toolbox(tmp_path_factory.mktemp("tools"))


def make_project(user: Sandbox, case: str) -> Path:
    backend, version, tables, files = CASES[case]
    needs, module = BACKENDS[backend]
    text = f'[project]\nname = "demo-app"\n{version}\n{FULL}{tables}'
    text += f'[build-system]\nrequires = ["{needs}"]\nbuild-backend = "{module}"\n'
    return write_tree(user.root / "projects" / case, {"pyproject.toml": text, **files})


def uv(tools: Toolbox, project: Path, *words: str) -> None:
    """Run uv in the project; skips where it cannot be had or no index answers it."""
    try:
        command = tools.uv
    except ToolMissingError as error:
        pytest.skip(str(error))
    environ = tools.environ({"UV_PYTHON": sys.executable, **network_settings()})
    done = subprocess.run([command, *words], cwd=project, env=environ, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"uv cannot do it here: {done.stderr.strip().splitlines()[-3:]}")


def ask(python: Path) -> Any:
    done = subprocess.run([python, "-c", LOOK], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of_set(user: Sandbox, project: Path) -> Any:
    path = user.sprawl("sync", "--print-path", cwd=project, timeout=300).stdout.strip()
    return ask(Path(path) / "bin/python")


@pytest.mark.parametrize("case", [case for case in CASES if case not in BY_PIP])
def test_as_uv_syncs_it(user: Sandbox, tools: Toolbox, case: str) -> None:
    project = make_project(user, case)
    uv(tools, project, "sync", "-q")
    ours, theirs = of_set(user, project), ask(project / ".venv/bin/python")
    if case == "setuptools-flat":
        # setuptools left metadata in the project's root, which is on the set's path and not on uv's.
        ours["names"] = sorted(set(ours["names"]))
    assert ours == theirs
    warnings = json.loads(user.sprawl("select", "--json", cwd=project).stdout)["warnings"]
    assert warnings == []


@pytest.mark.parametrize("case", BY_PIP)
def test_as_pip_installs_it(user: Sandbox, case: str, tmp_path: Path) -> None:
    project = make_project(user, case)
    (project / "requirements.txt").write_text("-e .\nsix==1.17.0\n")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"]
    done = subprocess.run(pip, cwd=project, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot do it here: {done.stderr.strip().splitlines()[-3:]}")
    theirs, ours = ask(venv / "bin/python"), of_set(user, project)
    # An environment of before 3.12 is made with setuptools in it.
    theirs["names"] = [name for name in theirs["names"] if name != "setuptools"]
    assert ours == theirs
