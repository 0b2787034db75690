"""A second project with a lock that another project has already: `sprawl sync` against `uv sync`, warm cache.

Claim: a twentieth of uv, which makes a new environment, and below 5 ms for the daemon's part. The lock is
the same file under another path. `sprawl sync` is a whole process; the daemon's part is one request.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtual_sprawl import protocol

from . import harness
from .asking import ask
from .workbench import Home, remove

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 9
SETS = ("ds", "web")


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    results: dict[str, Any] = {}
    bench.wheels(*(line for name in SETS for line in bench.requirements(name)))
    with bench.index() as address:
        # In memory, where a peer that makes a file for each module suffers least.
        place, directory = list(bench.places.items())[-1]
        for name in SETS:
            with tempfile.TemporaryDirectory(dir=directory) as scratch:
                original = bench.project("uv", name, address)
                second = _Second(bench, Path(scratch), original)
                try:
                    results[f"{name}, {place}"] = second.measure(runs)
                finally:
                    second.home.stop()
    return results


class _Second:
    def __init__(self, bench: Workbench, scratch: Path, original: Path) -> None:
        self.bench = bench
        self.scratch = scratch
        self.original = original
        self.home = Home(bench, scratch / "home")
        self.project = scratch / "next"
        self.count = 0

    def measure(self, runs: int) -> dict[str, Any]:
        first = self.scratch / "first"
        shutil.copytree(self.original, first)
        self.home.settle("main.py", cwd=first)
        uv = self.bench.peer("uv")
        harness.command([uv, "sync", "-q", "--frozen"], self.home.environ, cwd=first)
        contenders = {
            "uv sync": lambda: self.run([uv, "sync", "-q", "--frozen"]),
            "sprawl sync": lambda: self.run([self.bench.own / "sprawl", "sync", "-q"]),
            "the daemon's part": self.request,
        }
        return harness.alternate(contenders, runs, before=dict.fromkeys(contenders, self.new_project))

    def new_project(self) -> None:
        """Put the lock into a directory that nobody has seen."""
        remove(self.project)
        self.count += 1
        self.project = self.scratch / f"project-{self.count}"
        shutil.copytree(self.original, self.project)

    def run(self, words: list[str | Path]) -> None:
        harness.spawn(words, self.home.environ, self.project)

    def request(self) -> None:
        kind, _ = ask(self.home, self.project)
        if kind != protocol.PATH_SET:
            raise SystemExit(f"the daemon answered with kind {kind}")
