"""The store's root on disk: made private at first use, refused when it is not ours, not writable or too new.

1. The root is a directory of this user that nobody else can write into; so nothing below it needs to be
   defended against other users, only against crashes.
2. A root that others could write into is closed to them, and refused if anything in it is not this user's.
3. A newer format is refused, never converted; the daemon's lock must be held, so that nobody else creates it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError

from . import files
from .failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CHILDREN", "FORMAT", "make_children", "prepare"]

FORMAT: Final = 1
"""Number in the file `format`; raised when an older daemon could no longer read what a newer one writes."""

CHILDREN: Final = (
    "bundles",
    "client",
    "direct",
    "durable",
    "first-use",
    "leases",
    "origins",
    "packs",
    "projects",
    "quarantine",
    "replies",
    "roots",
    "sets",
    "tmp",
    "trash",
    "wheels",
    "writable",
)

_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def prepare(root: Path) -> None:
    """Make `root` a store that this process may use.

    StoreError: `store.foreign-owner`, `store.newer-format`, `store.damaged`, `store.unwritable`, `disk.full`.
    """
    with files.writing(f"the store {root}"):
        _make_root(root)
        _check_root(root)
        make_children(root)
    failpoint("open.children-made")
    _check_format(root)


def make_children(root: Path) -> None:
    """Create the directories of the tree that are missing; OSError when that fails."""
    for name in CHILDREN:
        path = root / name
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                raise StoreError("store.damaged", f"{path} is not a directory") from None
            _require_own(path, status)
            if stat.S_IMODE(status.st_mode) != 0o700:
                os.chmod(path, 0o700)


def _make_root(root: Path) -> None:
    # Parents get the mode that the XDG specification asks for directories created on the way.
    for parent in reversed(root.parents):
        if not parent.exists():
            os.mkdir(parent, 0o700)
    try:
        os.mkdir(root, 0o700)
    except FileExistsError:
        return


def _check_root(root: Path) -> None:
    link = os.lstat(root)
    if stat.S_ISLNK(link.st_mode):
        # A user may keep the cache on another disk; a link that somebody else put there is a trap.
        _require_own(root, link)
    with files.open_directory(os.path.realpath(root)) as descriptor:
        status = os.fstat(descriptor)
        _require_own(root, status)
        if status.st_mode & _OTHERS_MAY_WRITE:
            for name in os.listdir(descriptor):
                _require_own(root / name, os.lstat(name, dir_fd=descriptor))
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & 0o700)
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError("store.unwritable", f"the store {root} cannot be written by this user")


def _require_own(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        hint = "set XDG_CACHE_HOME to a directory of your own"
        raise StoreError("store.foreign-owner", f"{path} belongs to another user", hint=hint)


def _check_format(root: Path) -> None:
    path = root / "format"
    try:
        content = files.read_small(path, 64)
    except FileNotFoundError:
        with files.writing(f"the store {root}"):
            files.write_atomic(path, b"%d\n" % FORMAT, root / "tmp")
        failpoint("open.format-written")
        return
    except OSError as error:
        raise StoreError("store.damaged", f"{path} cannot be read: {error.strerror}") from error
    if not content.strip().isdigit() or int(content) < 1:
        hint = "move the store's directory away; it is made anew"
        raise StoreError("store.damaged", f"{path} does not hold a format number", hint=hint)
    if int(content) > FORMAT:
        raise StoreError(
            "store.newer-format",
            f"the store {root} has format {int(content)}, this release reads format {FORMAT}",
            hint="use the newer release, or set XDG_CACHE_HOME to another directory",
        )
