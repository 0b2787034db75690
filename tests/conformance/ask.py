"""Ask the tools themselves what they select from real lockfiles, and compare with what we select.

    python -m tests.conformance.ask FORMAT [--lock PART] [--limit N] [--results DIRECTORY] [--json]
                                           [--jobs N] [--tools DIRECTORY] [--corpus DIRECTORY]

FORMAT is one of uv, script-lock, pylock, poetry, pdm, pipfile, requirements, or `all`. How each tool is asked
is told at the top of `ask_FORMAT.py`. The tools are installed into `--tools` (by default a directory that is
thrown away); what cannot be installed is skipped, and said. The exit code is 1 if anything differs.

Everything takes hours. With `--results` the result of each lock is kept as soon as it is complete, and a run
that is started again asks about the other locks only; delete the file of a lock to ask about it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ask_pdm import PdmLocks
from .ask_pipfile import Pipfiles
from .ask_poetry import PoetryLocks
from .ask_pylock import Pylocks
from .ask_requirements import Requirements
from .ask_uv import UvLocks
from .compare import corpus_directory
from .places import HERE, PLATFORMS, PYTHONS, Place, places
from .results import Results
from .stubs import StubServer
from .tally import Tally
from .tools import Toolbox, ToolMissingError

__all__ = ["FORMATS", "Asked", "ask", "locks_of"]

FORMATS = ("uv", "script-lock", "pylock", "poetry", "pdm", "pipfile", "requirements")
_PATTERNS = {
    "uv": ("uv/**/uv.lock", "generated/**/uv.lock"),
    "script-lock": ("script-lock/**/*.py.lock",),
    "pylock": ("pylock/**/pylock*.toml", "generated/**/pylock*.toml"),
    "poetry": ("poetry/**/poetry.lock", "generated/**/poetry.lock"),
    "pdm": ("pdm/**/pdm.lock", "generated/**/pdm.lock"),
    "pipfile": ("pipfile/**/Pipfile.lock",),
    "requirements": ("requirements/**/*.txt", "generated/**/*.txt"),
}
_MORE_PYTHONS = ("3.10", "3.11")
"""Asked for on this machine only: some locks are for one of them."""

Comparison = Callable[[Path, str], Tally]


@dataclass(slots=True)
class Asked:
    """The comparisons of one format."""

    format: str
    tallies: list[Tally] = field(default_factory=list)
    skipped: str = ""
    """Why nothing was compared."""

    @property
    def different(self) -> list[str]:
        """Everything that differs, with its lock."""
        return [f"{tally.lock}: {line}" for tally in self.tallies for line in tally.different]

    @property
    def excluded(self) -> Counter[str]:
        """Reason -> how many comparisons were left out for it."""
        return sum((tally.excluded for tally in self.tallies), Counter())

    def total(self, name: str) -> int:
        """Sum one of the counts of a Tally."""
        return sum(getattr(tally, name) for tally in self.tallies)

    def row(self) -> str:
        """Return the line of a Markdown table."""
        counts = [self.total(name) for name in ("compared", "equal", "refused")]
        cells = [self.format, len(self.tallies), *counts, len(self.different), self.total("files")]
        return f"| {' | '.join(map(str, cells))} | {sum(self.excluded.values())} |"


def locks_of(form: str, corpus: Path) -> list[Path]:
    """Return the locks of a format in the corpus."""
    return [path for pattern in _PATTERNS[form] for path in sorted(corpus.glob(pattern))]


def where_to_ask() -> tuple[Place, ...]:
    """Return every place that this machine can be asked about."""
    return places(PYTHONS, PLATFORMS)[0] + places(_MORE_PYTHONS, (HERE,))[0]


def ask(
    form: str,
    locks: Sequence[Path],
    corpus: Path,
    tools: Toolbox,
    where: tuple[Place, ...],
    *,
    thorough: bool,
    results: Results | None = None,
    jobs: int = 2,
) -> Asked:
    """Compare these locks of one format in these places; those in `results` are not asked about again."""
    asked = Asked(form)
    kept = results or Results(None)

    def one(lock: Path) -> Tally:
        label = str(lock.relative_to(corpus))
        tally = kept.find(form, label)
        if tally is None:
            tally = compare(lock, label)
            kept.keep(form, tally)
        return tally

    try:
        with (
            _comparison(form, tools, where, thorough=thorough) as compare,
            ThreadPoolExecutor(jobs) as pool,
        ):
            asked.tallies = list(pool.map(one, locks))
    except ToolMissingError as error:
        asked.skipped = str(error)
    return asked


@contextmanager
def _comparison(
    form: str, tools: Toolbox, where: tuple[Place, ...], *, thorough: bool
) -> Iterator[Comparison]:
    """Give the function that compares one lock of this format."""
    with tempfile.TemporaryDirectory(dir=tools.directory) as directory, StubServer() as server:
        scratch = Path(directory)
        tools.uv  # noqa: B018 - found or installed before two locks ask for it at once
        if form in ("uv", "script-lock"):
            uv = UvLocks(tools, server, scratch)
            yield lambda lock, label: uv.compare(lock, label, where, thorough=thorough)
        elif form == "pylock":
            pylocks = Pylocks(tools, server, scratch)
            yield lambda lock, label: pylocks.compare(lock, label, where)
        elif form == "poetry":
            poetry = PoetryLocks(tools, scratch)
            yield lambda lock, label: poetry.compare(lock, label, where, thorough=thorough)
        elif form == "pdm":
            pdm = PdmLocks(tools, scratch)
            yield lambda lock, label: pdm.compare(lock, label, where, thorough=thorough)
        elif form == "pipfile":
            pipfiles = Pipfiles(tools, scratch)
            yield lambda lock, label: pipfiles.compare(lock, label, where)
        else:
            requirements = Requirements(tools, server, scratch)
            yield lambda lock, label: requirements.compare(lock, label, where)


def _print(asked: Asked) -> None:
    for tally in asked.tallies:
        line = (
            f"{tally.lock}: {tally.compared} compared, {tally.equal} equal, {tally.refused} refused by both, "
        )
        sys.stdout.write(f"{line}{len(tally.different)} different, {tally.files} files the same\n")
        sys.stdout.writelines(f"  different: {different}\n" for different in tally.different)
    if asked.skipped:
        sys.stdout.write(f"{asked.format}: skipped: {asked.skipped}\n")
    for reason, count in asked.excluded.items():
        sys.stdout.write(f"{asked.format}: {count} excluded: {reason}\n")
    sys.stdout.write(f"{asked.row()}\n")
    sys.stdout.flush()


def _document(asked: Asked) -> dict[str, Any]:
    return {
        "format": asked.format,
        "skipped": asked.skipped,
        "locks": [tally.as_json() for tally in asked.tallies],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.ask")
    parser.add_argument("format", choices=[*FORMATS, "all"])
    parser.add_argument("--lock", default="", metavar="PART", help="only locks with this in their path")
    parser.add_argument("--limit", type=int, default=None, help="only this many locks of each format")
    parser.add_argument(
        "--results", type=Path, help="keep each lock's result here, and go on from what is here"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many locks at a time (2)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tools", type=Path, help="keep the tools here, and take them from here")
    parser.add_argument("--corpus", type=Path, default=corpus_directory())
    return parser.parse_args()


def main() -> int:
    """Ask for the formats of the command line; return the exit code."""
    options = _arguments()
    forms = FORMATS if options.format == "all" else (options.format,)
    answers = []
    with tempfile.TemporaryDirectory() as directory:
        tools = Toolbox((options.tools or Path(directory)).absolute())
        for form in forms:
            locks = [
                lock
                for lock in locks_of(form, options.corpus)
                if options.lock in str(lock.relative_to(options.corpus))
            ]
            asked = ask(
                form,
                locks[: options.limit],
                options.corpus,
                tools,
                where_to_ask(),
                thorough=True,
                results=Results(options.results),
                jobs=options.jobs,
            )
            answers.append(asked)
            if not options.json:
                _print(asked)
    if options.json:
        sys.stdout.write(json.dumps([_document(asked) for asked in answers], indent=2) + "\n")
    return 1 if any(asked.different for asked in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
