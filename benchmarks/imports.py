"""What imports cost: a path set with packs beside a virtual environment with compiled bytecode.

Claim: 0.95 of the environment or less, none slower. Both hold the files of the same lock and run the same
interpreter; pip made the environment and compiled it. Each figure is a whole process, `python -c ...`.
"""

from __future__ import annotations

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
    PLOTLY: ("import plotly.graph_objects",),
}


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    results: dict[str, Any] = {}
    bench.wheels(*(line for name in PROGRAMS for line in bench.requirements(name)))
    with bench.index() as address, bench.scratch(bench.places["disk"]) as scratch:
        home = Home(bench, scratch / "home")
        try:
            for name, programs in PROGRAMS.items():
                venv = compiled_venv(bench, name, address)
                own = packed_set(home, bench.project("pip", name, address))
                for program in programs:
                    say(f"{program}, {runs} runs")
                    results[program] = _compare(home, venv, own, program, runs)
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


def say(what: str) -> None:
    """Tell on standard error what takes the time."""
    sys.stderr.write(f"  {what}\n")
    sys.stderr.flush()


def _compare(home: Home, venv: Path, own: Path, program: str, runs: int) -> dict[str, Any]:
    contenders = {
        "venv with .pyc": lambda: harness.spawn([venv, "-c", program], home.environ, home.root),
        "set with packs": lambda: harness.spawn([own, "-c", program], home.environ, home.root),
    }
    return harness.alternate(contenders, runs, warmup=2)
