"""The reserve: some megabytes kept for the moment in which the disk is full and gc has to work.

Removing things needs room: directories grow, and SQLite does not write a row into a full disk. So a file of
RESERVE_BYTES lies in the store and is given up before gc runs on a disk without room.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError

from . import files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RESERVE_BYTES", "Reserve", "free_bytes", "require_room"]

_LOG = logging.getLogger(__name__)

RESERVE_BYTES: Final = 4 << 20
SCARCE_BYTES: Final = 1 << 20
"""With less room than this, gc starts by giving up the reserve."""
ROOM_PERCENT: Final = 220
"""Room that a wheel takes while it becomes an entry, the archive beside its unpacked files, of its size."""
PLENTY: Final = 32
"""The reserve is made only where this many times its size is free: it must not be what fills a small disk."""


class Reserve:
    """The file `reserve` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / "reserve"

    def make(self) -> bool:
        """Make the file where there is plenty of room; tells whether it is there afterwards."""
        try:
            if os.lstat(self._path).st_size == RESERVE_BYTES:
                return True
        except FileNotFoundError:
            pass
        if free_bytes(self._root) < PLENTY * RESERVE_BYTES:
            return False
        staged = self._root / "tmp" / files.random_name("reserve")
        try:
            _allocate(staged)
            os.rename(staged, self._path)
        except OSError as error:
            _LOG.info("no reserve was made: %s", error.strerror)
            with contextlib.suppress(OSError):
                os.unlink(staged)
            return False
        return True

    def drop(self) -> bool:
        """Give the room back to the disk; False when there is no reserve."""
        try:
            os.unlink(self._path)
        except OSError:
            return False
        _LOG.warning("the disk is full: the reserve of %d bytes is given up", RESERVE_BYTES)
        return True

    def drop_if_scarce(self) -> bool:
        """Give up the reserve if the disk has next to no room; tells whether that was done."""
        return free_bytes(self._root) < SCARCE_BYTES and self.drop()


def free_bytes(path: Path) -> int:
    """Return how many bytes this user may still write to the file system of a directory."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def require_room(path: Path, filename: str, size: int) -> None:
    """Refuse a wheel of `size` bytes that cannot fit on the disk of a directory: StoreError `disk.full`."""
    needed, free = -(-size * ROOM_PERCENT // 100), free_bytes(path)
    if free < needed:
        raise StoreError(
            "disk.full",
            f"{filename} needs {needed} bytes of room, {free} bytes are free in {path}",
            hint="free some space, or run `sprawlctl gc`",
        )


def _allocate(path: Path) -> None:
    descriptor = os.open(path, files.CREATE, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            # Neither macOS nor every file system has it. Random, because zeros may take no room at all.
            file.write(os.urandom(RESERVE_BYTES))
