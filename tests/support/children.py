"""Forked children: code that runs as another user, or that is killed at a failpoint."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

from sprawld.store import failpoints

NOBODY = 65534


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
