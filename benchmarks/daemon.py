"""The daemon's own needs: memory at rest, at the peak of a large cold run and after it, and wake-ups at rest.

Claims: 50 MiB at rest, 200 MiB at the peak of `web`, no wake-ups while nobody asks. Memory is RSS of the
daemon and, at the peak, of its workers too, sampled 20 times a second. Wake-ups are the voluntary context
switches of all of its threads, from /proc.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .workbench import Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "memory_of", "run"]

RUNS = 1
IDLE_SECONDS = 30
SETTLE_SECONDS = 8
"""Until what a request leaves behind is done: durability, records, trash."""
CHORES_SECONDS = 120
"""When the last of what packages leave to do is due, the look at the budget; idleness begins then."""

TRIM_SECONDS = 20
"""Memory is given back that long after the last work."""


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> line -> figure. `runs` prolongs the idle time."""
    bench.wheels(*bench.requirements("web"))
    with bench.index() as address, bench.scratch(bench.places["disk"]) as scratch:
        home = Home(bench, scratch / "home")
        project = scratch / "project"
        shutil.copytree(bench.project("uv", "web", address), project)
        try:
            home.start_daemon()
            pid = home.pid()
            _wait(SETTLE_SECONDS, "the daemon has come to rest")
            rest = memory_of(pid)
            peak = _Peak(pid)
            home.sprawl("run", "-q", "main.py", cwd=project)
            used = time.monotonic()
            highest = peak.stop()
            after = memory_of(pid)
            print("daemon: waiting until packs are made", file=sys.stderr, flush=True)
            home.wait_for_packs()
            left = max(used + CHORES_SECONDS - time.monotonic(), TRIM_SECONDS)
            _wait(left + SETTLE_SECONDS, "what the use left to do is done")
            settled, before = memory_of(pid), _switches(pid)
            _wait(IDLE_SECONDS * runs, "the idle time is over")
            switches = _switches(pid) - before
        finally:
            home.stop()
    return {
        "memory, MiB": {
            "at rest, after its start": rest,
            "peak of web, daemon alone": highest[0],
            "peak of web, with workers": highest[1],
            "after the run": after,
            "at rest again, packs made": settled,
        },
        "at rest": {
            "seconds watched": IDLE_SECONDS * runs,
            "wake-ups": switches,
            "wake-ups a second": round(switches / IDLE_SECONDS / runs, 3),
        },
    }


def _wait(seconds: float, until: str) -> None:
    print(f"daemon: waiting {seconds:.0f} s until {until}", file=sys.stderr, flush=True)
    time.sleep(seconds)


def memory_of(pid: int) -> float:
    """Return the RSS of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _switches(pid: int) -> int:
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


class _Peak:
    """Samples in a thread until stopped."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._highest = (0.0, 0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            try:
                every = [memory_of(pid) for pid in _descendants(self._pid)]
            except OSError:
                continue  # one of them has just ended
            self._highest = max(self._highest[0], every[0]), max(self._highest[1], round(sum(every), 1))

    def stop(self) -> tuple[float, float]:
        """Return the daemon's highest RSS, and the highest of all its processes together."""
        self._over.set()
        self._thread.join()
        return self._highest
