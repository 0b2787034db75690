"""The search paths that a Mach-O file carries for its libraries, read from bytes that nobody vouches for.

1. Read are LC_RPATH and the directories of libraries that are named by `@loader_path`.
2. Of a file for several processors every part is read. What is read is bounded, as in `elf`.

Specification: `mach-o/loader.h` and `mach-o/fat.h`; dyld(1).
"""

from __future__ import annotations

import posixpath
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .elf import Read

__all__ = ["MAGICS", "search_paths"]

_THIN: Final = {b"\xcf\xfa\xed\xfe": 32, b"\xce\xfa\xed\xfe": 28}
"""Little-endian files of 64 and 32 bits -> size of the header."""
_FAT: Final = b"\xca\xfe\xba\xbe"
"""Java's class files begin like that, too; the parts they seem to have begin with no magic."""

MAGICS: Final = frozenset({*_THIN, _FAT})

_PARTS: Final = 8
_COMMANDS: Final = 4096
_COMMAND_BYTES: Final = 256 << 10
_LOADER: Final = "@loader_path"

_RPATH: Final = 0x8000001C
_DYLIBS: Final = frozenset({0xC, 0x80000018, 0x8000001F, 0x80000023})
"""Load, load weakly, re-export, load upward."""


def search_paths(read: Read) -> list[str]:
    """Return the paths as they are written, for libraries their directories; none for what is not Mach-O."""
    head = read(0, 8)
    if head[:4] != _FAT:
        return _of_part(read, 0)
    if len(head) < 8:
        return []
    (count,) = struct.unpack_from(">4xI", head)
    table = read(8, 20 * min(count, _PARTS))
    found: list[str] = []
    for position in range(0, len(table) - 19, 20):
        (offset,) = struct.unpack_from(">8xI", table, position)
        found += _of_part(read, offset)
    return list(dict.fromkeys(found))


def _of_part(read: Read, start: int) -> list[str]:
    head = read(start, 32)
    size = _THIN.get(head[:4])
    if size is None or len(head) < size:
        return []
    count, length = struct.unpack_from("<16xII", head)
    commands = read(start + size, min(length, _COMMAND_BYTES))
    found = []
    position = 0
    for _ in range(min(count, _COMMANDS)):
        if position + 12 > len(commands):
            break
        kind, size, offset = struct.unpack_from("<III", commands, position)
        if size < 8:
            break
        if kind == _RPATH or kind in _DYLIBS:
            text = (
                commands[position + offset : position + size].partition(b"\0")[0].decode("utf-8", "replace")
            )
            if kind == _RPATH:
                found.append(text)
            elif text.startswith(_LOADER + "/"):
                found.append(posixpath.dirname(text))
        position += size
    return [path for path in found if path]
