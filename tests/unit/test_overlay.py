"""Overlays in sets of real interpreters: what can be imported, what importlib.metadata says, refusals."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sprawld.errors import SprawlError
from sprawld.model import Overlay
from sprawld.pathsets import overlay as overlays
from sprawld.pathsets import setcheck
from tests.support.interpreters import on_each_interpreter
from tests.support.projects import look, pyproject, write_tree
from tests.support.workshop import Workshop, environment_of

HERE = Path(sys.executable)
TABLES = """\
description = "Does things"
dependencies = ["one >=1"]
[project.scripts]
demo = "demo_app.cli:main"
shared = "demo_app.cli:main"
[project.gui-scripts]
demo-gui = "demo_app.cli:main [x]"
[project.entry-points.acme]
plugin = "demo_app.cli:main"
"""
FILES = {
    "pyproject.toml": pyproject("hatch", TABLES, name="Demo.App", version="1.0.0-rc1"),
    "src/demo_app/__init__.py": "",
    "src/demo_app/cli.py": "import sys\ndef main():\n    print('demo', *sys.argv[1:])\n",
}
LOOK = """
import json, sys, demo_app.cli, one
from importlib.metadata import distribution, distributions, entry_points
own = distribution("demo-app")
points = entry_points()
groups = points.select(group="acme") if hasattr(points, "select") else points["acme"]
print(json.dumps({
    "file": demo_app.cli.__file__,
    "path": sys.path,
    "name": own.metadata["Name"],
    "version": own.version,
    "summary": own.metadata["Summary"],
    "requires": own.requires,
    "files": [str(file) for file in own.files],
    "there": all(file.locate().exists() for file in own.files),
    "origin": json.loads(own.read_text("direct_url.json")),
    "installer": own.read_text("INSTALLER"),
    "top": own.read_text("top_level.txt"),
    "plugins": [point.name for point in groups if point.load() is demo_app.cli.main],
    "names": sorted(found.metadata["Name"] for found in distributions()),
}))
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "pröject one", FILES)


def overlay_of(project: Path, name: str = "demo.app") -> Overlay:
    found = look(project, name).overlay
    assert found is not None
    return found


def ask(path: Path, code: str) -> Any:
    answer = subprocess.run(
        [path / "bin/python", "-c", code], cwd=path.parent, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@on_each_interpreter()
def test_what_an_interpreter_sees(workshop: Workshop, project: Path, python: Path) -> None:
    one = workshop.entry("one", entry_points={"console_scripts": {"shared": "one:main"}})
    path = workshop.build(python, one, overlays=[overlay_of(project)])
    seen = ask(path, LOOK)
    assert seen["file"] == str(project / "src/demo_app/cli.py")
    # After everything else, as an editable install is.
    assert seen["path"][-1] == str(project / "src")
    assert (seen["name"], seen["version"], seen["summary"]) == ("Demo.App", "1.0.0rc1", "Does things")
    assert seen["requires"] == ["one>=1"]
    assert seen["there"]
    assert sorted(seen["files"]) == [
        "../../../bin/demo",
        "../../../bin/demo-gui",
        "../../../bin/shared",
        "__editable__.demo-app.pth",
        *(
            f"demo_app-1.0.0rc1.dist-info/{name}"
            for name in (
                "INSTALLER",
                "METADATA",
                "RECORD",
                "WHEEL",
                "direct_url.json",
                "entry_points.txt",
                "top_level.txt",
            )
        ),
    ]
    assert seen["origin"] == {"url": project.as_uri(), "dir_info": {"editable": True}}
    assert (seen["installer"], seen["top"]) == ("virtual-sprawl\n", "demo_app\n")
    assert seen["plugins"] == ["plugin"]
    assert seen["names"] == ["Demo.App", "one"]
    for script in ("demo", "demo-gui", "shared"):
        said = subprocess.run([path / "bin" / script, "x"], capture_output=True, text=True, check=True)
        assert said.stdout == "demo x\n"
    conflict = json.loads((path / "set.json").read_text())["conflicts"]
    assert conflict == [{"path": "bin/shared", "winner": "demo-app==1.0.0rc1", "losers": ["one==1.0"]}]


def test_an_edit_is_seen_at_once(workshop: Workshop, project: Path) -> None:
    path = workshop.build(HERE, workshop.entry("one"), overlays=[overlay_of(project)])
    write_tree(project, {"src/demo_app/new.py": "x = 1\n"})
    assert ask(path, "import demo_app.new; print(demo_app.new.x)") == 1
    write_tree(project, {"src/demo_app/new.py": "x = 'other'\n"})
    assert ask(path, "import demo_app.new, json; print(json.dumps(demo_app.new.x))") == "other"
    assert not list(workshop.store.rglob("new*"))


@on_each_interpreter("3.8", "3.13")
def test_code_that_bears_another_name_in_the_tree(workshop: Workshop, tmp_path: Path, python: Path) -> None:
    tables = '[tool.setuptools]\npackages = ["demo_app"]\npackage-dir = {demo_app = "lib"}\n'
    files = {"pyproject.toml": pyproject("setuptools", tables), "lib/__init__.py": "", "lib/a/b.py": "x = 1"}
    project = write_tree(tmp_path / "p", files)
    path = workshop.build(python, overlays=[overlay_of(project, "demo-app")])
    code = "import json, demo_app.a.b as b; print(json.dumps(b.__file__))"
    file = Path(ask(path, code))
    assert file.resolve() == project / "lib/a/b.py"
    assert file == path / f"lib/{environment_of(python).library}/projects/demo-app/demo_app/a/b.py"
    # Nothing else of the project's root can be imported.
    search = "import importlib.util as u; print(int(u.find_spec('lib') is not None))"
    assert ask(path, search) == 0


def test_several_projects_in_one_set(workshop: Workshop, tmp_path: Path) -> None:
    found = []
    for name in ("beta", "alpha"):
        files = {
            "pyproject.toml": pyproject("flit", name=name),
            f"src/{name}.py": f"value = {name!r}\n",
        }
        found.append(overlay_of(write_tree(tmp_path / name, files), name))
    path = workshop.build(HERE, overlays=found)
    code = "import json, alpha, beta; from importlib.metadata import version as v\n"
    assert ask(path, code + "print(json.dumps([alpha.value, v('beta')]))") == ["alpha", "1.0"]


def test_a_set_is_built_once_more_from_its_description(
    workshop: Workshop, project: Path, tmp_path: Path
) -> None:
    overlay = overlay_of(project)
    path = workshop.build(HERE, workshop.entry("one"), overlays=[overlay])
    (path / "boot").write_text("boot")
    described = setcheck.describe_set(path)
    assert described is not None
    assert described.overlays == (overlay,)
    environment = environment_of(HERE)
    assert setcheck.is_current(path.name, described, environment)
    assert not setcheck.is_current(path.name, dataclasses.replace(described, overlays=()), environment)
    staged = tmp_path / "again"
    staged.mkdir()
    setcheck.rebuild(staged, path, described, environment, workshop.store)
    assert setcheck.compare(path, staged) == []
    assert setcheck.outline(path, described) == []


@pytest.mark.parametrize("key", ["name", "paths", "links", "entry_points"])
def test_a_damaged_record_is_none(workshop: Workshop, project: Path, key: str) -> None:
    path = workshop.build(HERE, overlays=[overlay_of(project)])
    content = json.loads((path / "set.json").read_text())
    content["overlays"][0][key] = 1
    (path / "set.json").chmod(0o644)
    (path / "set.json").write_text(json.dumps(content))
    assert setcheck.describe_set(path) is None


def test_records_tell_projects_apart(project: Path) -> None:
    base = overlay_of(project)
    assert overlays.from_record(json.loads(json.dumps(overlays.record(base)))) == base
    others = [
        dataclasses.replace(base, root="/elsewhere"),
        dataclasses.replace(base, version="2"),
        dataclasses.replace(base, entry_points=()),
        dataclasses.replace(base, paths=()),
        dataclasses.replace(base, metadata="Name: x\n"),
    ]
    records = {json.dumps(overlays.record(one)) for one in (base, *others)}
    assert len(records) == 6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"paths": ("/tmp/x\nimport os",)}, "set.collision"),
        ({"paths": ("import os",)}, "set.collision"),
        ({"paths": ("/tmp/ ",)}, "set.collision"),
        ({"entry_points": (("console_scripts", "python3", "a:b"),)}, "wheel.bad-entry-point"),
        ({"entry_points": (("console_scripts", "../x", "a:b"),)}, "wheel.bad-entry-point"),
        ({"entry_points": (("gui_scripts", "x", "a:b;c"),)}, "wheel.bad-entry-point"),
        ({"entry_points": (("console_scripts", "x", "a"),)}, "wheel.bad-entry-point"),
    ],
)
def test_what_is_never_written(workshop: Workshop, project: Path, changes: dict[str, Any], code: str) -> None:
    bad = dataclasses.replace(overlay_of(project), **changes)
    with pytest.raises(SprawlError) as refusal:
        workshop.build(HERE, overlays=[bad])
    assert refusal.value.code == code


def test_a_wheel_cannot_bring_the_files_of_a_project(workshop: Workshop, project: Path) -> None:
    # A line that names a directory of the wheel is kept, and so is the file.
    evil = workshop.entry("evil", files={"__editable__.demo-app.pth": "below\n", "below/x.py": ""})
    with pytest.raises(SprawlError) as refusal:
        workshop.build(HERE, evil, overlays=[overlay_of(project)])
    assert refusal.value.code == "set.collision"
