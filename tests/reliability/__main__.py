"""`python -m tests.reliability`: run the programme, or parts of it, and write the report.

Results are kept item by item, so that a long run can be cut short and taken up again with `--only`.
Exit status: 0 every bar that was tried is met, 1 one is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from . import programme, report
from .programme import Context, Outcome, Skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability", epilog="example: python -m tests.reliability --full --only T1,T7"
    )
    parser.add_argument("--full", action="store_true", help="the whole bars; without it, small versions")
    parser.add_argument("--only", default="", metavar="T1,T7", help="run these items")
    parser.add_argument("--seed", type=int, default=20261122, help="for everything that is chosen at random")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--no-report", action="store_true", help="leave docs/reliability-report.md as it is")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(tempfile.gettempdir(), "virtual-sprawl-reliability"),
        help="where results are kept until the report is written",
    )
    arguments = parser.parse_args()
    names = [name for name in arguments.only.split(",") if name] or list(programme.ITEMS)
    unknown = [name for name in names if name not in programme.ITEMS]
    if unknown:
        parser.error(f"no such item: {', '.join(unknown)}")
    sound = True
    for name in names:
        outcome = run(name, arguments.seed, arguments.full, arguments.results)
        sound = sound and (outcome is None or outcome.met)
    kept = programme.load(arguments.results)
    if not arguments.no_report:
        notes = arguments.results / "notes.md"
        report.write(kept, notes=notes.read_text() if notes.exists() else "")
    if arguments.json:
        json.dump({name: kept[name] for name in names if name in kept}, sys.stdout, indent=1)
        sys.stdout.write("\n")
    return 0 if sound else 1


def run(name: str, seed: int, full: bool, results: Path) -> Outcome | None:
    """Run one item and keep what came of it; None where this machine cannot run it."""
    begun = time.monotonic()

    def keep(outcome: Outcome, *, ended: bool = False) -> None:
        kept = outcome if ended else replace(outcome, failures=[*outcome.failures, "it has not ended yet"])
        programme.save(results, name, kept, seed=seed, full=full, seconds=time.monotonic() - begun)

    context = Context(seed=seed, full=full, name=name, keep=keep)
    context.note(programme.item(name).TITLE)
    skipped = False
    try:
        outcome = programme.item(name).run(context)
    except Skip as reason:
        outcome, skipped = replace(context.outcome, skipped=[*context.outcome.skipped, str(reason)]), True
    except Exception as error:
        traceback.print_exc()
        outcome = context.outcome
        outcome.fail(f"it broke off: {type(error).__name__}: {error}"[:400])
    context.keep = lambda outcome: None
    keep(outcome, ended=True)
    verdict = "skipped" if skipped else "met" if outcome.met else "NOT MET"
    context.note(f"{verdict}: {outcome.figures} control: {outcome.control} ({outcome.control_failed})")
    for failure in outcome.failures[:10]:
        context.note(f"  {failure}")
    return None if skipped else outcome


if __name__ == "__main__":
    sys.exit(main())
