"""Alternating runs and their statistics; knows nothing of what is measured."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "Words",
    "alternate",
    "command",
    "machine",
    "markdown",
    "output",
    "spawn",
    "statistics_of",
    "table",
]

Words = list[str | Path]
"""A command with its arguments."""

HEAD = f"  {'':34} {'n':>4} {'median ms':>10} {'min':>9} {'max':>9} {'ratio':>7} {'quartiles':>13}"


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


def output(words: Sequence[str | Path], environ: Mapping[str, str], *, cwd: Path | None = None) -> str:
    """Run a command and return what it printed; a failure ends the benchmark and shows what was said."""
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
    return outcome.stdout


def command(words: Sequence[str | Path], environ: Mapping[str, str], *, cwd: Path | None = None) -> None:
    """Run a command; as `output`."""
    output(words, environ, cwd=cwd)


def spawn(words: Sequence[str | Path], environ: Mapping[str, str], cwd: Path) -> None:
    """Run a command to its end with as little of our own as can be; a failure ends the benchmark."""
    with Path(os.devnull).open("r+b") as null, tempfile.TemporaryFile() as said:
        outcome = subprocess.run(
            [os.fspath(word) for word in words], env=environ, cwd=cwd, stdin=null, stdout=null, stderr=said
        )
        if outcome.returncode:
            said.seek(0)
            raise SystemExit(f"{words} ended with {outcome.returncode}\n{said.read().decode()}")


def alternate(
    contenders: Mapping[str, Callable[[], None]],
    runs: int,
    *,
    before: Mapping[str, Callable[[], None]] | None = None,
    warmup: int = 1,
    label: str = "",
) -> dict[str, dict[str, Any]]:
    """Time the contenders in turn, A B C A B C ..., and return their statistics.

    `before` is run ahead of each run of its contender and not timed. The first contender is the one that the
    ratios are against: each is the median of the ratios of neighbouring runs, which the machine's drift
    leaves alone. Seconds are wall time. With a `label` each run is told on standard error, for long ones.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmup + runs):
        for name, run in contenders.items():
            if before and name in before:
                before[name]()
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            if turn >= warmup:
                times[name].append(seconds)
            if label:
                sys.stderr.write(f"{label}: {turn + 1} of {warmup + runs}: {name}: {seconds:.2f} s\n")
    base = times[next(iter(times))]
    return {name: statistics_of(seen, base) for name, seen in times.items()}


def statistics_of(seen: Sequence[float], base: Sequence[float]) -> dict[str, Any]:
    """Return the statistics of a contender's seconds, and of its ratios to those of the first one."""
    ratios = sorted(mine / theirs for mine, theirs in zip(seen, base, strict=True))
    return {
        "n": len(seen),
        "median_s": statistics.median(seen),
        "min_s": min(seen),
        "max_s": max(seen),
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 4],
        "ratio_high": ratios[-1 - len(ratios) // 4],
    }


def table(document: Mapping[str, Any]) -> str:
    """Draw the results for a person."""
    where = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    lines = [f"{document['benchmark']} ({where})"]
    for group, rows in document["results"].items():
        lines += ["", group]
        if any(isinstance(row, Mapping) and "median_s" in row for row in rows.values()):
            lines.append(HEAD)
        for name, row in rows.items():
            if not isinstance(row, Mapping) or "median_s" not in row:
                lines.append(f"  {name:44} {_figures(row)}")
                continue
            milliseconds = (f"{row[key] * 1000:9.2f}" for key in ("median_s", "min_s", "max_s"))
            lines.append(
                f"  {name:34} {row['n']:4} {' '.join(milliseconds)} {row['ratio']:7.3f} "
                f"{row['ratio_low']:6.3f}-{row['ratio_high']:.3f}"
            )
    return "\n".join(lines)


def markdown(document: Mapping[str, Any]) -> str:
    """Draw the results for the README."""
    lines = [f"### {document['benchmark']}"]
    for group, rows in document["results"].items():
        timed = {name: row for name, row in rows.items() if isinstance(row, Mapping) and "median_s" in row}
        if timed:
            lines += [
                "",
                f"| {group} | n | median ms | min | max | ratio | quartiles |",
                "|---|" + "---|" * 6,
            ]
        for name, row in timed.items():
            milliseconds = " | ".join(f"{row[key] * 1000:.2f}" for key in ("median_s", "min_s", "max_s"))
            spread = f"{row['ratio_low']:.2f}-{row['ratio_high']:.2f}"
            lines.append(f"| {name} | {row['n']} | {milliseconds} | {row['ratio']:.3f} | {spread} |")
        if len(timed) < len(rows):
            lines += ["", f"| {group} | |", "|---|---|"]
            lines += [f"| {name} | {_figures(row)} |" for name, row in rows.items() if name not in timed]
    return "\n".join(lines) + "\n"


def _figures(row: object) -> str:
    if isinstance(row, Mapping):
        return ", ".join(f"{name} {value}" for name, value in row.items())
    return str(row)
