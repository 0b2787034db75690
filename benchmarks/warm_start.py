"""What a warm start costs: `-c pass` with the hook switched on, against the same interpreter without it.

Claim: within 1.12 times of the same interpreter in an empty virtual environment. The hook lies in an
environment of its own, put there by `sprawlctl enable`; the daemon and the store are real. The set's own
interpreter, which `sprawl run` starts, is shown beside it.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from . import harness
from .workbench import EMPTY_LOCK, Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "Starts", "run"]

RUNS = 200


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    with Starts(bench) as starts:

        def start(python: Path, environ: dict[str, str]) -> None:
            harness.spawn([python, "-c", "pass"], environ, starts.project)

        contenders = {name: functools.partial(start, *program) for name, program in starts.programs.items()}
        return {"start of the interpreter, -c pass": harness.alternate(contenders, runs, warmup=5)}


class Starts:
    """A settled set of no packages: what is measured is the road, and not the packages."""

    def __init__(self, bench: Workbench) -> None:
        self._empty, self._hooked = bench.empty_venv(), bench.hooked_venv()
        self._scratch = tempfile.TemporaryDirectory(dir=bench.places["disk"])
        self.project = Path(self._scratch.name) / "project"
        self._home = Home(bench, Path(self._scratch.name) / "home")
        self.programs: dict[str, tuple[Path, dict[str, str]]] = {}
        """Contender -> its interpreter and environment."""

    def __enter__(self) -> Self:
        self.project.mkdir()
        (self.project / "pylock.toml").write_text(EMPTY_LOCK)
        off = self._home.environ
        daemon = str(self._home.bench.own / "sprawld")
        on = off | {"VIRTUAL_SPRAWL": "1", "VIRTUAL_SPRAWL_DAEMON": daemon}
        where: harness.Words = [self._hooked, "-c", "import sys; print(sys.executable)"]
        own = harness.output(where, on, cwd=self.project).strip()
        records = self._home.store / "direct"
        while len(list(records.glob("[!.]*"))) == 0:
            harness.command([self._hooked, "-c", "pass"], on, cwd=self.project)
        self.programs = {
            "empty venv": (self._empty, off),
            "hook installed, variable unset": (self._hooked, off),
            "hook, warm": (self._hooked, on),
            "the set's own python": (Path(own), off),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._home.stop()
        self._scratch.cleanup()
