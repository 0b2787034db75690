"""What imports cost: a path set with packs beside a virtual environment with compiled bytecode.

Claim: 0.95 of the environment or less, none slower. Both hold the files of the same lock and run the same
interpreter; pip made the environment and compiled it. The set is entered in both ways: as its own python, and
by the start-up hook of a base interpreter. Each figure is a whole process, `python -c ...`, in the project.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home, remove

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "compiled_venv", "packed_set", "run", "say"]

RUNS = 15
PLOTLY = "plotly==5.5.0,tenacity==9.1.2,six==1.17.0"
PROGRAMS = {
    "ds": ("import numpy", "import pandas", "import sklearn.linear_model", "import matplotlib.pyplot"),
    "web": ("import django, boto3, fastapi",),
    # The first loads next to nothing before a name of it is asked for.
    PLOTLY: ("import plotly.graph_objects", "from plotly.graph_objects import Figure"),
}


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    results: dict[str, Any] = {}
    bench.wheels(*(line for name in PROGRAMS for line in bench.requirements(name)))
    with bench.index() as address, bench.scratch(bench.places["disk"]) as scratch:
        home = Home(bench, scratch / "home")
        try:
            hooked = bench.hooked_venv()
            for name, programs in PROGRAMS.items():
                venv = compiled_venv(bench, name, address)
                project = bench.project("pip", name, address)
                pythons = {"venv with .pyc": (venv, home.environ)}
                pythons["set with packs"] = packed_set(home, project), home.environ
                pythons["set by the hook"] = hooked, _by_hook(home, hooked, project)
                for program in programs:
                    say(f"{program}, {runs} runs")
                    results[program] = _compare(pythons, project, program, runs)
        finally:
            home.stop()
    return results


def compiled_venv(bench: Workbench, name: str, address: str) -> Path:
    """Return the interpreter of a reference set's environment; pip makes it once, compiled."""
    requirements = bench.project("pip", name, address) / "requirements.txt"
    identity = os.fsencode(bench.python) + requirements.read_bytes()
    path = bench.work / "compiled" / hashlib.sha256(identity).hexdigest()[:12]
    if not (path / "installed").exists():
        say(f"pip makes the environment of {name}")
        remove(path)
        harness.command([bench.python, "-m", "venv", "--without-pip", path], bench.clean(path))
        words: list[str | Path] = [bench.peer("pip").with_name("python"), "-m", "pip"]
        words += ["--python", path / "bin/python", "install", "-q", "--no-deps", "-r", requirements]
        harness.command(words, bench.clean(path))
        (path / "installed").touch()
    return path / "bin/python"


def packed_set(home: Home, project: Path) -> Path:
    """Return the interpreter of a project's set, when all of its packs are made."""
    say(f"the packs of {project.name} are made")
    home.settle("main.py", cwd=project)
    where = ["python", "-c", "import sys; print(sys.executable)"]
    return Path(home.sprawl("run", "-q", *where, cwd=project).strip())


def _by_hook(home: Home, hooked: Path, project: Path) -> dict[str, str]:
    """Return an environment in which a start with the hook asks nobody for the project's set."""
    environ = home.environ | {"VIRTUAL_SPRAWL": "1", "VIRTUAL_SPRAWL_DAEMON": str(home.bench.own / "sprawld")}
    before = len(list((home.store / "direct").iterdir()))
    while len(list((home.store / "direct").iterdir())) == before:
        harness.command([hooked, "-c", "pass"], environ, cwd=project)
    return environ


def say(what: str) -> None:
    """Tell on standard error what takes the time."""
    sys.stderr.write(f"  {what}\n")
    sys.stderr.flush()


def _compare(
    pythons: dict[str, tuple[Path, dict[str, str]]], project: Path, program: str, runs: int
) -> dict[str, Any]:
    contenders = {
        name: functools.partial(harness.spawn, [python, "-c", program], environ, project)
        for name, (python, environ) in pythons.items()
    }
    return harness.alternate(contenders, runs, warmup=2)
