"""Start-up files of wheels: what runs, what the user may allow, and what never runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sprawld.config import load_config
from sprawld.pathsets import setcheck, startup
from sprawld.pathsets.pathset import set_digest
from tests.support.interpreters import newest
from tests.support.workshop import Workshop, environment_of
from virtual_sprawl import hookfiles

NAMESPACE = (
    "import sys, types, os;p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('ns',));"
    "m = sys.modules.setdefault('ns', types.ModuleType('ns'));"
    "mp = m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)\n"
)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def run(path: Path, code: str) -> str:
    command = [path / "bin/python", "-I", "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    ).stdout


def test_what_the_user_allows_runs_and_makes_another_set(workshop: Workshop) -> None:
    entry = workshop.entry(
        "hunter", files={"hunter.pth": "import hunted\n", "hunted.py": "import sys; sys.hunted = 1"}
    )
    refused = workshop.build(newest(), entry)
    allowed = workshop.build(newest(), entry, allowed=startup.ALLOWED | {"hunter"})
    assert refused != allowed
    code = "import sys; print(hasattr(sys, 'hunted'))"
    assert run(refused, code) == "False\n"
    assert run(allowed, code) == "True\n"
    described = setcheck.describe_set(allowed)
    assert described is not None
    assert described.allowed == ("coverage", "hunter", "setuptools")
    assert setcheck.is_current(allowed.name, described, environment_of(newest()))
    staged = workshop.store / "tmp/again"
    staged.mkdir()
    setcheck.rebuild(staged, allowed, described, environment_of(newest()), workshop.store)
    (allowed / "boot").touch()
    assert setcheck.compare(allowed, staged) == []


def test_the_order_of_names_makes_no_difference() -> None:
    environment = environment_of(newest())
    digests = [set_digest([], environment, "c", (), allowed) for allowed in (["b", "a"], ["a", "b"], ["a"])]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("allowed", [frozenset[str](), frozenset({"ns-a"})])
def test_lines_for_a_namespace_are_never_needed(
    workshop: Workshop, init: bool, allowed: frozenset[str]
) -> None:
    one = {"ns/a.py": "", "ns_a-1.0-py3.13-nspkg.pth": NAMESPACE}
    two = {"ns/b.py": "", **({"ns/__init__.py": ""} if init else {})}
    path = workshop.build(
        newest(), workshop.entry("ns-a", files=one), workshop.entry("ns-b", files=two), allowed=allowed
    )
    assert run(path, "import ns.a, ns.b; print(getattr(ns, '__file__', None) is not None)") == f"{init}\n"
    (left_out,) = json.loads((path / "set.json").read_text())["startup"]
    assert left_out["file"] == "ns_a-1.0-py3.13-nspkg.pth"
    assert startup.is_namespace_file(left_out["file"])


def test_only_the_user_s_own_configuration_allows(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('allow-startup = ["Hunter", "wheel_axle"]\n')
    assert load_config({"HOME": str(tmp_path)}, file).allow_startup == ("Hunter", "wheel_axle")


def test_our_own_file_is_what_each_version_reads_at_least_cost(workshop: Workshop) -> None:
    """PEP 829: 3.15 to 3.17 read both kinds, 3.18 calls what a `.start` file names."""
    assert startup.START_FILES_SINCE == hookfiles.START_FILES_SINCE == (3, 18)
    path = workshop.build(newest(), workshop.entry("demo"))
    assert {file.suffix for file in path.glob("lib/*/site-packages/_virtual_sprawl.*")} == {".pth"}
