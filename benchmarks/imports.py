"""What imports cost: a path set with packs beside a virtual environment with compiled bytecode.

Claim: 0.95 of the environment or less, none slower. Both hold the files of the same lock and run the same
interpreter; pip made the environment and compiled it. Each figure is a whole process, `python -c ...`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "compiled_venv", "run"]

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
    with bench.index() as address, tempfile.TemporaryDirectory(dir=bench.places["disk"]) as scratch:
        home = Home(bench, Path(scratch) / "home")
        try:
            for name, programs in PROGRAMS.items():
                venv = compiled_venv(bench, name, address, Path(scratch) / f"venv-{name}")
                project = bench.project("pip", name, address)
                home.settle("main.py", cwd=project)
                where = ["python", "-c", "import sys; print(sys.executable)"]
                own = home.sprawl("run", "-q", *where, cwd=project).strip()
                for program in programs:
                    results[program] = _compare(home, venv, own, program, runs)
        finally:
            home.stop()
    return results


def compiled_venv(bench: Workbench, name: str, address: str, path: Path, *options: str) -> Path:
    """Make an environment of a reference set with pip, compiled unless `options` say otherwise."""
    harness.command([bench.python, "-m", "venv", "--without-pip", path], bench.clean(path))
    words = [bench.peer("pip").with_name("python"), "-m", "pip", "--python", path / "bin/python", "install"]
    words += ["-q", "--no-deps", *options, "-r", bench.project("pip", name, address) / "requirements.txt"]
    harness.command(words, bench.clean(path))
    return path / "bin/python"


def _compare(home: Home, venv: Path, own: str, program: str, runs: int) -> dict[str, Any]:
    contenders = {
        "venv with .pyc": lambda: harness.spawn([venv, "-c", program], home.environ, home.root),
        "set with packs": lambda: harness.spawn([own, "-c", program], home.environ, home.root),
    }
    return harness.alternate(contenders, runs, warmup=2)
