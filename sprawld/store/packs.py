"""Packs: for each entry and kind of interpreter, one file with the bytecode and module index of the entry.

    packs/<tag>/<sha256 of the wheel>.pack

1. A pack is a cache of what the entry holds. Who imports from it goes by its checksums and ignores a bad one;
   `problem` goes by the sha256 that its builder put before the index, whatever interpreter that was.
2. It is on the disk before it gets its name, so there is no half a pack to find after a power cut.
3. It goes with its entry: none is published without one, and discarding the entry removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final, Literal

from . import files

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["PackProblem", "Packs"]

SUFFIX: Final = ".pack"
MODE: Final = 0o444

PackProblem = Literal["extra", "mode", "changed", "unreadable"]

# As told in the client's `packs`.
_MAGIC: Final = b"VSPACK2\n"
_HEADER_BYTES: Final = 40
_SEAL_BYTES: Final = 32
_PIECE_BYTES: Final = 1 << 20


class Packs:
    """The directory `packs/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "packs"

    def has(self, tag: str, digest: str) -> bool:
        """Tell whether an entry has a pack for the interpreters of this tag, in today's format."""
        try:
            descriptor = os.open(self._file(tag, digest), files.READ)
        except OSError:
            return False
        try:
            return os.read(descriptor, len(_MAGIC)) == _MAGIC
        finally:
            os.close(descriptor)

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
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(self._file(tag, digest))

    def sweep(self, keep: Container[str]) -> int:
        """Remove the packs of every entry but these, left by a crash, and return how many."""
        removed = 0
        for path, digest in self._files():
            if digest not in keep:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                    removed += 1
        return removed

    def all(self) -> list[tuple[str, str]]:
        """Return (tag, file name) of everything there, sorted; what lies beside the tags has no name."""
        found = []
        for tag in self._tags():
            if (self._path / tag).is_dir():
                found += [(tag, name) for name in _names(self._path / tag)]
            else:
                found.append((tag, ""))
        return sorted(found)

    def path(self, tag: str, name: str) -> Path:
        """Return where something of `all` lies."""
        return self._path / tag / name

    def problem(self, tag: str, name: str, keep: Container[str], *, contents: bool) -> PackProblem | None:
        """Return what is wrong with a file, if anything; `keep` are the entries that may have packs.

        Reads all of it, or with `contents` false its head.
        """
        digest = name.removesuffix(SUFFIX)
        if digest == name or digest not in keep:
            return "extra"
        path = self.path(tag, name)
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                return "extra"
            descriptor = os.open(path, files.READ)
            with os.fdopen(descriptor, "rb") as stream:
                if not _is_whole(stream, status.st_size, contents):
                    return "changed"
        except FileNotFoundError:
            return None  # it went with its entry
        except OSError:
            return "unreadable"
        return None if stat.S_IMODE(status.st_mode) == MODE else "mode"

    def bytes_of(self, digest: str) -> int:
        """Return the size of the packs of an entry."""
        size = 0
        for tag in self._tags():
            with contextlib.suppress(OSError):
                size += os.lstat(self._file(tag, digest)).st_size
        return size

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


def _names(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_whole(stream: BinaryIO, size: int, contents: bool) -> bool:
    head = stream.read(_HEADER_BYTES)
    start = int.from_bytes(head[24:32], "little")
    if head[:8] != _MAGIC or int.from_bytes(head[16:24], "little") != size:
        return False
    if not _HEADER_BYTES + _SEAL_BYTES <= start <= size:
        return False
    if not contents:
        return True
    digest = hashlib.sha256(head)
    left = start - _SEAL_BYTES - _HEADER_BYTES
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        digest.update(piece)
        left -= len(piece)
    seal = stream.read(_SEAL_BYTES)
    while piece := stream.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.digest() == seal
