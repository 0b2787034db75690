"""Asks the tools themselves, lock by lock, and prints where their selection and ours differ.

    python -m tests.conformance.ask uv [--limit N] [--json]

Needs the corpus (`../shared/lockfiles`, or VIRTUAL_SPRAWL_CORPUS) and a package index for the tools.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from .ask_pdm import PdmLocks
from .ask_poetry import PoetryLocks
from .ask_pylock import Pylocks
from .ask_requirements import Requirements
from .ask_uv import UvLocks
from .places import HERE, places
from .stubs import StubServer
from .tools import Toolbox, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tally import Tally

__all__ = ["FORMATS", "ask", "corpus"]

FORMATS = ("uv", "pylock", "requirements", "poetry", "pdm")
NAMES = {
    "uv": ("uv.lock", "*.py.lock"),
    "pylock": ("pylock.toml", "pylock.*.toml"),
    "requirements": ("*.txt",),
    "poetry": ("poetry.lock",),
    "pdm": ("pdm.lock",),
}


def corpus() -> Path:
    """Return the corpus of real lockfiles, which need not be there."""
    given = os.environ.get("VIRTUAL_SPRAWL_CORPUS")
    return Path(given) if given else Path(__file__).parents[3] / "shared" / "lockfiles"


def ask(form: str, limit: int | None = None, *, thorough: bool = True) -> Iterator[Tally]:
    """Yield the comparison of each lock of a format; ToolMissingError when the tool is not to be had."""
    root = corpus()
    locks = sorted({path for name in NAMES[form] for path in root.rglob(name)})
    where, _ = places()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        tools = Toolbox(Path(scratch) / "tools")
        copies = Path(scratch) / "copies"
        copies.mkdir()
        server = stack.enter_context(StubServer())
        for lock in locks[:limit]:
            label = str(lock.relative_to(root))
            if form == "uv":
                yield UvLocks(tools, server, copies).compare(lock, label, where, thorough=thorough)
            elif form in ("poetry", "pdm"):
                # Neither can be told another platform.
                here = tuple(place for place in where if place.platform == HERE)
                asking = PoetryLocks(tools, copies) if form == "poetry" else PdmLocks(tools, copies)
                yield asking.compare(lock, label, here, thorough=thorough)
            else:
                kind = Pylocks if form == "pylock" else Requirements
                yield kind(tools, server, copies).compare(lock, label, where)


def main() -> int:
    """Print a line per lock and the sums; the exit status is 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.ask", description=__doc__)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--limit", type=int, help="only the first N locks")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    arguments = parser.parse_args()
    tallies = []
    try:
        for tally in ask(arguments.format, arguments.limit):
            tallies.append(tally)
            if not arguments.json:
                sys.stdout.write(f"{tally.lock}: {tally.equal} equal, {len(tally.different)} different\n")
                sys.stdout.writelines(f"    {line}\n" for line in tally.different)
                sys.stdout.flush()
    except ToolMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps([tally.as_json() for tally in tallies], indent=1) + "\n")
    else:
        excluded: Counter[str] = sum((tally.excluded for tally in tallies), Counter())
        sys.stdout.write(
            f"locks {len(tallies)}, compared {sum(t.compared for t in tallies)}, "
            f"equal {sum(t.equal for t in tallies)}, refused by both {sum(t.refused for t in tallies)}, "
            f"same files {sum(t.files for t in tallies)}, "
            f"different {sum(len(t.different) for t in tallies)}, excluded {dict(excluded)}\n"
        )
    return 1 if any(tally.different for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
