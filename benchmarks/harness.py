"""Alternating runs and their statistics; knows nothing of what is measured."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["alternate", "command", "machine", "table"]


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def command(
    words: Sequence[str | os.PathLike[str]], environ: Mapping[str, str], *, cwd: Path | None = None
) -> None:
    """Run a command; a failure ends the benchmark and shows what was said."""
    outcome = subprocess.run(
        [os.fspath(word) for word in words],
        env=dict(environ),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if outcome.returncode:
        raise SystemExit(f"{words} ended with {outcome.returncode}\n{outcome.stdout}{outcome.stderr}")


def alternate(
    contenders: Mapping[str, Callable[[], None]],
    runs: int,
    *,
    before: Mapping[str, Callable[[], None]] | None = None,
    warmup: int = 1,
) -> dict[str, dict[str, Any]]:
    """Time the contenders in turn, A B C A B C ..., and return their statistics.

    `before` is run ahead of each run of its contender and not timed. The first contender is the one that the
    ratios are against: each is the median of the ratios of neighbouring runs, which the machine's drift
    leaves alone. Seconds are wall time.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmup + runs):
        for name, run in contenders.items():
            if before and name in before:
                before[name]()
            start = time.perf_counter()
            run()
            if turn >= warmup:
                times[name].append(time.perf_counter() - start)
    base = times[next(iter(times))]
    return {
        name: {
            "n": len(seen),
            "median_s": statistics.median(seen),
            "min_s": min(seen),
            "max_s": max(seen),
            "ratio": statistics.median(mine / theirs for mine, theirs in zip(seen, base, strict=True)),
        }
        for name, seen in times.items()
    }


def table(document: Mapping[str, Any]) -> str:
    """Draw the results for a person."""
    where = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    lines = [f"{document['benchmark']} ({where})"]
    for group, rows in document["results"].items():
        lines += ["", group, f"  {'':34} {'n':>4} {'median ms':>10} {'min':>9} {'max':>9} {'ratio':>7}"]
        for name, row in rows.items():
            if not isinstance(row, Mapping):
                lines.append(f"  {name:34} {row}")
                continue
            milliseconds = (f"{row[key] * 1000:9.2f}" for key in ("median_s", "min_s", "max_s"))
            lines.append(f"  {name:34} {row['n']:4} {' '.join(milliseconds)} {row['ratio']:7.3f}")
    return "\n".join(lines)
