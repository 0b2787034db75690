"""What the benchmarks of `sync` share: a user with one project that both tools have made ready, per set.

In memory, where a peer that makes a file for each module suffers least, and on a disk, where people have
their projects.
"""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING, Any

from virtual_sprawl import protocol

from . import harness
from .asking import ask
from .workbench import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .workbench import Workbench

__all__ = ["RUNS", "Stage", "on_each_set"]

RUNS = 9
SETS = ("ds", "web")


def on_each_set(bench: Workbench, measure: Callable[[Stage], dict[str, Any]]) -> dict[str, Any]:
    """Measure each reference set; returns group -> contender -> statistics."""
    results: dict[str, Any] = {}
    bench.wheels(*(line for name in SETS for line in bench.requirements(name)))
    with bench.index() as address:
        for (place, directory), name in itertools.product(reversed(bench.places.items()), SETS):
            with bench.scratch(directory) as scratch:
                stage = Stage(bench, scratch, bench.project("uv", name, address))
                try:
                    stage.prepare()
                    results[f"{name}, {place}"] = measure(stage)
                finally:
                    stage.home.stop()
    return results


class Stage:
    """A user, the directory `scratch`, and the project `first`, made ready by uv and by us."""

    def __init__(self, bench: Workbench, scratch: Path, original: Path) -> None:
        self.scratch = scratch
        self.home = Home(bench, scratch / "home")
        self.first = scratch / "first"
        shutil.copytree(original, self.first)
        self.words: dict[str, harness.Words] = {
            "uv": [bench.peer("uv"), "sync", "-q", "--frozen"],
            "sprawl": [bench.own / "sprawl", "sync", "-q"],
        }

    def prepare(self) -> None:
        """Have every wheel in the store and in uv's cache, and every pack made."""
        self.home.settle("main.py", cwd=self.first)
        harness.command(self.words["uv"], self.home.environ, cwd=self.first)

    def sync(self, tool: str, project: Path) -> None:
        """Run the whole command of a tool."""
        harness.spawn(self.words[tool], self.home.environ, project)

    def ask(self, project: Path) -> None:
        """Ask the daemon alone, without a process for it."""
        kind, _ = ask(self.home, project)
        if kind != protocol.PATH_SET:
            raise SystemExit(f"the daemon answered with kind {kind}")
