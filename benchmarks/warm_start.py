"""What a warm start costs: `-c pass` with the hook switched on, against the same interpreter without it.

Claim: within 1.12 times of the same interpreter in an empty virtual environment. The hook lies in an
environment of its own, put there by `sprawlctl enable`; the daemon and the store are real. The set's own
interpreter, which `sprawl run` starts, is shown beside it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import EMPTY_LOCK, Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 200


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    empty, hooked = bench.empty_venv(), bench.hooked_venv()
    with tempfile.TemporaryDirectory(dir=bench.places["disk"]) as scratch:
        home = Home(bench, Path(scratch) / "home")
        project = Path(scratch) / "project"
        project.mkdir()
        # An empty lock: what is measured is the road, not the packages.
        (project / "pylock.toml").write_text(EMPTY_LOCK)
        try:
            return {"start of the interpreter, -c pass": _starts(home, project, empty, hooked, runs)}
        finally:
            home.stop()


def _starts(home: Home, project: Path, empty: Path, hooked: Path, runs: int) -> dict[str, Any]:
    on = home.environ | {"VIRTUAL_SPRAWL": "1", "VIRTUAL_SPRAWL_DAEMON": str(home.bench.own / "sprawld")}
    where: harness.Words = [hooked, "-c", "import sys; print(sys.executable)"]
    own = harness.output(where, on, cwd=project).strip()
    records = home.store / "direct"
    while len(list(records.glob("[!.]*"))) == 0:
        harness.command([hooked, "-c", "pass"], on, cwd=project)
    programs = {
        "empty venv": (empty, home.environ),
        "hook installed, variable unset": (hooked, home.environ),
        "hook, warm": (hooked, on),
        "the set's own python": (own, home.environ),
    }

    def start(python: str | Path, environ: dict[str, str]) -> None:
        harness.spawn([python, "-c", "pass"], environ, project)

    contenders = {
        name: (lambda python=python, environ=environ: start(python, environ))
        for name, (python, environ) in programs.items()
    }
    return harness.alternate(contenders, runs, warmup=5)
