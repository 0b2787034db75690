"""Forked children: code that runs as another user, or that is killed at a failpoint."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from sprawld.store import failpoints

NOBODY = 65534


@contextlib.contextmanager
def nobodys_directory() -> Iterator[Path]:
    """Yield a directory that an unprivileged user owns and can reach; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name, "nobodys")
        path.mkdir()
        os.chmod(name, 0o755)
        os.chown(path, NOBODY, NOBODY)
        yield path
        shutil.rmtree(path)  # as root, whatever the modes


def run_as(uid: int, work: Callable[[], object]) -> None:
    """Run `work` in a child that belongs to `uid`; AssertionError when it raises there."""

    def changed() -> None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        work()

    assert os.waitstatus_to_exitcode(fork(changed)) == 0, "see the traceback on stderr"


def kill_at(specification: str, work: Callable[[], object]) -> bool:
    """Run `work` in a child that SIGKILLs itself at a failpoint (`name` or `name:passes`); was it reached?

    `name:passes` lets the point pass that many times before.
    """
    name, _, passes = specification.partition(":")
    left = int(passes or 0)

    def hook(passed: str) -> None:
        nonlocal left
        if passed == name:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    def killed() -> None:
        failpoints.install(hook)
        work()

    code = os.waitstatus_to_exitcode(fork(killed))
    assert code in (0, -signal.SIGKILL), "see the traceback on stderr"
    return code == -signal.SIGKILL


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a forked child and return its wait status; an exception there is exit status 1."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]
