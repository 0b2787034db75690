"""`sprawl run hello.py`, warm, against `uv run --frozen hello.py`, warm: both to the end of the script.

Claim: not slower. Both run the same lock of two small packages from the same interpreter; each has done so
before, so that uv's environment exists and our set is made.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 60
PACKAGES = "six==1.17.0,idna==3.20"


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    bench.wheels(*PACKAGES.split(","))
    uv = bench.peer("uv")
    with bench.index() as address, tempfile.TemporaryDirectory(dir=bench.places["disk"]) as scratch:
        home = Home(bench, Path(scratch) / "home")
        project = Path(scratch) / "project"
        shutil.copytree(bench.project("uv", PACKAGES, address), project)
        (project / "hello.py").write_text("print('hello')\n")
        try:
            home.settle("hello.py", cwd=project)
            harness.command([uv, "run", "-q", "--frozen", "hello.py"], home.environ, cwd=project)
            venv = project / ".venv/bin/python"
            contenders = {
                "uv run --frozen": lambda: harness.spawn(
                    [uv, "run", "--frozen", "hello.py"], home.environ, project
                ),
                "sprawl run": lambda: harness.spawn(
                    [bench.own / "sprawl", "run", "hello.py"], home.environ, project
                ),
                "the environment's python alone": lambda: harness.spawn(
                    [venv, "hello.py"], home.environ, project
                ),
            }
            return {"hello.py": harness.alternate(contenders, runs, warmup=3)}
        finally:
            home.stop()
