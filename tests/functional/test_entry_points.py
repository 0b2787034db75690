"""Entry points come from one file of the set, and nothing that a program sees of distributions is another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.interpreters import newest, on_each_interpreter
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

WHEELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Mixed.Case": {"entry_points": "[acme.plugins]\r\none = mixed_case:One\r\n"},
    "plugins": {
        "files": {"plugins/__init__.py": "def main(): pass\nclass One: pass\n"},
        "entry_points": {"console_scripts": {"tool": "plugins:main"}, "acme.plugins": {"two": "plugins:One"}},
    },
    "empty": {"entry_points": ""},
}
LOOK = """
import copy, json, os, pickle, sys
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("entry_points.txt"):
        opened.append(os.path.dirname(arguments[0]))
import plugins
from importlib import metadata
from importlib.machinery import PathFinder
def of(found):
    points = [(point.group, point.name, point.value) for point in found.entry_points]
    names = ("entry_points.txt", "METADATA", "RECORD", "nothing", "top_level.txt")
    return {
        "path": str(found._path), "type": repr(type(found)), "repr": repr(found).partition(" at ")[0],
        "is": isinstance(found, metadata.PathDistribution), "own": sorted(vars(found)),
        "texts": [found.read_text(name) for name in names], "points": points,
        "files": [str(file) for file in found.files], "there": str(found.locate_file("x")),
        "version": found.version, "name": found.metadata["Name"], "requires": found.requires,
    }
def every(finder, **fields):
    return [of(one) for one in finder.find_distributions(metadata.DistributionFinder.Context(**fields))]
fields = [{}, {"name": "mixed-case"}, {"name": "PLAIN"}, {"name": "nobody"}, {"path": sys.path[:1]}]
theirs = [every(metadata.MetadataPathFinder, **one) for one in fields]
ours = [every(PathFinder, **one) for one in fields]
one = metadata.distribution("plugins")
again = [pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)]
sys.addaudithook(watch)
points = metadata.entry_points()
seen = list(opened)
plugins = points.select(group="acme.plugins") if hasattr(points, "select") else points["acme.plugins"]
try:
    pickled = [point.name for point in pickle.loads(pickle.dumps(list(plugins)))]
except TypeError as error:  # some versions cannot
    pickled = [point.name for point in plugins]
print(json.dumps({
    "theirs": theirs, "ours": ours, "again": [of(found) for found in again], "one": of(one),
    "plugins": sorted(point.name for point in plugins), "pickled": sorted(pickled), "opened": seen,
    "loaded": [point.load().__name__ for point in plugins if point.name == "two"],
}))
"""


def look(python: Path, cwd: Path, **variables: str) -> Any:
    done = subprocess.run(
        [python, "-c", LOOK], capture_output=True, text=True, cwd=cwd, env={"PATH": os.defpath, **variables}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def dropped(directory: Path) -> Path:
    """Make a directory for PYTHONPATH with a distribution that no set knows."""
    info = directory / "other-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (info / "RECORD").write_text("other-2.0.dist-info/METADATA,,\n")
    (info / "entry_points.txt").write_text("[acme.plugins]\nthree = plugins:One\n")
    return directory


@on_each_interpreter()
def test_the_answers_are_those_of_cpython(workshop: Workshop, tmp_path: Path, python: Path) -> None:
    entries = [workshop.entry(name, **options) for name, options in WHEELS.items()]
    other = dropped(tmp_path / "other")
    found = look(workshop.build(python, *entries) / "bin/python", tmp_path, PYTHONPATH=str(other))
    assert found["ours"] == found["theirs"]
    assert [len(some) for some in found["ours"]] == [5, 1, 1, 0, 0]
    assert all(again == found["one"] for again in found["again"])
    assert found["plugins"] == found["pickled"] == ["one", "three", "two"]
    assert found["loaded"] == ["One"]
    # Only that of what the set does not know.
    assert set(found["opened"]) == {str(other / "other-2.0.dist-info")}


@pytest.mark.parametrize("wrong", ["absent", "damaged", "open", "newer"])
def test_without_the_file_each_is_opened(workshop: Workshop, tmp_path: Path, wrong: str) -> None:
    path = workshop.build(newest(), *(workshop.entry(name, **options) for name, options in WHEELS.items()))
    file = path / "entry-points"
    content = file.read_bytes()
    file.unlink()
    if wrong != "absent":
        file.write_bytes(content[:20] if wrong == "damaged" else content)
        file.chmod(0o666 if wrong == "open" else 0o444)
    if wrong == "newer":
        file.chmod(0o644)
        file.write_bytes(content.replace(b"\x01\x00\x00\x00", b"\x09\x00\x00\x00", 1))
    (tmp_path / "empty").mkdir()
    found = look(path / "bin/python", tmp_path / "empty")
    assert found["ours"] == found["theirs"]
    assert len({Path(name).name for name in found["opened"]}) == len(WHEELS)


def test_a_project_s_own_distribution_is_read_as_it_lies(workshop: Workshop, tmp_path: Path) -> None:
    """What somebody puts into a set that may be written to is found, too."""
    path = workshop.build(newest(), *(workshop.entry(name, **options) for name, options in WHEELS.items()))
    site_packages = next(path.glob("lib/*/site-packages"))
    site_packages.chmod(0o755)
    shutil.copytree(
        dropped(tmp_path / "other") / "other-2.0.dist-info", site_packages / "other-2.0.dist-info"
    )
    found = look(path / "bin/python", tmp_path)
    assert found["ours"] == found["theirs"]
    assert found["plugins"] == ["one", "three", "two"]
    assert set(found["opened"]) == {str(site_packages / "other-2.0.dist-info")}
