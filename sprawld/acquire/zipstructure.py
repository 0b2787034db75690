"""The structure of a zip archive: where each member's bytes lie, or why the archive is refused.

1. The members, the central directory and the end records tile the file: no gap, overlap, prefix or trailer,
   so that a reader that starts at the front and one that starts at the end see the same members.
2. A local header says what the central directory says. What only one of them says is refused.
3. Nothing is inflated here. Sizes are claims until `members.content` has held the bytes against them.

Specification: APPNOTE.TXT 6.3.10, of which wheels use the stored and deflated methods and zip64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from isal import isal_zlib

from sprawld.errors import WheelError

from .membernames import decode_name, refuse_collisions, shown
from .zipend import find_directory, malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

__all__ = ["DEFLATED", "STORED", "Member", "read_members"]

STORED: Final = 0
DEFLATED: Final = 8

MAX_MEMBERS: Final = 200_000
"""The largest of the wheels looked at has 12,248."""
MAX_TOTAL_BYTES: Final = 8 << 30
"""Unpacked. The largest wheels that indexes take unpack to about half of it."""
MAX_RATIO: Final = 200
RATIO_FREE_BYTES: Final = 16 << 20
"""Members up to this size may be of any ratio: a page-aligned library of 2 MiB with 223:1 is in daily use."""
MAX_TOTAL_RATIO: Final = 100
TOTAL_RATIO_FREE_BYTES: Final = 64 << 20
"""The same for an archive as a whole; the highest ratio of the wheels looked at is 8."""

# Left out of a central header: version made by, time, date, internal attributes.
_CENTRAL: Final = struct.Struct("<4s2x3H4x3L4H2x2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"
_MAX16: Final = 0xFFFF
_MAX32: Final = 0xFFFFFFFF

_ZIP64_EXTRA: Final = 0x0001
_ZIP64_LIMITS: Final = (_MAX32, _MAX32, _MAX32, _MAX16)
_ZIP64_WIDTHS: Final = (8, 8, 8, 4)
_UNICODE_PATH_EXTRA: Final = 0x7075

_ENCRYPTED_FLAGS: Final = 1 << 0 | 1 << 6 | 1 << 13
_DESCRIPTOR_FLAG: Final = 1 << 3
_UTF8_FLAG: Final = 1 << 11
_KNOWN_FLAGS: Final = 1 << 1 | 1 << 2 | _DESCRIPTOR_FLAG | _UTF8_FLAG
"""Bits 1 and 2 tell how hard the deflater tried."""

_MAX_VERSION: Final = 63
"""6.3 of APPNOTE.TXT, times ten: other readers take no newer ones."""

_DOS_DIRECTORY: Final = 0x10
_TYPE_MASK, _TYPE_FILE, _TYPE_DIRECTORY = 0o170000, 0o100000, 0o040000


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


class _Entry(NamedTuple):
    """A member as the central directory describes it."""

    offset: int
    member: Member
    raw_name: bytes
    flags: int
    head: bytes
    """The 24 bytes that a local header without extra fields repeats."""


def read_members(archive: mmap | bytes) -> list[Member]:
    """Return the members in the order of their bytes, or raise WheelError `zip.*`."""
    start, end, count = find_directory(archive)
    if count > MAX_MEMBERS:
        raise WheelError("zip.bomb", f"the archive has {count} members")
    entries = sorted(_entries(archive[start:end], count))
    refuse_collisions([entry.member.name for entry in entries])
    _check_total(entries, start)
    offsets = [entry.offset for entry in entries]
    if not entries or offsets[0] != 0:
        raise malformed("the archive does not start with a member")
    return [
        _locate(archive, entry, limit) for entry, limit in zip(entries, [*offsets[1:], start], strict=True)
    ]


# --- central directory ---


def _entries(directory: bytes, count: int) -> Iterator[_Entry]:
    position = 0
    header = _CENTRAL.size
    for _ in range(count):
        if directory[position : position + 4] != _CENTRAL_SIGNATURE or len(directory) < position + header:
            raise malformed("the central directory has fewer entries than the archive's end says")
        fields = _CENTRAL.unpack_from(directory, position)
        following = position + header + fields[7] + fields[8] + fields[9]
        if following > len(directory):
            raise malformed("an entry reaches beyond the central directory")
        yield _entry(directory[position:following], fields)
        position = following
    if position != len(directory):
        raise malformed("the central directory has more bytes than its entries")


def _entry(record: bytes, fields: tuple[int, ...]) -> _Entry:
    _, version, flags, method, crc, compressed, size, name_length, extra_length, _, disk, *rest = fields
    attributes, offset = rest
    name_end = _CENTRAL.size + name_length
    raw_name = record[_CENTRAL.size : name_end]
    name = decode_name(raw_name, utf8=bool(flags & _UTF8_FLAG))
    _check_kind(name, version, flags, method, attributes)
    if extra_length or _MAX32 in (compressed, size, offset) or disk:
        extra = _extra_fields(record[name_end : name_end + extra_length], name)
        _check_unicode_path(extra, raw_name, name)
        size, compressed, offset, disk = _zip64(extra, name, size, compressed, offset, disk)
        if disk:
            raise malformed(f"the member {shown(name)} lies on another volume")
    if name.endswith("/") and size:
        raise WheelError("zip.bad-type", f"the directory {shown(name)} has content")
    if method == STORED and compressed != size:
        raise malformed(f"the member {shown(name)} is stored, yet of two sizes")
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * compressed:
        raise WheelError(
            "zip.bomb", f"the member {shown(name)} claims to unpack {compressed} bytes to {size}"
        )
    member = Member(name, -1, compressed, size, crc, method, bool(attributes >> 16 & 0o111))
    return _Entry(offset, member, raw_name, flags, record[6:30])


def _check_kind(name: str, version: int, flags: int, method: int, attributes: int) -> None:
    """Let regular files and directories in that are stored or deflated, and nothing else."""
    if flags & ~_KNOWN_FLAGS:
        kind = "encrypted" if flags & _ENCRYPTED_FLAGS else f"of an unknown kind (flags {flags:#x})"
        raise WheelError("zip.unsupported", f"the member {shown(name)} is {kind}")
    if version > _MAX_VERSION:
        raise WheelError(
            "zip.unsupported", f"the member {shown(name)} needs version {version / 10} of the format"
        )
    if method not in (STORED, DEFLATED):
        raise WheelError("zip.unsupported", f"the member {shown(name)} uses compression method {method}")
    if method == STORED and flags & _DESCRIPTOR_FLAG:
        reason = "is stored without a size, which has no one reading"
        raise WheelError("zip.unsupported", f"the member {shown(name)} {reason}")
    # The high half is st_mode for archives made on Unix. Installers look at it whatever system is named, so a
    # link is a link here even in an archive that says it was made elsewhere.
    kind_bits = attributes >> 16 & _TYPE_MASK
    if kind_bits not in (0, _TYPE_FILE, _TYPE_DIRECTORY):
        raise WheelError("zip.bad-type", f"the member {shown(name)} is neither a file nor a directory")
    claims_directory = kind_bits == _TYPE_DIRECTORY or bool(attributes & _DOS_DIRECTORY)
    if claims_directory != name.endswith("/") and (claims_directory or kind_bits == _TYPE_FILE):
        raise WheelError("zip.bad-type", f"the member {shown(name)} is a file and a directory at once")


def _check_total(entries: list[_Entry], packed: int) -> None:
    total = sum(entry.member.size for entry in entries)
    if total > MAX_TOTAL_BYTES or (total > TOTAL_RATIO_FREE_BYTES and total > MAX_TOTAL_RATIO * packed):
        raise WheelError("zip.bomb", f"the archive claims to unpack {packed} bytes to {total}")


# --- extra fields ---


def _extra_fields(extra: bytes, name: str) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(extra):
        identifier = int.from_bytes(extra[position : position + 2], "little")
        length = int.from_bytes(extra[position + 2 : position + 4], "little")
        content = extra[position + 4 : position + 4 + length]
        if position + 4 + length > len(extra) or identifier in fields:
            raise malformed(f"the extra fields of the member {shown(name)} do not parse")
        fields[identifier] = content
        position += 4 + length
    return fields


def _zip64(extra: dict[int, bytes], name: str, *values: int) -> tuple[int, ...]:
    """Return size, compressed size, offset and disk with those replaced that the zip64 field holds.

    It holds the values that have no room in their own place. Some builders repeat the others, which is
    harmless where they agree and none is missing: then no reader can take one for another.
    """
    content = extra.get(_ZIP64_EXTRA)
    if content is None:
        return values
    if not any(value == limit for value, limit in zip(values, _ZIP64_LIMITS, strict=False)):
        repeated = b"".join(
            value.to_bytes(width, "little") for value, width in zip(values, _ZIP64_WIDTHS, strict=False)
        )
        if not repeated.startswith(content):
            raise malformed(f"the member {shown(name)} has other zip64 sizes beside its own ones")
        return values
    result = []
    for value, limit, width in zip(values, _ZIP64_LIMITS, _ZIP64_WIDTHS, strict=False):
        if value != limit:
            result.append(value)
        elif len(content) < width:
            raise malformed(f"the zip64 sizes of the member {shown(name)} are missing")
        else:
            result.append(int.from_bytes(content[:width], "little"))
            content = content[width:]
    if content:
        raise malformed(f"the member {shown(name)} has more zip64 sizes than it has room for")
    return tuple(result)


def _check_unicode_path(extra: dict[int, bytes], raw_name: bytes, name: str) -> None:
    """Refuse a second name: Info-ZIP's Unicode path field counts for some readers only."""
    content = extra.get(_UNICODE_PATH_EXTRA)
    if content is None:
        return
    honest = struct.pack("<BL", 1, isal_zlib.crc32(raw_name)) + raw_name
    if content != honest:
        raise malformed(f"the member {shown(name)} has two names")


# --- local headers ---


def _locate(archive: mmap | bytes, entry: _Entry, limit: int) -> Member:
    """Return the member with the place of its bytes; what follows in the archive starts at `limit`."""
    offset, member, raw_name, flags, head = entry
    plain = b"%b%b\0\0%b" % (_LOCAL_SIGNATURE, head, raw_name)
    start = offset + len(plain)
    local = archive[offset:start]
    if local != plain or flags & _DESCRIPTOR_FLAG:
        start = _check_local(archive, entry, local)
    end = start + member.compressed
    if flags & _DESCRIPTOR_FLAG:
        _check_descriptor(archive[end : min(limit, end + 25)], member)
    elif end != limit:
        reason = "overlaps what follows it" if end > limit else "is followed by bytes of no member"
        raise malformed(f"the member {shown(member.name)} {reason}")
    return Member(member.name, start, *member[2:])


def _check_local(archive: mmap | bytes, entry: _Entry, local: bytes) -> int:
    """Compare a local header field by field; returns where the member's bytes start."""
    member = entry.member
    if local[:4] != _LOCAL_SIGNATURE or len(local) < _LOCAL.size + len(entry.raw_name):
        raise malformed(f"no member starts where {shown(member.name)} should")
    _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = _LOCAL.unpack_from(local)
    if name_length != len(entry.raw_name) or local[_LOCAL.size :] != entry.raw_name:
        raise malformed(f"the member {shown(member.name)} has another name in its own header")
    start: int = entry.offset + len(local)
    extra = _extra_fields(archive[start : start + extra_length], member.name)
    _check_unicode_path(extra, entry.raw_name, member.name)
    size, compressed = _zip64(extra, member.name, size, compressed)
    truths = (entry.flags, member.method, member.crc, member.compressed, member.size)
    streamed = bool(flags & _DESCRIPTOR_FLAG)
    for claim, truth, may_be_unknown in zip(
        (flags, method, crc, compressed, size), truths, (False, False, True, True, True), strict=True
    ):
        if claim != truth and not (streamed and may_be_unknown and claim == 0):
            raise malformed(f"the two headers of the member {shown(member.name)} contradict each other")
    return start + int(extra_length)


def _check_descriptor(tail: bytes, member: Member) -> None:
    """Compare the data descriptor, which has four forms: with and without signature, of 4 or 8 byte sizes."""
    sums = [
        struct.pack("<L2Q", member.crc, member.compressed, member.size),
        *(
            [struct.pack("<3L", member.crc, member.compressed, member.size)]
            if max(member.compressed, member.size) <= _MAX32
            else []
        ),
    ]
    if tail not in sums and tail.removeprefix(_DESCRIPTOR_SIGNATURE) not in sums:
        raise malformed(f"the data descriptor of the member {shown(member.name)} contradicts its header")
