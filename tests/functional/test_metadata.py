"""importlib.metadata in a set, held against a virtual environment that pip made from the same wheels."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.interpreters import on_each_interpreter
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

WHEELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "Mixed.Case": {"files": {"mixed_case/__init__.py": "", "mixed_extra.py": ""}},
    "plugins": {
        "entry_points": {
            "console_scripts": {"tool": "plugins:main", "Other-Tool": "plugins:main"},
            "acme.plugins": {"one": "plugins:One", "two": "plugins.sub:Two [fast]"},
        },
        "files": {"plugins/__init__.py": "def main(): print('tool')\nclass One: pass\n"},
        "requires": ["plain (>=1)", "mixed-case ; extra == 'fast'"],
        "metadata": ["Summary: with plugins", "Provides-Extra: fast", "Keywords: a,b"],
    },
    "spread-one": {"files": {"spread/one/__init__.py": "", "spread/data.txt": "x"}},
    "spread-two": {"files": {"spread/two.py": ""}, "entry_points": {"acme.plugins": {"three": "spread.two"}}},
    "scripts": {
        "files": {"scripts_module.py": ""},
        "data": {"scripts/old": "#!python\nprint('old')\n", "data/share/doc/x.txt": "x"},
        "requires_python": ">=3.8",
    },
}
LOOK = """
import json
from importlib import metadata
def of(found):
    # pip's own: it writes bytecode, and where a file came from.
    mine = ("INSTALLER", "REQUESTED", "direct_url.json")
    files = [str(file) for file in found.files if "__pycache__" not in str(file) and file.name not in mine]
    return {
        "version": found.version,
        "metadata": sorted(map(list, found.metadata.items())),
        "requires": found.requires,
        "files": sorted(files),
        "there": [str(file) for file in found.files if not file.locate().exists()],
        "entry_points": sorted([p.group, p.name, p.value] for p in found.entry_points),
    }
every = [(d.metadata["Name"], of(d)) for d in metadata.distributions()
         if d.metadata["Name"] not in ("pip", "setuptools")]
points = metadata.entry_points()
groups = {name: points.select(group=name) if hasattr(points, "select") else points[name]
          for name in ("acme.plugins", "console_scripts")}
modules = getattr(metadata, "packages_distributions", dict)()
print(json.dumps({
    "distributions": sorted(every),
    "groups": {name: sorted(p.name for p in found if not p.name.startswith("pip"))
               for name, found in groups.items()},
    "modules": {name: sorted(found) for name, found in modules.items() if not name.startswith(
        ("pip", "__pycache__", "setuptools", "pkg_resources", "_distutils_hack", "_virtual_sprawl"))},
    "by name": [metadata.version(name) for name in ("mixed-case", "Mixed_Case", "PLAIN", "spread_one")],
}))
"""


def ask(python: Path, tmp_path: Path) -> Any:
    done = subprocess.run([python, "-c", LOOK], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@on_each_interpreter("3.8", "3.9", "3.11", "3.13", "3.14")
def test_the_answers_are_those_of_a_virtual_environment(tmp_path: Path, python: Path) -> None:
    workshop = Workshop(tmp_path / "store")
    entries = [workshop.entry(name, **options) for name, options in WHEELS.items()]
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    wheels = sorted((tmp_path / "built").glob("*.whl"))
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", "--no-index", "--no-deps", *wheels]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    subprocess.run(pip, check=True, env=environ | {"PIP_CONFIG_FILE": os.devnull}, capture_output=True)
    theirs = ask(tmp_path / "venv/bin/python", tmp_path)
    ours = ask(workshop.build(python, *entries) / "bin/python", tmp_path)
    assert ours == theirs
    names = [name for name, _ in ours["distributions"]]
    assert len(names) == len(set(names)) == len(WHEELS)
    assert all(found["there"] == [] for _, found in ours["distributions"])
