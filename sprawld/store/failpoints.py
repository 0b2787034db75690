"""Named points in the daemon's code where a test may kill the process, fail a call or wait.

1. A failpoint does nothing unless a hook was installed: one comparison with None.
2. Nothing here reads the environment. The daemon installs `hook_from` with what SPRAWL_TEST_FAILPOINT says,
   and only when it was started with --enable-failpoints.
3. `NAMES` lists every point; a test walks the list, so that a new point is tested the day it appears.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[str], None]

__all__ = ["NAMES", "arguments", "enable", "failpoint", "hook_from", "install"]

NAMES: Final = (
    "fetch.created",
    "fetch.block-written",
    "fetch.checked",
    "unpack.file-made",
    "unpack.before-manifest",
    "unpack.done",
    "origin.recorded",
    "set.built",
    "reply.made",
    "pack.made",
    "repair.set-apart",
    "repair.published",
    "open.children-made",
    "open.format-written",
    "publish.before-rename",
    "publish.renamed",
    "publish.done",
    "discard.before-rename",
    "discard.renamed",
    "trash.file-removed",
    "durable.before-sync",
    "durable.synced",
    "durable.marked",
    "gc.marked",
    "lease.moved-away",
    "gc.set-checked",
    "gc.sets-done",
    "gc.entry-checked",
    "gc.done",
)

_ERRORS: Final = {"enospc": errno.ENOSPC, "eio": errno.EIO}

_hook: Hook | None = None
_specification = ""


def failpoint(name: str) -> None:
    """Mark a point of interest; runs the installed hook, if there is one."""
    if _hook is not None:
        _hook(name)


def install(hook: Hook | None) -> None:
    """Have `hook` called with the name of every failpoint that is passed; None switches them off."""
    global _hook
    _hook = hook


def enable(specification: str) -> None:
    """Install `hook_from(specification)`, here and in the workers that are started from now on."""
    global _specification
    install(hook_from(specification))
    _specification = specification


def arguments() -> tuple[str, ...]:
    """Return what to tell a worker on its command line: nothing, unless failpoints were enabled."""
    return (_specification,) if _specification else ()


def hook_from(specification: str) -> Hook:
    """Return the hook for `name:action` or `name:action:argument`; ValueError tells what is wrong.

    `name@3` lets the point pass three times first. Actions: `kill` (SIGKILL to this process), `kill-parent`
    (the same to the daemon that this worker belongs to), `enospc`, `eio` (raise that OSError), `pause` (block
    until something opens the FIFO named by the argument for writing).
    """
    point, _, rest = specification.partition(":")
    action, _, argument = rest.partition(":")
    name, _, passes = point.partition("@")
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}")
    if action not in ("kill", "kill-parent", "pause", *_ERRORS):
        raise ValueError(f"unknown failpoint action {action!r}")
    # One step of an iterator is atomic: points are passed in several threads.
    left = iter(range(int(passes or 0)))

    def hook(passed: str) -> None:
        if passed == name and next(left, None) is None:
            _act(action, argument)

    return hook


def _act(action: str, argument: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "kill-parent":
        os.kill(os.getppid(), signal.SIGKILL)
    elif action == "pause":
        os.close(os.open(argument, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
    else:
        code = _ERRORS[action]
        raise OSError(code, os.strerror(code))
