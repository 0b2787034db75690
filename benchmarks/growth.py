"""How time and memory grow: with the packages in a lock, and with the sets in a store.

Claim: nothing worse than linear, and the warm start constant. Packages are made up, one module each, and lie
in wheel files that the lock names; what is timed is one request to the daemon, from connect to the reply.
"""

from __future__ import annotations

import base64
import hashlib
import statistics
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

from virtual_sprawl import protocol

from .asking import ask
from .daemon import memory_of
from .workbench import Home

if TYPE_CHECKING:
    from pathlib import Path

    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 5
PACKAGES = (10, 100, 1000, 5000)
SETS = (10, 100, 1000, 10_000)


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> line -> figures."""
    with bench.scratch(bench.places["disk"]) as scratch:
        wheels = scratch / "wheels"
        wheels.mkdir()
        lines = [_wheel(wheels, number) for number in range(max(PACKAGES))]
        by_packages = {}
        for count in PACKAGES:
            home = Home(bench, scratch / f"home-{count}")
            by_packages[f"{count} packages"] = _with_packages(home, lines[:count], runs)
        by_sets = _with_sets(Home(bench, scratch / "home-sets"), lines, runs)
    return {"packages in a lock, ms": by_packages, "sets in a store, ms": by_sets}


def _wheel(directory: Path, number: int) -> str:
    """Write a wheel of one module; return its line of requirements."""
    name = f"bench{number:05}"
    info = f"{name}-1.0.dist-info"
    content = {
        f"{name}.py": f"NUMBER = {number}\n".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, data in content.items():
            wheel.writestr(member, data)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name} @ {path.as_uri()} --hash=sha256:{digest}"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _timed(home: Home, project: Path) -> float:
    started = time.perf_counter()
    kind, payload = ask(home, project)
    if kind != protocol.PATH_SET:
        raise SystemExit(f"{project}: {protocol.decode_strings(payload)!r}"[:500])
    return time.perf_counter() - started


def _with_packages(home: Home, lines: list[str], runs: int) -> dict[str, float]:
    _say(f"a lock of {len(lines)} packages")
    home.start_daemon()
    try:
        pid = home.pid()
        before = memory_of(pid)
        project = _project(home, "all", lines)
        cold = _timed(home, project)
        # What is made in the background would be timed too.
        _say("waiting until its packs are made")
        home.wait_for_packs()
        # Each lock lacks another package, or the last one twice would be the same set.
        new = [_timed(home, _project(home, f"new-{n}", lines[:n] + lines[n + 1 :])) for n in range(runs)]
        warm = [_timed(home, project) for _ in range(max(runs, 5))]
        return {
            "cold": _milliseconds([cold]),
            "new lock": _milliseconds(new),
            "warm": _milliseconds(warm),
            "daemon grew by, MiB": round(memory_of(pid) - before, 1),
        }
    finally:
        home.stop()


def _say(what: str) -> None:
    print(f"growth: {what}", file=sys.stderr, flush=True)


def _with_sets(home: Home, lines: list[str], runs: int) -> dict[str, Any]:
    home.start_daemon()
    found: dict[str, Any] = {}
    try:
        pid = home.pid()
        first = _project(home, "first", lines[:20])
        _timed(home, first)
        # Every wheel is there before the first set is made.
        _timed(home, _project(home, "every", lines[:500]))
        _say("waiting until the packs for the sets are made")
        home.wait_for_packs()
        before = memory_of(pid)
        made: list[float] = []
        for number in range(max(SETS)):
            # Twenty packages of a hundred, another choice each time.
            chosen = {(number * 7 + step * (number // 100 + 1)) % 100 for step in range(20)}
            extra = 100 + number % 400
            project = _project(home, f"set-{number}", [lines[n] for n in sorted(chosen)] + [lines[extra]])
            made.append(_timed(home, project))
            if number + 1 in SETS:
                _say(f"{number + 1} sets are made")
                warm = [_timed(home, first) for _ in range(max(runs, 5))]
                found[f"{number + 1} sets"] = {
                    "new lock, median of the last ten": _milliseconds(made[-10:]),
                    "warm": _milliseconds(warm),
                    "daemon grew by, MiB": round(memory_of(pid) - before, 1),
                }
    finally:
        home.stop()
    return found


def _project(home: Home, name: str, lines: list[str]) -> Path:
    project = home.root / "projects" / name
    project.mkdir(parents=True)
    (project / "requirements.txt").write_text("\n".join(lines) + "\n")
    return project


def _milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)
