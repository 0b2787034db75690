"""The project itself in its set: its commands, metadata and code, and what an edit of it does."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.locks import package, uv_lock
from tests.support.projects import pyproject, write_tree
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

TABLES = """\
dependencies = ["lib"]
[project.scripts]
greet = "demo_app.cli:main"
[project.entry-points.acme]
one = "demo_app.cli:main"
"""
MAIN = "import lib, sys\ndef main():\n    print('hello', *sys.argv[1:])\n"
LOOK = """
import json, sys
from importlib.metadata import entry_points, version
import demo_app.cli
points = entry_points()
points = points.select(group="acme") if hasattr(points, "select") else points["acme"]
names = [point.name for point in points]
print(json.dumps([version("demo-app"), names, demo_app.cli.__file__, sys.prefix]))
"""


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    index.add(build_wheel(tmp_path, "lib", "1.0"))
    files = {
        "pyproject.toml": pyproject("hatch", TABLES),
        "uv.lock": lock(index),
        "src/demo_app/__init__.py": "",
        "src/demo_app/cli.py": MAIN,
    }
    return sandbox.project("demo", files)


def lock(index: SimpleIndex, *more: str, source: str = 'editable = "."') -> str:
    wheel = index.file_url("lib-1.0-py3-none-any.whl")
    digest = index.sha256("lib-1.0-py3-none-any.whl")
    lib = (
        f'[[package]]\nname = "lib"\nversion = "1.0"\nsource = {{ registry = "{index.url}" }}\n'
        f'wheels = [{{ url = "{wheel}", hash = "sha256:{digest}" }}]\n'
    )
    needs = ", ".join(f'{{ name = "{name}" }}' for name in ("lib", *("beside",) * bool(more)))
    return uv_lock(package("demo-app", source=source, dependencies=needs), lib, *more)


def look(sandbox: Sandbox, project: Path, **options: Any) -> list[Any]:
    found: list[Any] = json.loads(sandbox.sprawl("run", "-c", LOOK, cwd=project, **options).stdout)
    return found


def settle(*paths: Path) -> None:
    """Wait until a reply about these files may be kept: what changed just now may change again."""
    newest = max(path.stat().st_ctime_ns for path in paths)
    while time.time_ns() < newest + 50_000_000:
        os.sched_yield()


def test_its_command_its_metadata_and_its_code(sandbox: Sandbox, project: Path) -> None:
    assert sandbox.sprawl("run", "greet", "you", cwd=project).stdout == "hello you\n"
    version, names, file, prefix = look(sandbox, project)
    assert (version, names) == ("1.0", ["one"])
    assert file == str(project / "src/demo_app/cli.py")
    hooked = sandbox.run(sys.executable, "-c", LOOK, cwd=project, env={"VIRTUAL_SPRAWL": "1"})
    assert json.loads(hooked.stdout) == [version, names, file, prefix]
    # Nothing of the project is in the store.
    assert not [
        path for path in sandbox.store.rglob("*") if path.name in ("cli.py", "demo_app", "demo_app.py")
    ]


def test_edits_of_the_code_are_seen_and_cost_no_new_set(sandbox: Sandbox, project: Path) -> None:
    prefix = look(sandbox, project)[3]
    write_tree(project, {"src/demo_app/cli.py": MAIN.replace("hello", "good morning")})
    assert sandbox.sprawl("run", "greet", cwd=project).stdout == "good morning\n"
    assert look(sandbox, project)[3] == prefix


def test_edits_of_the_project_file_give_a_new_set_at_once(sandbox: Sandbox, project: Path) -> None:
    first = look(sandbox, project)
    edited = pyproject("hatch", TABLES.replace("one =", "two ="), version="1.1")
    write_tree(project, {"pyproject.toml": edited})
    second = look(sandbox, project)
    assert second[:2] == ["1.1", ["two"]]
    assert second[3] != first[3]
    added = edited.replace("greet =", 'also = "demo_app.cli:main"\ngreet =')
    write_tree(project, {"pyproject.toml": added})
    assert sandbox.sprawl("run", "also", cwd=project).stdout == "hello\n"
    # And back: the first set is still there.
    write_tree(project, {"pyproject.toml": pyproject("hatch", TABLES)})
    assert look(sandbox, project) == first


def test_a_warm_start_stays_one_dictionary_away(sandbox: Sandbox, project: Path) -> None:
    look(sandbox, project)
    settle(project / "pyproject.toml", project / "uv.lock", project / "src")
    look(sandbox, project)
    before = sandbox.status()["ready"]
    look(sandbox, project)
    after = sandbox.status()["ready"]
    assert after["hits"] == before["hits"] + 1
    assert after["stale"] == before["stale"]


def test_only_projects_that_are_packages_have_sets_of_their_own(
    sandbox: Sandbox, index: SimpleIndex, project: Path
) -> None:
    code = "import sys, lib; print(sys.prefix)"

    def prefix(directory: Path) -> str:
        return sandbox.sprawl("run", "-c", code, cwd=directory).stdout

    files = {path.name: path.read_text() for path in (project / "pyproject.toml", project / "uv.lock")}
    other = sandbox.project("other", files | {"src/demo_app/__init__.py": ""})
    assert prefix(project) != prefix(other)
    plain = {"pyproject.toml": pyproject("", "[tool.uv]\npackage = false\n")}
    plain["uv.lock"] = lock(index, source='virtual = "."')
    one, two = sandbox.project("one", plain), sandbox.project("two", plain)
    assert prefix(one) == prefix(two)


def test_a_project_beside_it_and_one_that_has_to_be_built(
    sandbox: Sandbox, index: SimpleIndex, project: Path
) -> None:
    beside = {"pyproject.toml": pyproject("flit", name="beside"), "beside.py": "value = 1\n"}
    write_tree(project / "libs/beside", beside)
    text = lock(index, package("beside", source='editable = "libs/beside"'))
    write_tree(project, {"uv.lock": text})
    code = "import beside; from importlib.metadata import version; print(beside.value, version('beside'))"
    assert sandbox.sprawl("run", "-c", code, cwd=project).stdout == "1 1.0\n"

    write_tree(
        project / "libs/beside", {"pyproject.toml": pyproject("scikit_build_core.build", name="beside")}
    )
    refused = sandbox.sprawl("run", "-c", code, cwd=project, check=False)
    assert refused.returncode == 125
    assert "[select.needs-build]" in refused.stderr
    assert "beside: nothing is known of its build backend 'scikit_build_core.build'" in refused.stderr


def test_select_shows_it_and_says_what_is_missing(sandbox: Sandbox, project: Path) -> None:
    def document() -> Any:
        return json.loads(sandbox.sprawl("select", "--json", cwd=project).stdout)

    shown = document()
    own = next(item for item in shown["packages"] if item["name"] == "demo-app")
    assert (own["kind"], own["needs_build"]) == ("editable", False)
    assert shown["warnings"] == []
    write_tree(project, {"pyproject.toml": pyproject("hatch", TABLES, version="")})
    assert document()["warnings"] == ["demo-app: its version is made by its build backend: it is 1.0 here"]
    assert look(sandbox, project)[0] == "1.0"


def test_such_a_set_is_verified_and_kept(sandbox: Sandbox, project: Path) -> None:
    look(sandbox, project)
    assert sandbox.ctl("verify", "--all")["problems"] == []
    sandbox.ctl("gc")
    before = sandbox.tree()
    look(sandbox, project, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert sandbox.tree() == before
