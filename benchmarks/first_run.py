"""The first run after an install, with nothing compiled yet, and the one when packs are made.

Claim: within 1.05 of uv's default, which compiles nothing either; the later run is as fast as a compiled
environment. The installs themselves are not timed. uv's environment is never warmed: its bytecode files are
removed before each run; our packs are hidden.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .imports import compiled_venv, packed_set, say
from .workbench import Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 5
PROGRAM = "import pandas, sklearn.linear_model"


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    bench.wheels(*bench.requirements("ds"))
    with bench.index() as address, bench.scratch(bench.places["disk"]) as scratch:
        home = Home(bench, scratch / "home")
        project = scratch / "project"
        shutil.copytree(bench.project("uv", "ds", address), project)
        compiled = compiled_venv(bench, "ds", address)
        say("uv makes its environment")
        harness.command([bench.peer("uv"), "sync", "-q", "--frozen"], home.environ, cwd=project)
        plain = project / ".venv/bin/python"
        try:
            own = packed_set(home, project)
            packs = home.store / "packs"
            away = home.store / "packs-away"

            def hide() -> None:
                if packs.exists():
                    packs.rename(away)

            def show() -> None:
                if away.exists():
                    away.rename(packs)

            def decompile() -> None:
                for directory, names, _ in os.walk(project / ".venv/lib"):
                    if "__pycache__" in names:
                        shutil.rmtree(Path(directory) / "__pycache__")

            contenders = {
                "uv's environment, nothing compiled": (plain, decompile),
                "set, first run": (own, hide),
                "venv with .pyc": (compiled, lambda: None),
                "set with packs": (own, show),
            }
            say(f"{PROGRAM}, {runs} runs")
            results = harness.alternate(
                {
                    name: partial(harness.spawn, [python, "-c", PROGRAM], home.environ, home.root)
                    for name, (python, _) in contenders.items()
                },
                runs,
                before={name: before for name, (_, before) in contenders.items()},
            )
            show()
            return {PROGRAM: results}
        finally:
            home.stop()
