"""Pins: lockfiles and directories of projects whose sets gc keeps, whatever their age and the store's budget.

    roots/pin-<sha256 of the path>.json    {"pin": path, "pinned": seconds since the epoch}

1. A pin holds every set that a pinned lockfile gave, also from what the file said before, and also while the
   file cannot be seen: the disk it lies on may not be mounted. `unpin` ends that.
2. A pinned directory stands for every lockfile at or below it, those of tomorrow included.
3. As with install roots nothing else tells what the user wants, so a pin is on the disk before it counts as
   made, and one that cannot be read stops gc.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError

from . import files

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PREFIX", "Pin", "Pins", "covers"]

PREFIX: Final = "pin-"
"""Of the files' names; the other files in roots/ are install roots."""

_FILE_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One lockfile or directory to keep alive."""

    path: Path
    pinned: int
    """Seconds since the epoch."""


class Pins:
    """The pins in `roots/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "roots"
        self._staging = root / "tmp"

    def pin(self, path: Path, *, now: float) -> bool:
        """Keep what the absolute `path` stands for; False when it was pinned already.

        StoreError `disk.full` or `store.unwritable`.
        """
        if self._file(path).exists():
            return False
        content = json.dumps({"pin": os.fspath(path), "pinned": int(now)}).encode("ascii")
        with files.writing(f"the pin of {path}"):
            files.write_atomic(self._file(path), content, self._staging)
        return True

    def unpin(self, path: Path) -> bool:
        """Leave it to gc again; False when it was not pinned."""
        try:
            with files.writing(f"the pin of {path}"):
                os.unlink(self._file(path))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def all(self) -> list[Pin]:
        """Return every pin; StoreError `store.damaged` names a file that cannot be understood."""
        try:
            names = os.listdir(self._path)
        except FileNotFoundError:
            return []
        return [self._read(self._path / name) for name in sorted(names) if name.startswith(PREFIX)]

    def _file(self, path: Path) -> Path:
        return self._path / f"{PREFIX}{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"

    def _read(self, path: Path) -> Pin:
        try:
            content = json.loads(files.read_small(path, _FILE_BYTES))
            return Pin(path=Path(content["pin"]), pinned=int(content["pinned"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "store.damaged",
                f"the pin {path} cannot be read",
                hint="remove the file, and pin again what it was for",
            ) from error


def covers(pins: Iterable[Pin], lock: Path) -> bool:
    """Tell whether a lockfile is pinned, itself or by a directory above it."""
    return any(pin.path == lock or pin.path in lock.parents for pin in pins)
