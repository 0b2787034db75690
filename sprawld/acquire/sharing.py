"""One large wheel written by two processes: the worker forks a helper, and each writes a half.

1. The halves are what lies before and behind one place of the archive. So the first error in the order of the
   archive is that of the worker if it has one, and the helper's otherwise: timing decides nothing.
2. The helper is gone when the wheel is: ended and waited for, whatever happens. If the worker is killed, the
   helper stops before its next file, or its next piece of a large one.
3. Only on Linux and with a second processor. A worker has one thread: its child may go on in Python.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sprawld.errors import RequestError, SprawlError, StoreError, error_from_code

from .writing import Written, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .wheelfile import Placed
    from .writing import Writer

__all__ = ["FILE_COST", "SHARED_COST", "cost_to_share", "write_shared"]

FILE_COST: Final = 7_500
"""Making a file takes as long as inflating, hashing and writing so many bytes."""

SHARED_COST: Final = 16 << 20
"""A wheel that costs as much as so many bytes takes a worker some 40 ms; a helper begins and ends in 2."""

_READ_BYTES: Final = 1 << 20


def cost_to_share() -> int | None:
    """Return the cost from which a wheel is worth a helper on this machine; None if none ever is."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return None
    return SHARED_COST


def write_shared(writer: Writer, files: Sequence[Placed], cost: int | None) -> Written:
    """Write files in their order, with a helper if they cost as much as `cost`; errors as `Writer.write`.

    StoreError `store.worker-died` where the helper does not live to tell.
    """
    cut = _middle(files, cost)
    helper = _Helper.start(writer, files[cut:]) if cut < len(files) else None
    if helper is None:
        return writer.write(files)
    try:
        return writer.write(files[:cut]).followed_by(helper.written())
    finally:
        helper.end()


def _middle(files: Sequence[Placed], cost: int | None) -> int:
    """Return how many files the first of two takes, to cost about half; all where one does it alone."""
    costs = [member.size + FILE_COST for member, _ in files]
    total = sum(costs)
    if cost is None or total < cost or len(files) < 2:
        return len(files)
    passed = 0
    for number, each in enumerate(costs):
        if passed + each / 2 >= total / 2:
            return max(1, number)
        passed += each
    return len(files)


class _Helper:
    """The process that writes the second half; a child of this one."""

    def __init__(self, pid: int, answer: int) -> None:
        self._pid = pid
        self._answer = answer
        self._status: int | None = None

    @classmethod
    def start(cls, writer: Writer, files: Sequence[Placed]) -> _Helper | None:
        """Fork; None where the system has no process or descriptor left."""
        worker = os.getpid()
        try:
            answer, telling = os.pipe()
        except OSError:
            return None
        try:
            pid = os.fork()
        except OSError:
            os.close(answer)
            os.close(telling)
            return None
        if pid == 0:
            _help(worker, answer, telling, writer, files)
        os.close(telling)
        return cls(pid, answer)

    def written(self) -> Written:
        """Wait for the helper and return what it found, or raise what it raised."""
        blocks = []
        while block := os.read(self._answer, _READ_BYTES):
            blocks.append(block)
        self._wait()
        if self._status != 0:
            code = os.waitstatus_to_exitcode(self._status or 0)
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            hint = "try again; if it was killed, free some memory"
            raise StoreError("store.worker-died", f"the helper of an unpacking worker {how}", hint=hint)
        kind, *values = marshal.loads(b"".join(blocks))  # noqa: S302 - written by a fork of this process
        if kind == "refused":
            raise error_from_code(*values)
        if kind == "failed":
            raise OSError(values[0], os.strerror(values[0]))
        return Written(*values)

    def end(self) -> None:
        """See to it that the process is gone, and its end of the pipe."""
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()
        os.close(self._answer)

    def _wait(self) -> None:
        _, self._status = os.waitpid(self._pid, 0)


def _help(worker: int, answer: int, telling: int, writer: Writer, files: Sequence[Placed]) -> NoReturn:
    """Be the helper to the end; whatever happens, nothing of the worker goes on in this process."""
    status = 1
    try:
        # Or a long answer would wait for ever in a pipe whose only reader is this process.
        os.close(answer)
        write_all(telling, marshal.dumps(_outcome(worker, writer, files)))
        status = 0
    finally:
        # No exception passes here: the worker's own answers are not this process's to give.
        os._exit(status)


def _outcome(worker: int, writer: Writer, files: Sequence[Placed]) -> tuple[Any, ...]:
    def stop_with_the_worker() -> None:
        if os.getppid() != worker:
            os._exit(1)

    try:
        return ("written", *writer.write(files, stop_with_the_worker))
    except SprawlError as error:
        return ("refused", error.code, error.message, error.hint)
    except OSError as error:
        return ("failed", error.errno or 0)
    except Exception as error:
        import traceback

        traceback.print_exc()
        bug = RequestError("daemon.internal", f"unpacking failed: {type(error).__name__}")
        return ("refused", bug.code, bug.message, bug.hint)
