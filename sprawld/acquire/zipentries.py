"""The central directory of a zip archive: its entries, each of them held against the rules for itself.

What only one reader would see is refused here: second names, sizes in two places, kinds that are neither a
file nor a directory. Sizes are claims until `inflate` has held the bytes against them.

Specification: APPNOTE.TXT 6.3.10, of which wheels use the stored and deflated methods and zip64.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from isal import isal_zlib

from sprawld.errors import WheelError

from .membernames import are_plain, decode_name, shown
from .zipend import malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DEFLATED",
    "DESCRIPTOR_FLAG",
    "MAX32",
    "MAX_RATIO",
    "RATIO_FREE_BYTES",
    "STORED",
    "Entry",
    "check_unicode_path",
    "extra_fields",
    "read_entries",
    "zip64",
]

STORED: Final = 0
DEFLATED: Final = 8

MAX_RATIO: Final = 200
RATIO_FREE_BYTES: Final = 16 << 20
"""Members up to this size may be of any ratio: a page-aligned library of 2 MiB with 223:1 is in daily use."""

# Left out of a central header: version made by, time, date, internal attributes.
_CENTRAL: Final = struct.Struct("<4s2x3H4x3L4H2x2L")
_CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
_MAX16: Final = 0xFFFF
MAX32: Final = 0xFFFFFFFF

_ZIP64_EXTRA: Final = 0x0001
_ZIP64_LIMITS: Final = (MAX32, MAX32, MAX32, _MAX16)
_ZIP64_WIDTHS: Final = (8, 8, 8, 4)
_UNICODE_PATH_EXTRA: Final = 0x7075

_ENCRYPTED_FLAGS: Final = 1 << 0 | 1 << 6 | 1 << 13
DESCRIPTOR_FLAG: Final = 1 << 3
_UTF8_FLAG: Final = 1 << 11
_KNOWN_FLAGS: Final = 1 << 1 | 1 << 2 | DESCRIPTOR_FLAG | _UTF8_FLAG
"""Bits 1 and 2 tell how hard the deflater tried."""

_MAX_VERSION: Final = 63
"""6.3 of APPNOTE.TXT, times ten: other readers take no newer ones."""

_DOS_DIRECTORY: Final = 0x10
_TYPE_MASK, _TYPE_FILE, _TYPE_DIRECTORY = 0o170000, 0o100000, 0o040000


class Entry(NamedTuple):
    """A member as the central directory describes it."""

    offset: int
    """Of its local header."""
    name: str
    """Ends with a slash for a directory."""
    compressed: int
    size: int
    """Claimed bytes when unpacked."""
    crc: int
    method: int
    executable: bool
    flags: int
    raw_name: bytes
    head: bytes
    """The 24 bytes that a local header without extra fields repeats."""


def read_entries(directory: bytes, count: int) -> list[Entry]:
    """Return the entries in the order of their offsets, or raise WheelError `zip.*`."""
    plain = _plain_entries(directory, count)
    return sorted(_entries(directory, count) if plain is None else plain)


def _plain_entries(directory: bytes, count: int) -> list[Entry] | None:
    """Return what `_entries` does where every entry is a common one; None where one wants a closer look.

    Nothing is refused here and nothing let in that `_entries` would refuse: this is its short cut for
    archives of ten thousand members, which are of one or two kinds and have names that can be looked at
    together.
    """
    entries: list[Entry] = []
    names: list[str] = []
    kinds: dict[tuple[int, int, int, int, bool], bool] = {}
    make, unpack, header = tuple.__new__, _CENTRAL.unpack_from, _CENTRAL.size
    position, last = 0, len(directory) - header
    for _ in range(count):
        if position > last:
            return None
        # fmt: off
        (signature, version, flags, method, crc, compressed, size,
         name_length, extra_length, comment_length, disk, attributes, offset) = unpack(directory, position)
        # fmt: on
        following = position + header + name_length
        raw_name = directory[position + header : following]
        kind = (version, flags, method, attributes, raw_name[-1:] == b"/")
        if (
            signature != _CENTRAL_SIGNATURE
            or extra_length
            or disk
            or offset == MAX32
            or compressed == MAX32
            or size == MAX32
            or (kind not in kinds and not _is_taken(kind, kinds))
            or (size and kind[4])
            or (method == STORED and compressed != size)
            or (size > RATIO_FREE_BYTES and size > MAX_RATIO * compressed)
            or not raw_name.isascii()
        ):
            return None
        name = raw_name.decode("ascii")
        names.append(name)
        head = directory[position + 6 : position + 30]
        entry = (offset, name, compressed, size, crc, method, kinds[kind], flags, raw_name, head)
        entries.append(make(Entry, entry))
        position = following + comment_length
    return entries if position == len(directory) and are_plain(names) else None


def _is_taken(
    kind: tuple[int, int, int, int, bool], kinds: dict[tuple[int, int, int, int, bool], bool]
) -> bool:
    """Tell whether members of a kind are let in, and note then whether they are executable."""
    version, flags, method, attributes, is_directory = kind
    try:
        _check_kind("x/" if is_directory else "x", version, flags, method, attributes)
    except WheelError:
        return False
    kinds[kind] = _is_executable(attributes)
    return True


def _is_executable(attributes: int) -> bool:
    return bool(attributes >> 16 & 0o111)


def _entries(directory: bytes, count: int) -> Iterator[Entry]:
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


def _entry(record: bytes, fields: tuple[int, ...]) -> Entry:
    _, version, flags, method, crc, compressed, size, name_length, extra_length, _, disk, *rest = fields
    attributes, offset = rest
    name_end = _CENTRAL.size + name_length
    raw_name = record[_CENTRAL.size : name_end]
    name = decode_name(raw_name, utf8=bool(flags & _UTF8_FLAG))
    _check_kind(name, version, flags, method, attributes)
    if extra_length or MAX32 in (compressed, size, offset) or disk:
        extra = extra_fields(record[name_end : name_end + extra_length], name)
        check_unicode_path(extra, raw_name, name)
        size, compressed, offset, disk = zip64(extra, name, size, compressed, offset, disk)
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
    return Entry(
        offset, name, compressed, size, crc, method, _is_executable(attributes), flags, raw_name, record[6:30]
    )


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
    if method == STORED and flags & DESCRIPTOR_FLAG:
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


# --- extra fields ---


def extra_fields(extra: bytes, name: str) -> dict[int, bytes]:
    """Return identifier -> content; each is there once."""
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


def zip64(extra: dict[int, bytes], name: str, *values: int) -> tuple[int, ...]:
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


def check_unicode_path(extra: dict[int, bytes], raw_name: bytes, name: str) -> None:
    """Refuse a second name: Info-ZIP's Unicode path field counts for some readers only."""
    content = extra.get(_UNICODE_PATH_EXTRA)
    if content is None:
        return
    honest = struct.pack("<BL", 1, isal_zlib.crc32(raw_name)) + raw_name
    if content != honest:
        raise malformed(f"the member {shown(name)} has two names")
