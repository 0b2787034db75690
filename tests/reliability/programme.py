"""What an item of the programme is: its bar, its outcome, its control, and where results are kept."""

from __future__ import annotations

import importlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType

__all__ = ["ITEMS", "Context", "Outcome", "Skip", "item", "load", "percentile", "save"]

ITEMS = {
    "T1": "t01_kills",
    "T2": "t02_power",
    "T3": "t03_wheels",
    "T4": "t04_zip",
    "T5": "t05_crowds",
    "T6": "t06_full_disk",
    "T7": "t07_corruption",
    "T8": "t08_machine",
    "T9": "t09_fuzz",
    "T10": "t10_network",
    "T11": "t11_life",
    "T12": "t12_hook",
    "T13": "t13_locks",
    "T14": "t14_soak",
    "T15": "t15_units",
    "T16": "t16_lint",
    "uv": "peer_uv",
}
"""Each module has TITLE, BAR and `run(context) -> Outcome`."""

MOST_FAILURES = 12


class Skip(Exception):  # noqa: N818 - no error
    """This machine cannot do it; the text says what is missing."""


@dataclass
class Outcome:
    """What came of an item."""

    figures: dict[str, object] = field(default_factory=dict)
    """Label -> figure, as the report shows them."""
    failures: list[str] = field(default_factory=list)
    """What does not meet the bar; empty means that it is met."""
    control: str = ""
    """What the control did: the same check, with the guard switched off."""
    control_failed: bool = False
    """Whether the control failed, as it must."""
    skipped: list[str] = field(default_factory=list)
    """Parts that were left out, and why."""

    @property
    def met(self) -> bool:
        """Whether the bar is met, and the control shows that this means something."""
        return not self.failures and self.control_failed

    def fail(self, text: str) -> None:
        """Note a failure."""
        self.failures.append(text)

    def expect(self, holds: object, text: str) -> None:
        """Note a failure unless something holds."""
        if not holds:
            self.fail(text)


@dataclass
class Context:
    """What an item is given."""

    seed: int
    full: bool
    name: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    """What is filled in; an item that breaks off, or is ended, leaves what it had by then."""
    keep: Callable[[Outcome], object] = lambda outcome: None
    random: random.Random = field(init=False)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed} {self.name}")

    def count(self, full: int, small: int) -> int:
        """Return how often to do something."""
        return full if self.full else small

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """Yield a directory that is deleted at the end, read-only or not; short, for socket paths."""
        with tempfile.TemporaryDirectory(prefix="vs-", ignore_cleanup_errors=True) as name:
            yield Path(name)

    def note(self, text: str) -> None:
        """Say how far it is."""
        sys.stderr.write(f"{self.name} {time.monotonic() - self.begun:7.1f} s  {text}\n")
        sys.stderr.flush()
        self.keep(self.outcome)


def item(name: str) -> ModuleType:
    """Return the module of an item."""
    return importlib.import_module(f"{__package__}.{ITEMS[name]}")


def save(directory: Path, name: str, outcome: Outcome, *, seed: int, full: bool, seconds: float) -> None:
    """Keep an outcome until the report is written."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = asdict(outcome) | {
        "failures": outcome.failures[:MOST_FAILURES],
        "failure_count": len(outcome.failures),
        "met": outcome.met,
        "seed": seed,
        "full": full,
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
    }
    partial = directory / f".{name}"
    partial.write_text(json.dumps(kept, indent=1))
    partial.replace(directory / f"{name}.json")


def load(directory: Path) -> dict[str, dict[str, object]]:
    """Return what was kept, in the order of the programme."""
    found = {}
    for name in ITEMS:
        path = directory / f"{name}.json"
        if path.exists():
            found[name] = json.loads(path.read_text())
    return found


def percentile(values: list[float], part: float) -> float:
    """Return the value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
