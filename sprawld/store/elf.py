"""The search paths that an ELF file carries for its libraries, read from bytes that nobody vouches for.

1. Only DT_RPATH and DT_RUNPATH are read, by way of the program headers, as the loader does.
2. What is read is bounded, whatever the headers claim; a file that makes no sense has no search path.

Specification: System V ABI, chapter 5 (program header, dynamic section); ld.so(8).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]
    """(offset, size) -> at most so many bytes from there."""

__all__ = ["MAGIC", "search_paths"]

MAGIC: Final = b"\x7fELF"

_HEADERS: Final = 256
"""Most program headers read; linkers write some ten."""
_DYNAMIC_BYTES: Final = 64 << 10
_STRING_BYTES: Final = 64 << 10
_PATHS: Final = 512

_LOAD: Final = 1
_DYNAMIC: Final = 2
_END: Final = 0
_STRINGS: Final = 5
_RPATH: Final = 15
_RUNPATH: Final = 29


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int
    """In the file."""


def search_paths(read: Read) -> list[str]:
    """Return the entries of DT_RPATH and DT_RUNPATH as they are written; none for what is not ELF."""
    head = read(0, 64)
    if len(head) < 52 or head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
        return []
    order = "<" if head[5] == 1 else ">"
    wide = head[4] == 2
    try:
        segments = _segments(read, head, order, wide=wide)
        dynamic = next((segment for segment in segments if segment.kind == _DYNAMIC), None)
        if dynamic is None:
            return []
        return _paths(read, segments, dynamic, order + ("qQ" if wide else "iI"))
    except (struct.error, OverflowError):
        return []


def _segments(read: Read, head: bytes, order: str, *, wide: bool) -> list[_Segment]:
    start, size, count = struct.unpack_from(order + ("32xQ14xHH" if wide else "28xI10xHH"), head)
    form = struct.Struct(order + ("IIQQQQ" if wide else "IIIII"))
    if size < form.size or size > 4096:
        return []
    table = read(start, size * min(count, _HEADERS))
    found = []
    for position in range(0, len(table) - form.size + 1, size):
        if wide:
            kind, _, offset, address, _, length = form.unpack_from(table, position)
        else:
            kind, offset, address, _, length = form.unpack_from(table, position)
        found.append(_Segment(kind, offset, address, length))
    return found


def _paths(read: Read, segments: list[_Segment], dynamic: _Segment, form: str) -> list[str]:
    table = read(dynamic.offset, min(dynamic.size, _DYNAMIC_BYTES))
    entry = struct.Struct(form)
    strings = None
    wanted: list[int] = []
    for tag, value in entry.iter_unpack(table[: len(table) // entry.size * entry.size]):
        if tag == _END:
            break
        if tag == _STRINGS:
            strings = value
        elif tag in (_RPATH, _RUNPATH) and len(wanted) < 4:
            wanted.append(value)
    start = None if strings is None else _offset(segments, strings)
    if start is None:
        return []
    found: list[str] = []
    for offset in wanted:
        text, end, _ = read(start + offset, _STRING_BYTES).partition(b"\0")
        if end:
            found += text.decode("utf-8", "replace").split(":", _PATHS)[:_PATHS]
    return [path for path in found if path]


def _offset(segments: list[_Segment], address: int) -> int | None:
    """Return where in the file lies what is loaded at an address."""
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    return None
