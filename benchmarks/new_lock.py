"""A lock that is new, of wheels that are all in the store or the cache: `sprawl sync` against `uv sync`.

Claim: an eighth of uv. Each run leaves out one other package of the set, so that its lock, and the path set,
are new, and every wheel is there already.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

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
                new = _New(bench, Path(scratch), bench.project("uv", name, address))
                try:
                    results[f"{name}, {place}"] = new.measure(min(runs, new.most))
                finally:
                    new.home.stop()
    return results


class _New:
    def __init__(self, bench: Workbench, scratch: Path, original: Path) -> None:
        self.bench = bench
        self.scratch = scratch
        self.home = Home(bench, scratch / "home")
        self.first = scratch / "first"
        shutil.copytree(original, self.first)
        self.lock = (original / "uv.lock").read_text()
        _, *packages = re.split(r"(?m)^(?=\[\[package\]\])", self.lock)
        names = [re.search(r'name = "([^"]+)"', package) for package in packages]
        self.names = [found[1] for found in names if found and found[1] != "bench"]
        # One of them for warming up, and each contender meets every lock once.
        self.most = len(self.names) - 1
        self.turn = {"uv": 0, "sprawl": 0}

    def measure(self, runs: int) -> dict[str, Any]:
        self.home.settle("main.py", cwd=self.first)
        uv = self.bench.peer("uv")
        harness.command([uv, "sync", "-q", "--frozen"], self.home.environ, cwd=self.first)
        words = {
            "uv": [uv, "sync", "-q", "--frozen"],
            "sprawl": [self.bench.own / "sprawl", "sync", "-q"],
        }
        contenders = {
            f"{tool} sync": (
                lambda tool=tool: harness.spawn(words[tool], self.home.environ, self.project(tool))
            )
            for tool in words
        }
        before = {f"{tool} sync": (lambda tool=tool: self.new_project(tool)) for tool in words}
        return harness.alternate(contenders, runs, before=before)

    def project(self, tool: str) -> Path:
        """Return the project of a contender's present turn."""
        return self.scratch / f"{tool}-{self.turn[tool]}"

    def new_project(self, tool: str) -> None:
        """Make the next project: the lock without what one package stands for."""
        left_out = self.names[self.turn[tool]]
        self.turn[tool] += 1
        project = self.project(tool)
        project.mkdir()
        line = rf'(?m)^ *\{{ name = "{re.escape(left_out)}"[^\n]*\}},?\n'
        (project / "uv.lock").write_text(re.sub(line, "", self.lock))
        listed = (self.first / "pyproject.toml").read_text()
        pinned = rf'(?m)^ *"{re.escape(left_out)}==[^"]*",\n'
        (project / "pyproject.toml").write_text(re.sub(pinned, "", listed, flags=re.IGNORECASE))
