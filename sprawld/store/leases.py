"""Leases: the flock on `lease` in a set that every process running on it holds, shared, as long as it lives.

1. The kernel is the only owner of the truth: a lease survives a restart of the daemon and ends with its
   process, however that dies. Nothing is written, no pid is compared.
2. Taking a lease is lock, then check: the holder looks again, after the flock, whether the path still leads
   to the file it has locked. So a set that was renamed away between open and flock is asked for again.
   It waits for the lock, because the exclusive lease is taken for a moment even to ask whether there is one.
3. Where locking does not work (ENOLCK, ENOSYS) every set counts as leased: nothing is collected by mistake.
4. Its mtime is when the set was last used, to the hour: a start that asks no daemon has no other way to tell.
5. The file is opened for writing as well, because some network file systems lock only such descriptors.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LEASE", "exclusive", "is_leased", "last_use"]

LEASE: Final = "lease"
"""Name of the empty file, mode 0600, in a set's directory."""

_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def is_leased(path: Path) -> bool:
    """Tell whether a process runs on the set at `path` (its directory); blocks only for the file system."""
    with exclusive(path) as held:
        return not held


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
    has the file open already will find, by its own check after locking, whatever was done in the block. A set
    without the file cannot be leased at all and yields True.
    """
    try:
        descriptor = os.open(path / LEASE, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
