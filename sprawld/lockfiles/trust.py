"""Whether a lockfile may be believed: who owns it, and who else could have written it.

1. Lockfile and directory belong to this user or to root, and not every user can write them. The sticky bit
   of /tmp does not help: anyone can put a lockfile there that was not there before.
2. Where the lockfile is a symbolic link, this holds for both ends.
3. A directory that is given to another user, that every user can write, or that is another mount, ends the
   search upwards; so does $HOME. Only a search that starts in such a directory looks into it, and refuses.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_trust", "upwards"]


def check_trust(lock: Path) -> None:
    """Raise LockError `lock.foreign-owner` or `lock.world-writable` if others decide what the lock says."""
    try:
        real = Path(os.path.realpath(lock))
        places = {lock.parent: lock.parent.stat(), real.parent: real.parent.stat()}
        files = {lock: lock.lstat(), real: real.lstat()}
    except OSError as error:
        raise LockError("lock.unreadable", f"{lock}: {error.strerror}") from error
    for place, status in (places | files).items():
        if status.st_uid not in (os.geteuid(), 0):
            raise LockError(
                "lock.foreign-owner",
                f"{lock}: {place} belongs to user {status.st_uid}",
                hint="copy the project to a directory of your own",
            )
        # The mode of a link means nothing.
        if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
            # A sticky directory, as /tmp, is meant to be that way.
            remedy = "" if status.st_mode & stat.S_ISVTX else f"chmod o-w {place}, or "
            raise LockError(
                "lock.world-writable",
                f"{lock}: every user can write {place}",
                hint=f"{remedy}move the project to a directory that only you can write",
            )


def upwards(start: Path, home: Path) -> Iterator[Path]:
    """Yield `start` and the directories above it, as far as one user's trust reaches."""
    try:
        here = start.stat()
    except OSError:
        return
    directory = start
    while True:
        yield directory
        if directory in (home, directory.parent):
            return
        try:
            above = directory.parent.stat()
        except OSError:
            return
        if above.st_uid != here.st_uid or above.st_dev != here.st_dev or above.st_mode & stat.S_IWOTH:
            return
        directory, here = directory.parent, above
