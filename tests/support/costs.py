"""What a piece of work costs this process, whatever else the machine does: processor time and peak memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "measured"]

_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


@dataclass(slots=True)
class Cost:
    """Filled in at the end of the work."""

    seconds: float = 0.0
    """Of processor time, of all threads."""
    bytes: int = 0
    """By which the peak of memory rose; 0 where the system does not tell (macOS)."""


@contextmanager
def measured(*, settle: bool = True) -> Iterator[Cost]:
    """Give the cost of what is done inside, once it is done.

    With `settle`, what earlier tests left behind is collected first; without, a little of it may be counted.
    What lives on is not walked by the collector meanwhile: the heap of a test run is ten times a daemon's.
    """
    cost = Cost()
    if settle:
        gc.collect()
    gc.freeze()
    before = _reset_peak()
    started = time.process_time()
    try:
        yield cost
    finally:
        cost.seconds = time.process_time() - started
        cost.bytes = _memory("VmHWM") - before if before else 0
        gc.unfreeze()


def _reset_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return 0
    return _memory("VmRSS")


def _memory(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10
