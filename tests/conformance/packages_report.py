"""Counts what the comparisons of packages and of test suites found, and writes the document about it."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .packages_known import reason_for
from .tools import PINNED

__all__ = ["Summary", "report", "results", "summarise"]

_URL = re.compile(r"\S*://\S*|(?<![\w.])/\S{6,}")
SUITE_OUTCOMES = ("passed", "failed", "error", "skipped")


@dataclass(slots=True)
class Summary:
    """The counts of one Python."""

    python: str
    equal: dict[str, str] = field(default_factory=dict)
    """Package asked for -> its version."""
    explained: dict[str, str] = field(default_factory=dict)
    """Those that differ, but for reasons that are known."""
    different: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    """Package -> why it was not compared."""
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    """Package, difference, reason; "" for an environment as such, and for an unknown reason."""
    further: set[str] = field(default_factory=set)
    """Packages compared because one of those asked for needs them."""
    modules: int = 0
    raising: int = 0
    scripts: int = 0
    hooked: int = 0
    """Packages asked for that the start-up hook was tried with."""
    varying: set[str] = field(default_factory=set)

    def add(self, package: Mapping[str, Any]) -> None:
        """Count one package."""
        name = str(package["name"])
        reasons = [(line, reason_for(name, line)) for line in package["different"]]
        self.lines += [(name, line, reason) for line, reason in reasons]
        self.modules += package["modules"]
        self.raising += package["raising"]
        self.scripts += package["scripts"]
        if package["varies"]:
            self.varying.add(name)
        if not package["asked"]:
            self.further.add(name)
            return
        self.hooked += package["hook"]
        unknown = any(not reason for _, reason in reasons)
        chosen = self.different if unknown else self.explained if reasons else self.equal
        chosen[name] = str(package["version"])

    @property
    def unexplained(self) -> list[str]:
        """Everything that differs for no known reason."""
        return [
            f"{self.python} {name or 'environment'}: {line}"
            for name, line, reason in self.lines
            if not reason
        ]


def summarise(documents: Iterable[Mapping[str, Any]]) -> list[Summary]:
    """Count the results of `packages.compare_group`, by Python."""
    found: dict[str, Summary] = {}
    for document in documents:
        summary = found.setdefault(document["python"], Summary(document["python"]))
        summary.lacking |= document["lacking"]
        for lock in document["locks"]:
            summary.lines += [("", line, reason_for("", line)) for line in lock["whole"]]
            for package in lock["packages"]:
                summary.add(package)
    for summary in found.values():
        summary.further -= {*summary.equal, *summary.explained, *summary.different}
    return [found[python] for python in sorted(found)]


def report(documents: Sequence[Mapping[str, Any]], suites: Sequence[Mapping[str, Any]]) -> str:
    """Return the document about the last full run, in Markdown."""
    summaries = summarise(documents)
    parts = [_INTRODUCTION.format(date=datetime.date.today(), uv=PINNED["uv"][0].replace("==", " "))]
    parts += [_figures(summaries), _differences(summaries), _left_out(summaries)]
    parts += [_suites(suites), _all_packages(summaries)]
    return "\n".join(parts)


def _figures(summaries: Sequence[Summary]) -> str:
    rows = [
        (
            summary.python,
            len(summary.equal),
            len(summary.explained),
            len(summary.different),
            len(summary.lacking),
            len(summary.further),
            f"{summary.modules} ({summary.raising} raise, the same)",
            summary.scripts,
            summary.hooked,
        )
        for summary in summaries
    ]
    heads = (
        "Python",
        "equal",
        "explained",
        "different",
        "left out",
        "further",
        "modules",
        "scripts",
        "by hook",
    )
    varying = sorted(set().union(*(summary.varying for summary in summaries)))
    text = ", ".join(varying) or "none"
    return f"{_table(heads, rows)}\nEqual only when tried again, since they vary by themselves: {text}.\n"


def _differences(summaries: Sequence[Summary]) -> str:
    rows = {
        (summary.python, name or "(environment)", _plain(line), reason or "unknown")
        for summary in summaries
        for name, line, reason in summary.lines
    }
    return f"## Differences\n\n{_table(('Python', 'package', 'difference', 'reason'), sorted(rows))}"


def _left_out(summaries: Sequence[Summary]) -> str:
    rows = [
        (summary.python, name, _plain(reason))
        for summary in summaries
        for name, reason in sorted(summary.lacking.items())
    ]
    return f"## Left out\n\n{_table(('Python', 'package', 'reason'), rows)}"


def _suites(suites: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for suite in suites:
        if suite["skipped"]:
            reason = _plain(suite["skipped"])
            rows.append((suite["name"], suite["version"], suite["python"], "not run", reason, ""))
            continue
        counts = [
            ", ".join(f"{side[outcome]} {outcome}" for outcome in SUITE_OUTCOMES if side.get(outcome))
            for side in (suite["theirs"], suite["ours"])
        ]
        different = len(suite["different"])
        rows.append((suite["name"], suite["version"], suite["python"], *counts, different))
    heads = ("suite", "version", "Python", "venv", "path set", "tests that differ")
    return f"{_SUITES}\n{_table(heads, rows)}"


def _all_packages(summaries: Sequence[Summary]) -> str:
    names = sorted(
        {
            name
            for summary in summaries
            for kind in (summary.equal, summary.explained, summary.different, summary.lacking)
            for name in kind
        }
    )
    rows = [(name, *(_verdict(name, summary) for summary in summaries)) for name in names]
    heads = ("package", *(f"on {summary.python}" for summary in summaries))
    return f"## The packages\n\n{_table(heads, rows)}"


def _verdict(name: str, summary: Summary) -> str:
    for kind in ("equal", "explained", "different"):
        version = getattr(summary, kind).get(name)
        if version is not None:
            return f"{version} {kind}"
    return "left out" if name in summary.lacking else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _plain(text: str) -> str:
    """Return a text without addresses of hosts and paths of the machine that it came from."""
    return _URL.sub("...", text)[:300]


def results(place: Path) -> list[dict[str, Any]]:
    """Return the documents in a directory of results."""
    return [json.loads(path.read_text()) for path in sorted(place.glob("*.json"))]


_INTRODUCTION = """\
# Packages compared with a venv

Made by `python -m tests.conformance.packages --report FILE` on {date}; do not edit.

The 300 most downloaded packages (`tests/data/top-packages.txt`) are locked in groups by {uv}, from
wheels alone. Each lock is installed by uv into a venv and realised as a path set, and both are asked the
same, in a fresh process each time:

- import of every top-level module, and of the first ones below namespaces: outcome (with the exception's
  type and text), the modules it brings into `sys.modules`, their files and package directories, what is
  printed; in the set's own Python without packs and with packs, and (*by hook*: with `--hook`) in the
  base interpreter that the start-up hook turns into the set;
- `importlib.metadata`: version, metadata, requirements, entry points, files with their sizes and whether
  they can be executed; where the import system finds every module of the distribution;
- each script, with `--help` and with `--version`: exit status and output;
- the environment as a whole: distributions, entry points, `packages_distributions()`,
  `pkgutil.iter_modules()`, commands, data files, `sys.path`, prefixes, `sysconfig` paths.

Paths are compared from the prefix on. What installers write of their own (INSTALLER, REQUESTED, RECORD,
direct_url.json, the text of generated scripts) and this program's own modules are left out. *Explained*
means that there is a difference, and a reason; both are below.
*Further* packages were compared because one of the 300 needs them.
"""

_SUITES = """\
## Test suites

Made by `python -m tests.conformance.suites`: the tests of the sdist (or of the wheel, if it has them),
run by pytest on the wheel of the same release; the outcome of every single test is compared.
"""
