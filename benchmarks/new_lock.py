"""A lock that is new, of wheels that are all in the store or the cache: `sprawl sync` against `uv sync`.

Claim: an eighth of uv. Each run leaves out one other package of the set, so that its lock, and the path set,
are new, and every wheel is there already. The daemon's part is one request, as in `second_project`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import harness
from .syncing import RUNS, Stage, on_each_set

if TYPE_CHECKING:
    from pathlib import Path

    from .workbench import Workbench

__all__ = ["RUNS", "run"]


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    return on_each_set(bench, lambda stage: _New(stage).measure(runs))


class _New:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.lock = (stage.first / "uv.lock").read_text()
        self.listed = (stage.first / "pyproject.toml").read_text()
        _, *packages = re.split(r"(?m)^(?=\[\[package\]\])", self.lock)
        names = [re.search(r'name = "([^"]+)"', package) for package in packages]
        self.names = [found[1] for found in names if found and found[1] != "bench"]
        self.count = 0

    def measure(self, runs: int) -> dict[str, Any]:
        contenders = {
            "uv sync": lambda: self.stage.sync("uv", self.project),
            "sprawl sync": lambda: self.stage.sync("sprawl", self.project),
            "the daemon's part": lambda: self.stage.ask(self.project),
        }
        # The last two share a store: no lock may come twice. One run of each is for warming up.
        most = len(self.names) // 2 - 1
        firsts = dict(zip(contenders, (0, 0, 1), strict=True))
        before = {name: (lambda first=first: self.new_project(first)) for name, first in firsts.items()}
        return harness.alternate(contenders, min(runs, most), before=before)

    @property
    def project(self) -> Path:
        """Return the project of the present turn."""
        return self.stage.scratch / f"project-{self.count}"

    def new_project(self, first: int) -> None:
        """Make the next project: the lock without what one package stands for, every second from `first`."""
        left_out = self.names[self.count // 3 * 2 + first]
        self.count += 1
        self.project.mkdir()
        line = rf'(?m)^ *\{{ name = "{re.escape(left_out)}"[^\n]*\}},?\n'
        (self.project / "uv.lock").write_text(re.sub(line, "", self.lock))
        pinned = rf'(?m)^ *"{re.escape(left_out)}==[^"]*",\n'
        (self.project / "pyproject.toml").write_text(re.sub(pinned, "", self.listed, flags=re.IGNORECASE))
