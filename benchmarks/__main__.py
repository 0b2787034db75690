"""Runs one benchmark by name and prints its table, or JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from pathlib import Path

from . import harness

NAMES = sorted(
    module.name
    for module in pkgutil.iter_modules([str(Path(__file__).parent)])
    if module.name not in ("__main__", "harness")
)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure one claim, side by side with its peers, in one run.",
        epilog="example:\n  python -m benchmarks warm_start --runs 100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--runs", type=int, help="counted runs of each contender (default: the benchmark's)")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    arguments = parser.parse_args()
    module = importlib.import_module(f"benchmarks.{arguments.name}")
    results = module.run(arguments.runs or module.RUNS)
    document = {"benchmark": arguments.name, "machine": harness.machine(), "results": results}
    print(json.dumps(document, indent=2) if arguments.json else harness.table(document))


if __name__ == "__main__":
    main()
