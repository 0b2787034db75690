"""From an empty store to the first line of the script: `sprawl run`, and what each peer needs for the same.

Claims: not slower than uv with an empty cache for `ds` (24 wheels, 314 MiB), 0.8 of it for `web` (135
wheels, 31,000 files); a fifteenth of pip, a third of pip --no-compile, a quarter of poetry and pdm. All fetch
the same wheels from the same local index. Before each run everything that any contender has is removed:
caches, store, environment, daemon.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .workbench import Workbench

__all__ = ["RUNS", "SETS", "Cold", "run"]

RUNS = 5
SLOW_RUNS = 2
"""Of the contenders that take half a minute."""
SETS = ("ds", "web")


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    results: dict[str, Any] = {}
    bench.wheels(*(line for name in SETS for line in bench.requirements(name)))
    with bench.index() as address:
        for place, directory in bench.places.items():
            for name in SETS:
                with bench.scratch(directory) as scratch:
                    cold = Cold(bench, scratch, name, address)
                    group = f"{name}, {place}"
                    results[group] = cold.alternate(("uv", "sprawl"), runs, group)
                    if directory == bench.places.get("tmpfs", directory):
                        slow = ("sprawl", "pip --no-compile", "pip", "poetry", "pdm")
                        group += ", other peers"
                        results[group] = cold.alternate(slow, min(runs, SLOW_RUNS), group)
    return results


class Cold:
    """Projects of one reference set for every tool, and what each tool does with its own."""

    def __init__(self, bench: Workbench, scratch: Path, name: str, address: str) -> None:
        self.bench = bench
        self.home = Home(bench, scratch / "home")
        self.environ = self.home.environ
        self.projects = {}
        for tool in ("uv", "poetry", "pdm", "pip"):
            self.projects[tool] = scratch / tool
            shutil.copytree(bench.project(tool, name, address), self.projects[tool])

    def contenders(self) -> dict[str, Callable[[], None]]:
        """Return name -> what it does, from nothing to the first line of the script."""
        return {
            "sprawl": lambda: harness.spawn(
                [self.bench.own / "sprawl", "run", "-q", "main.py"], self.environ, self.projects["uv"]
            ),
            "uv": lambda: self.install("uv", "sync", "-q", "--frozen"),
            "poetry": lambda: self.install("poetry", "install", "-q"),
            "pdm": lambda: self.install("pdm", "sync", "-q"),
            "pip": self.pip,
            "pip --no-compile": lambda: self.pip("--no-compile"),
        }

    def alternate(self, names: tuple[str, ...], runs: int, group: str) -> dict[str, Any]:
        """Let contenders run in turn."""
        every = self.contenders()
        contenders = {name: every[name] for name in names}
        try:
            return harness.alternate(
                contenders, runs, before=dict.fromkeys(contenders, self.forget), warmup=0, label=group
            )
        finally:
            self.forget()

    def forget(self) -> None:
        """Remove everything that any run has left."""
        self.home.forget()
        for project in self.projects.values():
            self.bench.discard(project / ".venv")
            (project / ".pdm-python").unlink(missing_ok=True)

    def install(self, tool: str, *words: str) -> None:
        """Install and run with a tool that makes an environment itself."""
        project = self.projects[tool]
        harness.spawn([self.bench.peer(tool), *words], self.environ, project)
        harness.spawn([project / ".venv/bin/python", "main.py"], self.environ, project)

    def pip(self, *options: str) -> None:
        """Make an environment, install by pip and run."""
        project = self.projects["pip"]
        python = project / ".venv/bin/python"
        harness.spawn(
            [self.bench.python, "-m", "venv", "--without-pip", project / ".venv"], self.environ, project
        )
        words: harness.Words = [
            self.bench.peer("pip").with_name("python"),
            "-m",
            "pip",
            "--python",
            python,
            "install",
        ]
        words += ["-q", "--no-deps", *options, "-r", "requirements.txt"]
        harness.spawn(words, self.environ, project)
        harness.spawn([python, "main.py"], self.environ, project)
