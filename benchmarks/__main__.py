"""Runs one benchmark by name, or all of them, and prints tables or JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import harness
from .workbench import PEERS, Workbench

ORDER = (
    "warm_start",
    "run_hello",
    "imports",
    "second_project",
    "new_lock",
    "clients",
    "cold",
    "plotly_install",
    "first_run",
    "store_size",
    "daemon",
    "growth",
)
"""What matters most comes first: a budget may end before the list does."""
TMPFS = Path("/dev/shm")


def main() -> None:
    """Run the command line."""
    arguments = _arguments()
    if arguments.markdown:
        for line in arguments.markdown.read_text().splitlines():
            print(harness.markdown(json.loads(line)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.disk) as scratch:
        _run(arguments, Path(scratch))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure one claim, or all, side by side with the peers, in one run.",
        epilog="examples:\n  python -m benchmarks warm_start\n  python -m benchmarks all --budget 20",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=("all", "prepare", *ORDER, "profile"), nargs="?", default="all")
    parser.add_argument("--runs", type=int, help="counted runs of each contender (default: the benchmark's)")
    parser.add_argument("--json", action="store_true", help="print a JSON object, one for each benchmark")
    parser.add_argument("--save", type=Path, help="append each result to this file, one JSON object a line")
    parser.add_argument("--markdown", type=Path, help="read such a file and print tables for the README")
    parser.add_argument("--budget", type=float, help="minutes after which `all` begins no other benchmark")
    parser.add_argument("--work", type=Path, help="directory of tools and wheels (default: a cache)")
    parser.add_argument(
        "--disk", type=Path, help="directory on a disk to measure in (default: that of TMPDIR)"
    )
    parser.add_argument("--tmpfs", type=Path, help="directory in memory to measure in (default: /dev/shm)")
    parser.add_argument(
        "--place", choices=("disk", "tmpfs"), help="measure only there what is measured in both"
    )
    return parser.parse_args()


def _run(arguments: argparse.Namespace, scratch: Path) -> None:
    work = arguments.work or Path.home() / ".cache/virtual-sprawl-benchmarks"
    tmpfs = arguments.tmpfs or (TMPFS if TMPFS.is_dir() else None)
    bench = Workbench(work.absolute(), scratch, None if arguments.place == "disk" else tmpfs)
    if arguments.place == "tmpfs":
        bench.places["disk"] = bench.places.pop("tmpfs")
    if arguments.name == "prepare":
        bench.prepare()
        return
    started = time.monotonic()
    failed = False
    for name in ORDER if arguments.name == "all" else (arguments.name,):
        if arguments.budget and time.monotonic() - started > arguments.budget * 60:
            sys.stderr.write(f"{name}: left out, the time is over\n")
            continue
        sys.stderr.write(f"{name}: begins after {time.monotonic() - started:.0f} s\n")
        try:
            document = _measure(bench, name, arguments.runs)
        except (SystemExit, OSError) as error:
            # The others are worth having.
            sys.stderr.write(f"{name}: {error}\n")
            failed = True
            continue
        if arguments.save:
            with arguments.save.open("a") as file:
                file.write(json.dumps(document) + "\n")
        print(
            json.dumps(document, indent=2) if arguments.json else harness.table(document) + "\n", flush=True
        )
    if failed:
        raise SystemExit(1)


def _measure(bench: Workbench, name: str, runs: int | None) -> dict[str, Any]:
    module = importlib.import_module(f"benchmarks.{name}")
    started = time.monotonic()
    results = module.run(bench, runs or module.RUNS)
    return {
        "benchmark": name,
        "machine": harness.machine(),
        "peers": PEERS,
        "seconds": round(time.monotonic() - started, 1),
        "results": results,
    }


if __name__ == "__main__":
    main()
