"""Workers that are there before the daemon is: forked from it while it is small and has one thread.

A worker that is started by itself imports in 60 ms of a core what the daemon imports a moment later. Forked
before that, two of them cost 2 ms, and wait while the daemon gets ready.

1. Only on Linux, where a process that has done nothing but import Python modules may fork without exec, and
   only where paths are UTF-8, which is what a worker is started with otherwise.
2. A worker keeps nothing of the daemon but its code, its log and its end of one socket: no descriptor, no
   variable, not its session.
3. The pool treats it as any other; one that dies is replaced by one that is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sprawld.store import failpoints

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ForkedProcess", "Seed", "can_fork", "fork_workers"]


class Seed(NamedTuple):
    """A forked worker that no event loop knows yet."""

    pid: int
    channel: socket.socket
    """Jobs go out, results come in; the worker ends when it is closed."""


def can_fork() -> bool:
    """Tell whether workers may be forked from this process, which must have one thread."""
    return (
        sys.platform == "linux"
        and hasattr(os, "pidfd_open")
        and sys.getfilesystemencoding() == "utf-8"
        and sys.stdin is not None
        and sys.stdout is not None
        and sys.stderr is not None
    )


def fork_workers(count: int) -> list[Seed]:
    """Fork up to `count` workers; fewer, or none, where the system refuses: the pool starts its own."""
    from . import worker

    seeds: list[Seed] = []
    with contextlib.suppress(OSError):
        for _ in range(count):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                _become(worker.main, theirs)
            theirs.close()
            seeds.append(Seed(pid, ours))
    return seeds


def _become(main: Callable[[], None], channel: socket.socket) -> NoReturn:
    """Be a worker to the end; whatever happens, nothing of the daemon goes on in this process."""
    status = 1
    try:
        os.setsid()
        os.dup2(channel.fileno(), 0)
        os.dup2(channel.fileno(), 1)
        # A list, because the directory that is read has a descriptor itself.
        for entry in list(Path("/proc/self/fd").iterdir()):
            if int(entry.name) > sys.stderr.fileno():
                with contextlib.suppress(OSError):
                    os.close(int(entry.name))
        os.environ.clear()
        sys.argv[1:] = failpoints.arguments()
        main()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)
    raise AssertionError("a worker has left its process")


class ForkedProcess:
    """A forked worker, with what the pool uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, jobs: asyncio.StreamWriter, results: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdin = jobs
        self.stdout = results
        self.returncode: int | None = None
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        # The loop's own ways of waiting know only processes that it has started.
        self._watch = os.pidfd_open(pid)
        loop.add_reader(self._watch, self._reap)

    @classmethod
    async def adopt(cls, seed: Seed, *, limit: int) -> ForkedProcess:
        """Take a worker into the running loop; `limit`: bytes of its longest line."""
        seed.channel.setblocking(False)
        results, jobs = await asyncio.open_unix_connection(sock=seed.channel, limit=limit)
        return cls(seed.pid, jobs, results)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Return its exit status once it has ended, negated the signal that killed it."""
        await asyncio.shield(self._ended)
        assert self.returncode is not None
        return self.returncode

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set_result(None)
