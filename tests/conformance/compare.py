"""Compare our selections with the recorded answers of uv, poetry and pdm, item by item.

    python -m tests.conformance.compare [CORPUS]

A record is one lock, Python, platform and set of options, and what the tool itself would have installed. It
is equal when names and versions agree for every package; of packages from git, URLs and local directories the
tools often tell only the name. Records of uv also show that a file was found for each package: there ours
must be found too (a dry run of poetry or pdm does not look). Nothing is left out without a reason.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sprawld.acquire.environment import describe
from sprawld.errors import SprawlError
from sprawld.lockfiles.choose import choose
from sprawld.lockfiles.lock import Lock
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.uv import UvLock
from sprawld.lockfiles.uv_roots import default_groups, find_roots
from sprawld.model import Environment, Pin, Wanted

__all__ = ["TOOLS", "Report", "compare", "corpus_directory"]

TOOLS = ("uv", "poetry", "pdm")
_DIRECT = ("git", "url", "path", "directory", "editable")

OVER_INSTALLS = "poetry takes the requirements of extras into account that were not asked for"
WRONG_PYTHON = "pdm selects for a Python that the project and the lock exclude; we refuse"


@dataclass(slots=True)
class Report:
    """What came out for one tool."""

    tool: str
    compared: int = 0
    equal: int = 0
    different: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.tool}: {self.compared} compared, {self.equal} equal, {len(self.different)} different, "
            f"{len(self.excluded)} excluded"
        ]
        lines += (f"  different: {line}" for line in self.different)
        lines += (f"  excluded: {line}" for line in self.excluded)
        return "\n".join(lines)


def corpus_directory() -> Path:
    """Where the corpus lies: beside the repository, or where VIRTUAL_SPRAWL_CORPUS says."""
    beside = Path(__file__).parents[3] / "shared" / "lockfiles"
    return Path(os.environ.get("VIRTUAL_SPRAWL_CORPUS") or beside)


def compare(tool: str, corpus: Path) -> Report:
    """Run every record of a tool."""
    report = Report(tool)
    for record in _records(corpus / f"EXPECTED-{tool}.jsonl"):
        label = " ".join(str(record.get(key, "")) for key in ("lock", "python", "platform", "extras"))
        outcome = _difference(tool, record, corpus)
        reason = _excuse(tool, record, outcome)
        if reason is not None:
            report.excluded.append(f"{label}: {reason}: {outcome}")
            continue
        report.compared += 1
        if outcome:
            report.different.append(f"{label}: {outcome}")
        else:
            report.equal += 1
    return report


def _excuse(tool: str, record: dict[str, Any], outcome: str) -> str | None:
    """Return why a difference is the tool's, if it is a known one."""
    if tool == "poetry" and "private-gpt" in record["lock"] and outcome.startswith("missing ['h2=="):
        return OVER_INSTALLS
    if tool == "pdm" and "[select.requires-python]" in outcome:
        return WRONG_PYTHON
    return None


def _difference(tool: str, record: dict[str, Any], corpus: Path) -> str:
    """Return what differs, or an empty string."""
    theirs = {name: version for name, _, version in (item.partition("==") for item in record["packages"])}
    try:
        ours = _select(tool, record, corpus)
    except SprawlError as error:
        return f"refused: {error}"
    missing = [f"{name}=={version}" for name, version in theirs.items() if name not in ours]
    surplus = sorted(ours.keys() - theirs.keys())
    other = [
        f"{name} {ours[name].version} for {version or 'a direct source'}"
        for name, version in theirs.items()
        if name in ours and not _same(ours[name], version)
    ]
    return f"missing {missing}, surplus {surplus}, other {other}" if missing or surplus or other else ""


def _same(pin: Pin, version: str) -> bool:
    """A recorded package without a version is one from a direct source."""
    if not version:
        return pin.source.kind in _DIRECT
    return version == pin.version or (pin.source.kind in _DIRECT and pin.version is None)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@functools.cache
def _read(path: Path) -> Lock:
    return read_lock(path)


@functools.cache
def _describe(python: str, platform: str) -> Environment:
    return describe(python, platform.replace(" ", "-"))


def _select(tool: str, record: dict[str, Any], corpus: Path) -> dict[str, Pin]:
    lock = _read(corpus / record["lock"])
    environment = _describe(record["python"], record["platform"])
    pins = lock.select(environment, _wanted(tool, record, lock))
    if tool == "uv":
        for pin in pins:
            choose(pin, environment, hashed=False)
    return {pin.name: pin for pin in pins if not _is_own(pin, lock)}


def _is_own(pin: Pin, lock: Lock) -> bool:
    """The records leave out the project, and for uv the other members of its workspace."""
    if pin.source.kind == "virtual":
        return True
    members = (
        {package.name for package in find_roots(lock)} | {*lock.members} if isinstance(lock, UvLock) else ()
    )
    return pin.name in members


def _wanted(tool: str, record: dict[str, Any], lock: Lock) -> Wanted:
    extras = record.get("extras", [])
    all_extras = extras in ("*", ["*"])
    named = () if all_extras else tuple(extras)
    if tool == "pdm":
        # Without options pdm installs every group that was locked, those of extras too.
        production = "--prod" in record["tool"]
        return Wanted(all_groups=not production, no_dev=production)
    without: tuple[str, ...] = ()
    if not record.get("default_groups", True):
        assert isinstance(lock, UvLock)
        without = tuple(default_groups(lock, find_roots(lock)))
    return Wanted(extras=named, all_extras=all_extras, no_groups=without)


def main() -> int:
    """Print a report for each tool; the exit code tells whether all is equal."""
    corpus = Path(sys.argv[1]) if len(sys.argv) > 1 else corpus_directory()
    reports = [compare(tool, corpus) for tool in TOOLS]
    for report in reports:
        sys.stdout.write(f"{report}\n")
    return 1 if any(report.different for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
