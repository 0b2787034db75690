"""Install roots: which entries were installed into which virtual environments, one durable file each.

1. Nothing else tells what a virtual environment outside the store uses, so these files are the truth, and are
   on the disk before an install is called done.
2. A file that cannot be understood stops whoever asks: gc must not take "unknown" for "unused".
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError
from sprawld.model import Digest

from . import files, pins

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Install", "InstallRoots"]

_FILE_BYTES: Final = 8 << 20
"""Some 100,000 digests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """A virtual environment that entries were installed into."""

    target: Path
    entries: frozenset[Digest]
    installed: int
    """Seconds since the epoch."""


class InstallRoots:
    """The directory `roots/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "roots"
        self._staging = root / "tmp"

    def record(self, target: Path, entries: Iterable[Digest], *, now: float) -> None:
        """Make the entries the ones that `target` keeps alive, in place of those recorded before.

        StoreError `disk.full` or `store.unwritable`: then the old record stands.
        """
        content = {"target": str(target), "installed": int(now), "entries": sorted(set(entries))}
        with files.writing(f"the install root of {target}"):
            files.write_atomic(self._file(target), json.dumps(content).encode("ascii"), self._staging)

    def forget(self, target: Path) -> bool:
        """Let the entries of `target` go; False when it was not known."""
        try:
            with files.writing(f"the install root of {target}"):
                os.unlink(self._file(target))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def all(self) -> list[Install]:
        """Return every install root; StoreError `store.damaged` names a file that cannot be understood."""
        try:
            names = os.listdir(self._path)
        except FileNotFoundError:
            return []
        names = [name for name in names if not name.startswith(pins.PREFIX)]
        return [self._read(self._path / name) for name in sorted(names)]

    def _file(self, target: Path) -> Path:
        return self._path / (hashlib.sha256(os.fsencode(target)).hexdigest() + ".json")

    def _read(self, path: Path) -> Install:
        try:
            content = json.loads(files.read_small(path, _FILE_BYTES))
            return Install(
                target=Path(content["target"]),
                entries=frozenset(Digest(str(digest)) for digest in content["entries"]),
                installed=int(content["installed"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "store.damaged",
                f"the install root {path} cannot be read",
                hint="remove the file, and install again into the environment it was for",
            ) from error
