"""What the file system of a store can do, tried out in its `tmp/`."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import files

if TYPE_CHECKING:
    from .tree import Store

__all__ = ["Capabilities", "probe"]

_FICLONE: Final = 0x40049409
"""linux/fs.h; shares all blocks of one open file with another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What works."""

    hard_links: bool
    reflinks: bool
    network: bool
    """Another machine may hold the same files open."""
    free_bytes: int
    free_inodes: int


def probe(store: Store) -> Capabilities:
    """Try it out; StoreError `disk.full`, `store.unwritable`."""
    with store.staging("probe-") as staged, files.writing(f"the store {store.root}"):
        with os.fdopen(os.open(staged / "file", files.CREATE, 0o600), "wb") as file:
            file.write(b"x" * 4096)
        room = os.statvfs(staged)
        return Capabilities(
            hard_links=_links(str(staged)),
            reflinks=_clones(str(staged)),
            network=files.is_network(staged),
            free_bytes=room.f_bavail * room.f_frsize,
            free_inodes=room.f_favail,
        )


def _links(directory: str) -> bool:
    try:
        os.link(f"{directory}/file", f"{directory}/link", follow_symlinks=False)
    except OSError:
        return False
    return True


def _clones(directory: str) -> bool:
    with (
        os.fdopen(os.open(f"{directory}/file", files.READ), "rb") as source,
        os.fdopen(os.open(f"{directory}/clone", files.CREATE, 0o600), "wb") as target,
    ):
        try:
            fcntl.ioctl(target, _FICLONE, source.fileno())
        except OSError:
            return False
    return True
