"""The trash: trees that were renamed out of the way, and their deletion.

1. Putting something here is one rename, so a crash leaves it whole in its place or gone from it.
2. Deletion may take long, may be cut short and is taken up again; nothing here is ever looked at by name.
"""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

from . import files
from .failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Trash"]

_LOG = logging.getLogger(__name__)


class Trash:
    """The directory `trash/` of a store. Every method blocks for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, path: Path) -> str | None:
        """Rename what is at `path` into the trash and return its name there; None if nothing is there."""
        name = files.random_name(path.name[:80])
        try:
            make_movable(path)
            failpoint("discard.before-rename")
            os.rename(path, self._path / name)
        except FileNotFoundError:
            return None
        failpoint("discard.renamed")
        return name

    def destroy(self, path: Path) -> None:
        """Delete what is at `path`, which nobody looks at, by way of here; what cannot be deleted waits here.

        OSError when it cannot be renamed. On a disk too full for that it is deleted where it lies.
        """
        try:
            name = self.take(path)
        except OSError as error:
            if not files.is_full(error):
                raise
            with files.open_directory(path.parent) as descriptor:
                files.remove_tree(path.name, descriptor)
        else:
            if name is not None:
                self.delete(name)

    def delete(self, name: str) -> bool:
        """Delete one tree; False, and a line in the log, when something of it cannot be deleted."""
        try:
            with files.open_directory(self._path) as descriptor:
                files.remove_tree(name, descriptor)
        except OSError as error:
            _LOG.warning("%s cannot be deleted: %s", self._path / name, error.strerror)
            return False
        return True

    def empty(self) -> int:
        """Delete everything and return how many trees went."""
        return sum(self.delete(name) for name in self.names())

    def names(self) -> list[str]:
        """Return the names of what waits for deletion."""
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []


def make_movable(path: Path) -> None:
    """Let this user rename the directory `path` into another one.

    That changes its `..`, for which the kernel asks write permission on the directory itself.
    """
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_IWUSR:
        os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
