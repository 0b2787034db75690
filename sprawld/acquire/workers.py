"""A pool of unpacking workers: processes that start when there is work and end when there was none for long.

1. Of the jobs that wait, the largest is next: the last one to finish should be a small one.
2. A worker has one job at a time. Where a job is cancelled its worker is killed before the caller goes on, so
   that nobody writes into a staging directory that is being removed.
3. A worker that dies fails its own job and no other; the next job gets a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import signal
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sprawld.errors import RequestError, SprawlError, StoreError
from sprawld.store import failpoints

from .forked import ForkedProcess
from .job import MAX_LINE_BYTES, UnpackJob, read_result
from .membernames import shown

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

    from sprawld.store.manifest import ManifestSummary

    from .forked import Seed

__all__ = ["UnpackJob", "WorkerPool", "WorkerStatistics"]

IDLE_SECONDS: Final = 20.0
"""Long enough for the next wheel of one realisation, short enough not to hold memory at rest."""

END_SECONDS: Final = 5.0
"""How long a worker whose input was closed may take to end by itself."""

# Isolated from the environment and the user's site directory; UTF-8 whatever the locale, since the names of
# members are.
_COMMAND: Final = (sys.executable, "-I", "-X", "utf8", "-m", "sprawld.acquire.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatistics:
    """A snapshot of a pool."""

    limit: int
    idle: int
    busy: int
    waiting: int
    """Jobs that wait for a worker."""
    started: int
    """Processes since the daemon started."""
    died: int
    """Of them, how many ended in the middle of a job by themselves."""
    done: int
    """Jobs that were answered, well or not."""


class WorkerPool:
    """Unpacks wheels in at most `count` processes; belongs to one event loop."""

    def __init__(
        self, count: int, *, idle_seconds: float = IDLE_SECONDS, command: Sequence[str] | None = None
    ) -> None:
        """Start nothing yet. `command` is for tests that need a worker that misbehaves."""
        self._limit = max(1, count)
        self._idle_seconds = idle_seconds
        self._command = tuple(command or (*_COMMAND, *failpoints.arguments()))
        self._taken = 0  # slots in use: busy workers, and those about to be
        self._warming = 0  # workers that are being started ahead of their jobs
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap: size negated, number
        self._numbers = itertools.count()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._started = self._died = self._done = 0

    async def unpack(self, job: UnpackJob) -> ManifestSummary:
        """Unpack one wheel; errors are those of `unpack_wheel`, or StoreError `store.worker-died`.

        When it raises, whatever was written stays in the job's destination. Cancelling it stops the work.
        """
        await self._take_slot(job.size)
        try:
            worker = await self._any_worker()
            self._busy.add(worker)
            try:
                return await self._run(worker, job)
            finally:
                self._busy.discard(worker)
        finally:
            self._free_slot()

    async def warm(self, count: int) -> None:
        """Start up to `count` workers ahead of their jobs, to come up while the caller awaits something."""
        while not self._closed and self._taken + len(self._idle) + self._warming < min(count, self._limit):
            self._warming += 1
            try:
                self._idle.append(await self._start())
            finally:
                self._warming -= 1
        self._arm_idle_timer()

    async def adopt(self, seeds: Sequence[Seed]) -> None:
        """Take workers that were forked before there was a loop; those beyond the limit end."""
        for seed in seeds:
            self._started += 1
            self._idle.append(_Worker(await ForkedProcess.adopt(seed, limit=MAX_LINE_BYTES)))
        while len(self._idle) > self._limit:
            self._end(self._idle.pop())
        self._arm_idle_timer()

    async def close(self) -> None:
        """End every worker and wait for it; jobs that wait or are in hand fail with `daemon.stopping`."""
        self._closed = True
        self._disarm_idle_timer()
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(_stopping())
        self._waiting.clear()
        for worker in self._busy:
            worker.kill()
            self._end(worker)
        self._end_idle()
        while self._endings:
            await asyncio.wait(self._endings)

    def statistics(self) -> WorkerStatistics:
        """Return a snapshot."""
        return WorkerStatistics(
            limit=self._limit,
            idle=len(self._idle),
            busy=len(self._busy),
            waiting=sum(not future.done() for _, _, future in self._waiting),
            started=self._started,
            died=self._died,
            done=self._done,
        )

    # Slots

    async def _take_slot(self, size: int) -> None:
        if self._closed:
            raise _stopping()
        self._disarm_idle_timer()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (-size, next(self._numbers), future))
        # Not at once: all jobs that come in this turn of the loop are to be ranked before one is taken.
        loop.call_soon(self._grant_slots)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # granted in the same turn as it was cancelled
                self._free_slot()
            raise

    def _grant_slots(self) -> None:
        while self._waiting and self._taken < self._limit:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                self._taken += 1
                future.set_result(None)

    def _free_slot(self) -> None:
        self._taken -= 1
        self._grant_slots()
        self._arm_idle_timer()

    # Workers

    async def _any_worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            self._end(worker)
        return await self._start()

    async def _start(self) -> _Worker:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_LINE_BYTES,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            reason = f"an unpacking worker cannot be started: {error.strerror}"
            raise StoreError("store.worker-died", reason) from error
        self._started += 1
        return _Worker(process)

    async def _run(self, worker: _Worker, job: UnpackJob) -> ManifestSummary:
        answer = None
        try:
            answer = await worker.ask(job)
        finally:
            if (
                answer is None
            ):  # it died, or the caller gave up: in both cases it has to be gone before we go on
                worker.kill()
                await asyncio.shield(self._end(worker))
        if answer is None:
            if self._closed:
                raise _stopping()
            self._died += 1
            reason = f"the worker that unpacked {shown(job.filename)} {worker.how_it_ended()}"
            raise StoreError(
                "store.worker-died", reason, hint="try again; if it was killed, free some memory"
            )
        self._done += 1
        if not self._closed:
            self._idle.append(worker)
        if isinstance(answer, SprawlError):
            raise answer
        return answer

    def _end(self, worker: _Worker) -> asyncio.Task[None]:
        """Have a worker end; the pool owns the task that waits for it."""
        task = asyncio.get_running_loop().create_task(worker.end())
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    # Rest

    def _arm_idle_timer(self) -> None:
        self._disarm_idle_timer()
        if self._idle and not self._taken and not self._closed:
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_idle)

    def _disarm_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _end_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())


def _stopping() -> RequestError:
    return RequestError("daemon.stopping", "the daemon is shutting down")


class _Worker:
    """One worker process."""

    def __init__(self, process: Process | ForkedProcess) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._jobs = process.stdin
        self._results = process.stdout

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None and not self._results.at_eof() and not self._jobs.is_closing()

    async def ask(self, job: UnpackJob) -> ManifestSummary | SprawlError | None:
        """Send a job and return its result; None when the worker died or answered nonsense."""
        if not self.is_alive:  # uvloop has another error for each way of writing to a closed pipe
            return None
        try:
            self._jobs.write(job.to_line())
            await self._jobs.drain()
            return read_result(await self._results.readline())
        except (ConnectionError, ValueError):
            return None

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # The session that it began: a helper writes into the same directory.
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Close its input and wait for its end, which is made to come if it does not."""
        self._jobs.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        with contextlib.suppress(ConnectionError):
            await self._jobs.wait_closed()

    def how_it_ended(self) -> str:
        code = self._process.returncode
        if code is None or code >= 0:
            return f"ended with status {code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"
