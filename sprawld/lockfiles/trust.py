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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Upwards", "check_trust"]


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


@dataclass(slots=True)
class Upwards:
    """`start` and the directories above it, as far as one user's trust reaches; iterate over it once."""

    start: Path
    home: Path
    last: Path | None = None
    """The directory that was yielded last; None if `start` is none."""
    border: str = ""
    """After the last one: why it goes no higher; empty where nothing is above."""

    def __iter__(self) -> Iterator[Path]:
        """Yield the directories, and tell in the end what the border is."""
        directory, here = self.start, _stat(self.start)
        while here is not None:
            self.last = directory
            yield directory
            above = directory.parent
            if directory == self.home:
                self.border = "it is your home directory"
                return
            if directory == above:
                return
            status = _stat(above)
            self.border = _border(above, status, here)
            if self.border:
                return
            directory, here = above, status


def _stat(directory: Path) -> os.stat_result | None:
    try:
        return directory.stat()
    except OSError:
        return None


def _border(directory: Path, here: os.stat_result | None, below: os.stat_result) -> str:
    """Return why a directory is beyond the border, seen from the one below it; empty if it is not."""
    if here is None:
        return f"{directory} cannot be read"
    if here.st_uid != below.st_uid:
        return f"{directory} belongs to another user"
    if here.st_dev != below.st_dev:
        return f"{directory} is on another file system"
    return f"every user can write {directory}" if here.st_mode & stat.S_IWOTH else ""
