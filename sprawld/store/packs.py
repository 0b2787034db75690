"""Packs: for each entry and kind of interpreter, one file with the bytecode and module index of the entry.

    packs/<tag>/<sha256 of the wheel>.pack

1. A pack is a cache of what the entry holds; the daemon never reads it, and whoever finds it bad ignores it.
2. It is on the disk before it gets its name, so there is no half a pack to find after a power cut.
3. It goes with its entry: none is published without one, and discarding the entry removes it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

__all__ = ["Packs"]

SUFFIX: Final = ".pack"


class Packs:
    """The directory `packs/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "packs"

    def has(self, tag: str, digest: str) -> bool:
        """Tell whether an entry has a pack for the interpreters of this tag."""
        return self._file(tag, digest).exists()

    def publish(self, staged: Path, tag: str, digest: str) -> None:
        """Rename a finished pack into its place; the caller knows that its entry is there. OSError."""
        target = self._file(tag, digest)
        for directory in (self._path, target.parent):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
        os.rename(staged, target)

    def remove(self, digest: str) -> None:
        """Remove the packs of an entry; processes that use them go on from the sources."""
        for tag in self._tags():
            self._file(tag, digest).unlink(missing_ok=True)

    def sweep(self, keep: Container[str]) -> int:
        """Remove the packs of every entry but these, left by a crash, and return how many."""
        removed = 0
        for path, digest in self._files():
            if digest not in keep:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                    removed += 1
        return removed

    def statistics(self) -> dict[str, int]:
        """Return number and size of all packs, for `status`."""
        sizes = []
        for path, _ in self._files():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.lstat(path).st_size)
        return {"count": len(sizes), "bytes": sum(sizes)}

    def _file(self, tag: str, digest: str) -> Path:
        return self._path / tag / f"{digest}{SUFFIX}"

    def _tags(self) -> list[str]:
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []

    def _files(self) -> Iterator[tuple[str, str]]:
        for tag in self._tags():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for name in os.listdir(self._path / tag):
                    if name.endswith(SUFFIX):
                        yield os.path.join(self._path, tag, name), name.removesuffix(SUFFIX)
