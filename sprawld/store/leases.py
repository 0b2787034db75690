"""Leases: what every process running on a set holds as long as it lives, and how the daemon asks for them.

    sets/<digest>/lease      a file, locked (flock) where there is no pipe; its mtime is the set's last use
    leases/<digest>          a named pipe, open for reading in every process that runs on the set
    leases/<digest>.closing  the pipe while the daemon looks whether the set can go

1. The kernel is the only owner of the truth: a lease survives a restart of the daemon and ends with its
   process, however that dies. Nothing is written, no pid is compared. A pipe costs a start one call and no
   extension module; whoever opens one for writing is refused (ENXIO) while nobody has it open for reading.
2. Taking a lease is open, then check: the holder looks again whether the path still leads to what it has
   open. To take it exclusively, the daemon first moves the pipe away and then asks. So of two that meet, one
   sees the other: who opened before is found, who comes later finds no pipe and waits for the lock.
3. The lock is taken exclusively all the while. Where the daemon dies meanwhile, it is free again, and starts
   hold the set by it until the next daemon puts the pipe back: the pipe is the shorter way, and never needed.
4. A pipe is known to one kernel. On file systems that others may share there is none, and where locking does
   not work either (ENOLCK, ENOSYS), every set counts as leased: nothing is collected by mistake.
5. The file is opened for writing as well, because some network file systems lock only such descriptors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
from typing import TYPE_CHECKING, Final

from . import files
from .failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LEASE", "PIPES", "exclusive", "is_leased", "last_use", "offer", "pipe_of", "sweep"]

LEASE: Final = "lease"
"""Name of the empty file, mode 0600, in a set's directory."""
PIPES: Final = "leases"
"""Name of the pipes' directory in the store."""

_CLOSING: Final = ".closing"
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ASK: Final = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_lock = threading.Lock()
_closing: set[str] = set()
"""Pipes that this process has moved away."""
_local: dict[int, bool] = {}
"""Device -> whether pipes on it are known to this machine only."""


def pipe_of(path: Path) -> str:
    """Return where the pipe of the set at `path` (its directory) lies, there or not."""
    return f"{path.parent.parent}/{PIPES}/{path.name}"


def offer(path: Path) -> None:
    """Make the pipe of the set at `path`, where there can be one; starts hold the set by it from then on."""
    pipe = pipe_of(path)
    with _lock, contextlib.suppress(OSError):
        if pipe in _closing or _is_pipe(pipe) or not _is_local(path.parent):
            return
        try:
            # One that a dead daemon has moved away may be open in somebody's hands.
            os.rename(pipe + _CLOSING, pipe)
        except FileNotFoundError:
            os.mkfifo(pipe, 0o600)


def sweep(root: Path) -> None:
    """Put back what a dead daemon has moved away, and remove pipes that hold nothing (or none, any more)."""
    directory = root / PIPES
    with _lock, contextlib.suppress(OSError):
        for name in os.listdir(directory):
            path = directory / name
            digest = name.removesuffix(_CLOSING)
            if not os.path.lexists(root / "sets" / digest) or not _is_local(directory):
                os.unlink(path)
            elif name != digest and not os.path.lexists(directory / digest):
                os.rename(path, directory / digest)


def is_leased(path: Path) -> bool:
    """Tell whether a process runs on the set at `path` (its directory); blocks only for the file system."""
    pipe = pipe_of(path)
    with _locked(path) as held:
        return not held or _is_open(pipe) or _is_open(pipe + _CLOSING)


def last_use(path: Path) -> int:
    """Return when a start last said that it runs on the set at `path`, in seconds since the epoch, or 0."""
    try:
        return int(os.stat(path / LEASE, follow_symlinks=False).st_mtime)
    except OSError:
        return 0


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Try for the exclusive lease of the set at `path` (its directory), without waiting.

    Yields True when it is held, for the length of the block; then no process runs on the set, and one that
    is about to take a lease will find, by its own check afterwards, whatever was done in the block.
    """
    with _locked(path) as locked:
        if not locked:
            yield False
            return
        with _moved_away(path) as free:
            yield free


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Yield whether the exclusive lock is held; a set without the file cannot be locked by anybody: True."""
    try:
        descriptor = os.open(path / LEASE, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    except OSError:
        yield False
        return
    try:
        yield _lock_file(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _moved_away(path: Path) -> Iterator[bool]:
    """Move the pipe to where no start finds it, for the length of the block; yield whether nobody has it."""
    pipe = pipe_of(path)
    away = pipe + _CLOSING
    with _lock:
        # What a dead daemon left there must not be written over while it is held.
        ours = pipe not in _closing and not _is_open(away) and _rename(pipe, away)
        if ours:
            _closing.add(pipe)
    if not ours:
        yield False
        return
    try:
        failpoint("lease.moved-away")
        yield not _is_open(away)
    finally:
        with _lock:
            _closing.remove(pipe)
            if os.path.lexists(path):
                _rename(away, pipe)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(away)


def _rename(source: str, target: str) -> bool:
    """Rename a pipe that may be there; return whether it is not at its old place any more."""
    try:
        os.rename(source, target)
    except OSError as error:
        return error.errno in (errno.ENOENT, errno.ENOTDIR)
    return True


def _is_open(pipe: str) -> bool:
    """Tell whether somebody has a pipe open for reading, or that cannot be told."""
    try:
        os.close(os.open(pipe, _ASK))
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT, errno.ENOTDIR)
    return True


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_local(directory: Path) -> bool:
    device = os.stat(directory).st_dev
    if device not in _local:
        _local[device] = files.is_of_this_machine(directory)
    return _local[device]
