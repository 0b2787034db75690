"""The structure of a zip archive: where each member's bytes lie, or why the archive is refused.

1. The members, the central directory and the end records tile the file: no gap, overlap, prefix or trailer,
   so that a reader that starts at the front and one that starts at the end see the same members.
2. A local header says what the central directory says. What only one of them says is refused.
3. Nothing is inflated here. Sizes are claims until `inflate` has held the bytes against them.

Specification: APPNOTE.TXT 6.3.10, of which wheels use the stored and deflated methods and zip64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.errors import WheelError

from .membernames import refuse_collisions, shown
from .zipend import find_directory, malformed
from .zipentries import (
    DEFLATED,
    DESCRIPTOR_FLAG,
    MAX32,
    MAX_RATIO,
    RATIO_FREE_BYTES,
    STORED,
    check_unicode_path,
    extra_fields,
    read_entries,
    zip64,
)

if TYPE_CHECKING:
    from mmap import mmap

    from .zipentries import Entry

__all__ = ["DEFLATED", "MAX_RATIO", "RATIO_FREE_BYTES", "STORED", "Member", "read_members"]

MAX_MEMBERS: Final = 200_000
"""The largest of the wheels looked at has 12,248."""
MAX_TOTAL_BYTES: Final = 8 << 30
"""Unpacked. The largest wheels that indexes take unpack to about half of it."""
MAX_TOTAL_RATIO: Final = 100
TOTAL_RATIO_FREE_BYTES: Final = 64 << 20
"""The same for an archive as a whole; the highest ratio of the wheels looked at is 8."""

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"


class Member(NamedTuple):
    """One member, as both of its headers describe it. A tuple, because there are ten thousands of them."""

    name: str
    """Ends with a slash for a directory."""
    start: int
    """Offset of the member's bytes."""
    compressed: int
    size: int
    """Claimed bytes when unpacked."""
    crc: int
    method: int
    executable: bool


def read_members(archive: mmap | bytes) -> list[Member]:
    """Return the members in the order of their bytes, or raise WheelError `zip.*`."""
    start, end, count = find_directory(archive)
    if count > MAX_MEMBERS:
        raise WheelError("zip.bomb", f"the archive has {count} members")
    entries = read_entries(archive[start:end], count)
    refuse_collisions([entry.name for entry in entries])
    _check_total(entries, start)
    offsets = [entry.offset for entry in entries]
    if not entries or offsets[0] != 0:
        raise malformed("the archive does not start with a member")
    return [
        _locate(archive, entry, limit) for entry, limit in zip(entries, [*offsets[1:], start], strict=True)
    ]


def _check_total(entries: list[Entry], packed: int) -> None:
    total = sum(entry.size for entry in entries)
    if total > MAX_TOTAL_BYTES or (total > TOTAL_RATIO_FREE_BYTES and total > MAX_TOTAL_RATIO * packed):
        raise WheelError("zip.bomb", f"the archive claims to unpack {packed} bytes to {total}")


def _locate(archive: mmap | bytes, entry: Entry, limit: int) -> Member:
    """Return the member with the place of its bytes; what follows in the archive starts at `limit`."""
    offset, name, compressed, size, crc, method, executable, flags, raw_name, head = entry
    plain = b"PK\x03\x04%b\0\0%b" % (head, raw_name)
    start = offset + len(plain)
    local = archive[offset:start]
    if local != plain or flags & DESCRIPTOR_FLAG:
        start = _check_local(archive, entry, local)
    end = start + compressed
    if flags & DESCRIPTOR_FLAG:
        _check_descriptor(archive[end : min(limit, end + 25)], entry)
    elif end != limit:
        reason = "overlaps what follows it" if end > limit else "is followed by bytes of no member"
        raise malformed(f"the member {shown(name)} {reason}")
    return tuple.__new__(Member, (name, start, compressed, size, crc, method, executable))


def _check_local(archive: mmap | bytes, entry: Entry, local: bytes) -> int:
    """Compare a local header field by field; returns where the member's bytes start."""
    if local[:4] != _LOCAL_SIGNATURE or len(local) < _LOCAL.size + len(entry.raw_name):
        raise malformed(f"no member starts where {shown(entry.name)} should")
    _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = _LOCAL.unpack_from(local)
    if name_length != len(entry.raw_name) or local[_LOCAL.size :] != entry.raw_name:
        raise malformed(f"the member {shown(entry.name)} has another name in its own header")
    start = entry.offset + len(local)
    extra = extra_fields(archive[start : start + extra_length], entry.name)
    check_unicode_path(extra, entry.raw_name, entry.name)
    size, compressed = zip64(extra, entry.name, size, compressed)
    truths = (entry.flags, entry.method, entry.crc, entry.compressed, entry.size)
    streamed = bool(flags & DESCRIPTOR_FLAG)
    for claim, truth, may_be_unknown in zip(
        (flags, method, crc, compressed, size), truths, (False, False, True, True, True), strict=True
    ):
        if claim != truth and not (streamed and may_be_unknown and claim == 0):
            raise malformed(f"the two headers of the member {shown(entry.name)} contradict each other")
    return start + int(extra_length)


def _check_descriptor(tail: bytes, entry: Entry) -> None:
    """Compare the data descriptor, which has four forms: with and without signature, of 4 or 8 byte sizes."""
    sums = [
        struct.pack("<L2Q", entry.crc, entry.compressed, entry.size),
        *(
            [struct.pack("<3L", entry.crc, entry.compressed, entry.size)]
            if max(entry.compressed, entry.size) <= MAX32
            else []
        ),
    ]
    if tail not in sums and tail.removeprefix(_DESCRIPTOR_SIGNATURE) not in sums:
        raise malformed(f"the data descriptor of the member {shown(entry.name)} contradicts its header")
