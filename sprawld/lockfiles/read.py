"""One call that reads any lockfile, and a cache that only stats what it has read."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from ._toml import reading
from .formats import recognise

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .lock import Lock

__all__ = ["LockCache", "read_lock"]

_KEPT_LOCKS: Final = 32
_KEPT_BYTES: Final = 2 << 20
"""Of lock text; what is kept of a lock takes four to six times its text."""
_RACY_NANOSECONDS: Final = 50_000_000
"""A file whose status changed this shortly before it was read may change again within the same tick."""

Stamp = tuple[int, int, int, int, int] | None


def read_lock(path: Path, *, root: Path | None = None) -> Lock:
    """Read the lockfile at `path`, its format told by its name.

    `root` is the directory of the project that is run, where one lock serves a workspace of several (uv); by
    default the lock's own. Raises LockError (`lock.*`), whose message begins with a path.
    """
    path = path.absolute()
    form = recognise(path)
    # Each reader is loaded when a lock of its kind is first met.
    reader = importlib.import_module(f"{__package__}.{form}")
    with reading(path):
        if form == "uv" and root is not None:
            return cast("Lock", reader.read(path, root))
        return cast("Lock", reader.read(path))


@dataclass(frozen=True, slots=True)
class _Kept:
    lock: Lock
    stamps: tuple[tuple[Path, Stamp], ...]
    size: int


class LockCache:
    """Locks that were read, for as long as none of the files they depend on changes; safe between threads."""

    def __init__(self, *, locks: int = _KEPT_LOCKS, size: int = _KEPT_BYTES) -> None:
        self._locks = locks
        self._size = size
        self._kept: OrderedDict[tuple[Path, Path | None], _Kept] = OrderedDict()
        self._turn = threading.Lock()
        self._reads = 0
        self._hits = 0

    def get(self, path: Path, root: Path | None = None) -> Lock:
        """Return the lock at `path`, read again only if it changed; otherwise the same as `read_lock`."""
        key = (path, root)
        kept = self._kept.get(key)
        if kept is not None and all(_stamp(file) == stamp for file, stamp in kept.stamps):
            with self._turn:
                self._hits += 1
                if key in self._kept:
                    self._kept.move_to_end(key)
            return kept.lock
        started = time.time_ns()
        lock = read_lock(path, root=root)
        stamps = tuple((file, _stamp(file)) for file in lock.inputs)
        with self._turn:
            self._reads += 1
            self._kept.pop(key, None)
            # What changed while it was being read is used once and read again the next time.
            if all(stamp is None or stamp[4] < started - _RACY_NANOSECONDS for _, stamp in stamps):
                self._kept[key] = _Kept(lock, stamps, _sizes(stamps))
                self._shrink()
        return lock

    def statistics(self) -> dict[str, int]:
        """Return counters for `sprawlctl status`."""
        return {"kept": len(self._kept), "reads": self._reads, "hits": self._hits}

    def _shrink(self) -> None:
        total = sum(kept.size for kept in self._kept.values())
        while self._kept and (len(self._kept) > self._locks or total > self._size):
            total -= self._kept.popitem(last=False)[1].size


def _stamp(path: Path) -> Stamp:
    """Return what changes with a file's content; None for a file that is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every input of every request
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sizes(stamps: Iterable[tuple[Path, Stamp]]) -> int:
    return sum(stamp[2] for _, stamp in stamps if stamp is not None)
