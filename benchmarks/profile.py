"""Where the time of starts and cold runs goes, by `strace` and `perf`: explains figures, and claims nothing.

Starts: system calls, pages touched, modules loaded and processor time, beside those of an empty environment.
Cold runs: processor seconds of everything that ran on the machine meanwhile, by program and library, ours
and uv's; so nothing else should run.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .cold import SETS, Cold
from .warm_start import Starts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 60
PERF_SECONDS = 1.0
"""perf needs some tenths of a second to begin; what is sampled of an idle machine is left out."""
HERTZ = 1000
"""Samples of a processor a second."""
SHOWN = 12
"""Rows of a table; what is below is added up."""


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> figures."""
    missing = [tool for tool in ("strace", "perf") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"a profile needs {' and '.join(missing)}")
    results: dict[str, Any] = {}
    with Starts(bench) as starts:
        contenders = starts.programs
        results["starts, -c pass"] = {
            name: _start(python, environ, starts.project, runs)
            for name, (python, environ) in contenders.items()
        }
        results["starts, system calls"] = {
            name: _calls(python, environ, starts.project) for name, (python, environ) in contenders.items()
        }
    bench.wheels(*(line for name in SETS for line in bench.requirements(name)))
    directory = bench.places.get("tmpfs", bench.places["disk"])
    with bench.index() as address:
        for name in SETS:
            with bench.scratch(directory) as scratch:
                cold = Cold(bench, scratch, name, address)
                for tool in ("uv", "sprawl"):
                    results[f"cold, {name}, {tool}, processor seconds"] = _sampled(cold, tool)
    return results


def _start(python: Path, environ: Mapping[str, str], cwd: Path, runs: int) -> dict[str, float]:
    words = [os.fspath(python), "-c", "pass"]
    used = []
    for _ in range(runs):
        child = subprocess.Popen(words, env=environ, cwd=cwd)
        used.append(os.wait4(child.pid, 0)[2])
        child.returncode = 0
    modules = harness.output([python, "-c", "import sys; print(len(sys.modules))"], environ, cwd=cwd)
    return {
        "processor ms, median": round(
            statistics.median(each.ru_utime + each.ru_stime for each in used) * 1000, 2
        ),
        "pages touched": round(statistics.median(each.ru_minflt for each in used)),
        "modules": int(modules),
    }


def _calls(python: Path, environ: Mapping[str, str], cwd: Path) -> dict[str, int]:
    """Return how many system calls of each kind a start makes, most frequent first."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        harness.command(["strace", "-o", log, python, "-c", "pass"], environ, cwd=cwd)
        found = collections.Counter(re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE))
    return {"all": found.total(), **dict(found.most_common(SHOWN))}


def _sampled(cold: Cold, tool: str) -> dict[str, float]:
    """Return processor seconds by (program, library) while a tool does a cold run."""
    cold.forget()
    act: Callable[[], None] = cold.contenders()[tool]
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        sampling = subprocess.Popen(
            ["perf", "record", "-a", "-q", "-e", "cpu-clock", "-F", str(HERTZ), "-o", data],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(PERF_SECONDS)
            act()
        finally:
            sampling.terminate()
            sampling.wait()
        text = harness.output(["perf", "script", "-i", data, "-F", "comm,ip,dso"], os.environ)
    cold.forget()
    found: collections.Counter[str] = collections.Counter()
    for program, library in re.findall(r"^\s*(\S.*?)\s+[0-9a-f]+ .*\((.*)\)$", text, re.MULTILINE):
        if program not in ("swapper", "perf"):
            found[f"{program}: {_short(library)}"] += 1
    shown = found.most_common(SHOWN)
    rest = found.total() - sum(count for _, count in shown)
    seconds = {name: round(count / HERTZ, 3) for name, count in (*shown, ("the rest", rest))}
    return {"all": round(found.total() / HERTZ, 3), **seconds}


def _short(library: str) -> str:
    name = library.rpartition("/")[2]
    return "kernel" if "kernel" in name else re.sub(r"\.cpython-.*|\.so[.\d]*$|-[0-9a-f]{8}", "", name)
