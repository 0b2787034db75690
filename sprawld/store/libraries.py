"""Which directories hold the shared libraries of an entry, and which directories its programs look into.

1. Paths are those of an entry, which has the depth of a virtual environment: `lib/python/site-packages/...`.
2. A search path counts if it starts at the file that carries it (`$ORIGIN`, `@loader_path`) and stays inside
   the prefix. Where it leads to need not exist in this wheel: that is what `bundles` are for.
3. An extension module is no library: programs import it, and do not link to it.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Final

from . import elf, files, macho

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .elf import Read

__all__ = ["MAGICS", "Libraries", "is_binary", "is_library", "of_entry", "reader"]

MOST: Final = 2048
"""Directories of either kind that are noted of one wheel; the largest known has some hundred."""

_ORIGINS: Final = ("$ORIGIN", "${ORIGIN}", "@loader_path")
_MODULE_MARKS: Final = (".cpython-", ".pypy", ".abi3.so", ".abi3t.so")
_MAGIC_BYTES: Final = 4
MAGICS: Final = frozenset({elf.MAGIC, *macho.MAGICS})
"""The first four bytes of files that are worth looking at."""


class Libraries:
    """What is found while the files of one wheel are written."""

    def __init__(self) -> None:
        # In the order of their finding: the first `MOST` count.
        self._holding: dict[str, None] = {}
        self._searched: dict[str, None] = {}

    @property
    def holding(self) -> tuple[str, ...]:
        """Return the directories that hold shared libraries, sorted."""
        return tuple(sorted(self._holding))

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the directories that binaries look into, sorted."""
        return tuple(sorted(self._searched))

    def add(self, path: str, read: Read) -> None:
        """Look at one file; `path` is that in the entry."""
        magic = read(0, _MAGIC_BYTES)
        if magic == elf.MAGIC:
            found = elf.search_paths(read)
        elif magic in macho.MAGICS:
            found = macho.search_paths(read)
        else:
            return
        directory, _, name = path.rpartition("/")
        targets = (_target(directory, text) for text in found)
        self.note(
            [directory] if is_library(name) else [], [target for target in targets if target is not None]
        )

    def note(self, holding: Iterable[str], searched: Iterable[str]) -> None:
        """Take over what was found elsewhere, in files that come after those looked at so far."""
        for known, further in ((self._holding, holding), (self._searched, searched)):
            for directory in further:
                if len(known) < MOST:
                    known[directory] = None

    def noted(self) -> tuple[list[str], list[str]]:
        """Return the directories of either kind in the order of their finding, as `note` takes them."""
        return list(self._holding), list(self._searched)


def is_binary(start: bytes) -> bool:
    """Tell by its first bytes whether a file is worth looking at."""
    return start[:_MAGIC_BYTES] in MAGICS


def is_library(name: str) -> bool:
    """Tell by its name whether a file is a shared library that others link to."""
    if name.endswith(".dylib"):
        return True
    if not (name.endswith(".so") or ".so." in name):
        return False
    return name.startswith("lib") or not any(mark in name for mark in _MODULE_MARKS)


def reader(descriptor: int) -> Read:
    """Return what reads an open file."""

    def read(offset: int, size: int) -> bytes:
        return os.pread(descriptor, size, offset) if offset < 1 << 62 else b""

    return read


def of_entry(entry: str, paths: Iterable[str]) -> Libraries:
    """Look at the files of an entry that was unpacked by a release that did not; OSError."""
    found = Libraries()
    for path in paths:
        descriptor = os.open(f"{entry}/{path}", files.READ)
        try:
            found.add(path, reader(descriptor))
        finally:
            os.close(descriptor)
    return found


def _target(directory: str, text: str) -> str | None:
    """Return the directory of the entry that a search path of a file in `directory` leads to."""
    for origin in _ORIGINS:
        rest = text.removeprefix(origin)
        if rest != text and (not rest or rest[0] == "/"):
            path = posixpath.normpath(posixpath.join(directory, rest.lstrip("/")))
            outside = path == ".." or path.startswith(("../", "/"))
            return None if outside or not path.isprintable() else "" if path == "." else path
    return None
