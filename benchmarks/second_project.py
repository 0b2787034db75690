"""A second project with a lock that another project has already: `sprawl sync` against `uv sync`, warm cache.

Claim: a twentieth of uv, which makes a new environment, and below 5 ms for the daemon's part. The lock is
the same file under another path. `sprawl sync` is a whole process; the daemon's part is one request.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from . import harness
from .syncing import RUNS, Stage, on_each_set

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    return on_each_set(bench, lambda stage: _Second(stage).measure(runs))


class _Second:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.project = stage.scratch / "project-0"
        self.count = 0

    def measure(self, runs: int) -> dict[str, Any]:
        contenders = {
            "uv sync": lambda: self.stage.sync("uv", self.project),
            "sprawl sync": lambda: self.stage.sync("sprawl", self.project),
            "the daemon's part": lambda: self.stage.ask(self.project),
        }
        return harness.alternate(contenders, runs, before=dict.fromkeys(contenders, self.new_project))

    def new_project(self) -> None:
        """Put the lock into a directory that nobody has seen."""
        self.stage.home.bench.discard(self.project)
        self.count += 1
        self.project = self.stage.scratch / f"project-{self.count}"
        shutil.copytree(self.stage.first, self.project, ignore=shutil.ignore_patterns(".venv"))
