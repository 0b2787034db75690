"""The scrub: everything in the store is read again now and then, so that decay shows before it is met.

1. Nobody asked for it, so nobody may notice: it begins when nothing was asked for QUIET_SECONDS, looks at one
   thing at a time in a thread of the lowest priority, and reads BYTES_PER_SECOND on average at most.
2. One round in `scrub-age` of config.toml. Where it was is kept in `<store>/scrub.json`, for a daemon that
   ends in the middle. Between two rounds the daemon is woken by nothing of this.
3. What is found is logged, shown by `status`, and repaired only with `scrub = "repair"` in config.toml: a
   repair may ask the network, and nobody sits there to be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .errors import SprawlError
from .findings import is_sound
from .store import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from .caretaker import Caretaker
    from .findings import Finding
    from .model import IndexSettings
    from .store.tree import Store

__all__ = ["Scrubber"]

_LOG = logging.getLogger(__name__)

QUIET_SECONDS: Final = 60.0
BYTES_PER_SECOND: Final = 32 << 20
"""A twentieth of what a disk of today gives."""
_KINDS: Final = ("wheels", "bundles", "sets", "client")
"""In the order in which they are looked at; packs go with their entries."""
_MOST_PROBLEMS: Final = 100
_RECORD_BYTES: Final = 1 << 20
_NICENESS: Final = 19


@dataclass(slots=True)
class _Round:
    """How far a round has come; times are seconds since the epoch, 0 for never."""

    began: float = 0.0
    finished: float = 0.0
    last: str = ""
    """`kind/name` of what was looked at last; empty between two rounds."""
    done: int = 0
    bytes: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    """Of this round, and until the next begins."""


class Scrubber:
    """Reads the store in idle time; `run` goes on until it is cancelled."""

    def __init__(
        self,
        store: Store,
        caretaker: Callable[[], Caretaker],
        *,
        age_seconds: float,
        quiet: Callable[[], float],
        settings: Callable[[], IndexSettings],
        repair: bool = False,
    ) -> None:
        """Begin nothing yet. `quiet` tells for how many seconds nobody has asked for anything."""
        self._store = store
        self._caretaker = caretaker
        self._age_seconds = age_seconds
        self._quiet = quiet
        self._settings = settings
        self._repair = repair
        self._path = store.root / "scrub.json"
        self._round = _Round()
        self._total = 0

    async def run(self) -> None:
        """Make one round after the other, each when it is due."""
        self._round = await asyncio.to_thread(self._read)
        pool = ThreadPoolExecutor(1, "scrub", _lower_priority)
        try:
            while True:
                due = 0.0 if self._round.last else self._round.finished + self._age_seconds - time.time()
                # A clock that was set back must not put it off for years.
                await asyncio.sleep(min(max(due, 0.0), self._age_seconds))
                await self.one_round(pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def one_round(self, pool: Executor) -> None:
        """Look at everything that this round has not come to yet."""
        found = self._round
        if not found.last:
            found = self._round = _Round(began=time.time(), finished=found.finished)
        steps = await asyncio.to_thread(self._steps)
        self._total = len(steps)
        try:
            for place, (kind, name) in enumerate(steps):
                if f"{_KINDS.index(kind)}/{name}" <= found.last:
                    continue
                await self._until_quiet()
                read = await self._step(pool, kind, name)
                found.last, found.done = f"{_KINDS.index(kind)}/{name}", place + 1
                found.bytes += read
                await asyncio.sleep(read / BYTES_PER_SECOND)
            found.last, found.finished = "", time.time()
        finally:
            self._write()
        _LOG.info("scrub: %d things, %d bytes, %d problems", found.done, found.bytes, len(found.problems))

    def statistics(self) -> dict[str, Any]:
        """Return what `status` shows of it."""
        found = self._round
        return {
            "running": bool(found.last),
            "began": found.began or None,
            "finished": found.finished or None,
            "done": found.done,
            "total": self._total,
            "bytes": found.bytes,
            "problems": found.problems,
        }

    def learn(self, verified: Mapping[str, Any]) -> None:
        """Take what `verify` said for newer than what was found before."""
        whole = verified["level"] == "all" and verified["sound"]
        good = {problem["path"] for problem in verified["problems"] if problem["status"] == "repaired"}
        left = [problem for problem in self._round.problems if problem.get("path") not in good]
        self._round.problems = [] if whole else left

    def _steps(self) -> list[tuple[str, str]]:
        store = self._store
        listing = (store.entries(), store.bundles(), store.sets(), store.clients())
        return [(kind, name) for kind, names in zip(_KINDS, listing, strict=True) for name in sorted(names)]

    async def _until_quiet(self) -> None:
        while (left := QUIET_SECONDS - self._quiet()) > 0:
            if self._round.last:
                await asyncio.to_thread(self._write)
            await asyncio.sleep(left)

    async def _step(self, pool: Executor, kind: str, name: str) -> int:
        damaged = {problem["name"] for problem in self._round.problems if problem["where"] == "wheels"}
        try:
            findings, read = await self._caretaker().look_at(
                kind, name, damaged, pool=pool, repair=self._repair, settings=self._settings
            )
        except (SprawlError, OSError) as error:
            _LOG.warning("scrub: %s/%s: %s", kind, name, error)
            return 0
        for finding in findings:
            self._note(finding)
        return read

    def _note(self, finding: Finding) -> None:
        _LOG.warning("scrub: %s: %s (%s)", finding.kind, finding.path, finding.status)
        if not is_sound([finding]) and len(self._round.problems) < _MOST_PROBLEMS:
            self._round.problems.append(finding.document())

    def _read(self) -> _Round:
        """Return how far the last daemon came; what cannot be read is begun anew."""
        try:
            content = json.loads(files.read_small(self._path, _RECORD_BYTES))
            return _Round(
                began=float(content["began"]),
                finished=float(content["finished"]),
                last=str(content["last"]),
                done=int(content["done"]),
                bytes=int(content["bytes"]),
                problems=[{"where": "", "name": ""} | problem for problem in content["problems"]],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return _Round()

    def _write(self) -> None:
        content = asdict(self._round)
        # On a full disk the next daemon begins a little earlier, and that is all.
        with contextlib.suppress(OSError):
            files.write_atomic(self._path, json.dumps(content).encode("ascii"), self._store.root / "tmp")


def _lower_priority() -> None:
    """Let this thread have what nobody else wants; only Linux has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
