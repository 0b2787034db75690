"""One large wheel from a file into an environment: `sprawl install` against pip, pip --no-compile and uv.

Claims: 7, 3 and 1.3 times faster. The wheel is plotly 5.5.0 with its 11,889 files, the benchmark of the
program that this one grew out of. Nothing is known of it: store, cache and environment are new for each run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

if TYPE_CHECKING:
    from pathlib import Path

    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 3
WHEEL = "plotly==5.5.0"


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    (wheel,) = bench.wheels(WHEEL).glob("plotly-5.5.0-*.whl")
    results = {}
    for place, directory in bench.places.items():
        with bench.scratch(directory) as scratch:
            results[place] = _measure(bench, scratch, wheel, runs, place)
    return results


def _measure(bench: Workbench, scratch: Path, wheel: Path, runs: int, place: str) -> dict[str, Any]:
    home = Home(bench, scratch / "home")
    venv = scratch / "venv"
    pip = [bench.peer("pip").with_name("python"), "-m", "pip", "--python", venv / "bin/python", "install"]
    pip += ["-q", "--no-deps", "--no-index"]
    commands = {
        "sprawl install": [bench.own / "sprawl", "install", "-q", "--into", venv, wheel],
        "uv pip install": [bench.peer("uv"), "pip", "install", "-q", "--no-deps", "--python", venv, wheel],
        "pip install --no-compile": [*pip, "--no-compile", wheel],
        "pip install": [*pip, wheel],
    }
    commands["sprawl install, with the daemon's start"] = commands["sprawl install"]

    def prepare() -> None:
        home.forget()
        bench.discard(venv)
        harness.command([bench.python, "-m", "venv", "--without-pip", venv], home.environ)

    def prepare_daemon() -> None:
        prepare()
        home.start_daemon()

    contenders = {
        name: (lambda words=words: harness.spawn(words, home.environ, scratch))
        for name, words in commands.items()
    }
    before = dict.fromkeys(contenders, prepare) | {"sprawl install": prepare_daemon}
    try:
        return harness.alternate(contenders, runs, before=before, warmup=0, label=place)
    finally:
        home.stop()
