"""A publication: one entry, bundle or set as it was renamed into place once, and the mark of its durability.

1. Each holds a witness file that is never edited: an entry its `manifest`, the others a file `boot`. All name
   the boot that published it.
2. A durable mark `durable/<kind>-<name>` is a hard link to the witness. So it vouches for that publication
   and never for another one under the same name, in whatever order a power cut lets names come and go.
3. A publication is trusted if it is durable, or if it was made by this boot: a crash of processes loses
   nothing that was written, only a crash of the machine does.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sprawld.errors import StoreError

from . import files, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "WITNESS",
    "Kind",
    "Published",
    "boot_of",
    "is_durable",
    "is_name",
    "look",
    "make_mark",
    "publications",
    "remove_mark",
    "remove_stale_marks",
    "write_boot",
]

Kind = Literal["wheels", "bundles", "sets"]

WITNESS: Final[dict[Kind, str]] = {"wheels": manifest.NAME, "bundles": "boot", "sets": "boot"}
"""Kind -> the file whose link is the durable mark."""

_NAMES: Final[dict[str, re.Pattern[str]]] = {
    "wheels": re.compile(r"[0-9a-f]{64}"),
    "bundles": re.compile(r"[0-9a-f]{16,64}"),
    "sets": re.compile(r"[0-9a-f]{16,64}"),
    "client": re.compile(r"[0-9a-f]{16,64}"),
}

_BOOT_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Published:
    """One publication, told from an earlier or later one of the same name."""

    kind: Kind
    name: str
    witness: tuple[int, int]
    """Inode and mtime (ns) of the witness file."""

    def path(self, root: Path) -> Path:
        """Return its directory in the store `root`."""
        return root / self.kind / self.name

    def mark(self, root: Path) -> Path:
        """Return the path of its durable mark, which may not exist."""
        return _mark(root, self.kind, self.name)


def is_name(kind: str, name: str) -> bool:
    """Tell whether `name` has the form of a name in `wheels`, `bundles`, `sets` or `client`."""
    return _NAMES[kind].fullmatch(name) is not None


def look(root: Path, kind: Kind, name: str) -> Published | None:
    """Return what lies under a name now; None if there is nothing or its witness is missing."""
    witness = _identity(root / kind / name / WITNESS[kind])
    return None if witness is None else Published(kind, name, witness)


def publications(root: Path) -> Iterator[Published]:
    """Yield everything published, trusted or not; what has no witness is left out.

    Sets come first: of a set that is yielded, every bundle and entry was there before and is yielded as well.
    """
    kinds: tuple[Kind, ...] = ("sets", "bundles", "wheels")
    for kind in kinds:
        try:
            names = os.listdir(root / kind)
        except FileNotFoundError:  # the store was removed under the running daemon
            continue
        for name in names:
            item = look(root, kind, name) if is_name(kind, name) else None
            if item is not None:
                yield item


def boot_of(path: Path, kind: Kind) -> str | None:
    """Return the boot that made the tree at `path`; None if its witness does not tell or was cut short."""
    try:
        if kind != "wheels":
            return files.read_small(path / WITNESS[kind], _BOOT_BYTES).decode("ascii")
        return manifest.read_summary(path / WITNESS[kind]).boot_id
    except (OSError, ValueError, StoreError):
        return None


def write_boot(staged: Path, boot: str) -> None:
    """Write the witness of a bundle or set that is being made."""
    descriptor = os.open(staged / WITNESS["sets"], files.CREATE, 0o444)
    with os.fdopen(descriptor, "wb") as file:
        file.write(boot.encode("ascii"))


def is_durable(root: Path, item: Published) -> bool:
    """Tell whether the durable mark of this very publication exists."""
    return _identity(item.mark(root)) == item.witness


def make_mark(root: Path, item: Published) -> bool:
    """Link the durable mark; the caller has made the content durable, and syncs `durable/` afterwards.

    False where the file system has no hard links: then the item stays volatile and is rechecked each boot.
    """
    mark = item.mark(root)
    remove_mark(root, item.kind, item.name)
    try:
        os.link(item.path(root) / WITNESS[item.kind], mark, follow_symlinks=False)
    except OSError:
        return False
    return True


def remove_mark(root: Path, kind: str, name: str) -> None:
    """Remove the durable mark of a name, if there is one."""
    _mark(root, kind, name).unlink(missing_ok=True)


def remove_stale_marks(root: Path) -> int:
    """Remove the marks of what is no longer there, left by a crash; returns how many."""
    removed = 0
    for entry in os.listdir(root / "durable"):
        kind, _, name = entry.partition("-")
        item = look(root, kind, name) if kind in WITNESS and is_name(kind, name) else None
        if item is None or not is_durable(root, item):
            (root / "durable" / entry).unlink(missing_ok=True)
            removed += 1
    return removed


def _mark(root: Path, kind: str, name: str) -> Path:
    return root / "durable" / f"{kind}-{name}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_ino, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
