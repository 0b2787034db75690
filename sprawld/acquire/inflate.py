"""The bytes of archive members, held against the size and checksum that their headers claim.

No call makes more bytes than the header claims plus one, whatever the deflated data would unpack to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from isal import isal_zlib

from sprawld.errors import WheelError

from .membernames import shown
from .zipstructure import STORED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from .zipstructure import Member

__all__ = ["WHOLE_BYTES", "content", "pieces"]

WHOLE_BYTES: Final = 16 << 20
"""Members up to this size are inflated in one call; larger ones in pieces, to bound memory."""

_INPUT_BYTES: Final = 256 << 10
_OUTPUT_BYTES: Final = 1 << 20
_ISAL_ERROR: Final = cast("type[Exception]", isal_zlib.IsalError)  # its type stub says an instance
_RAW_DEFLATE: Final = -15
"""zlib's word for a deflate stream without header, with the largest window."""


def content(archive: mmap | bytes, member: Member) -> bytes:
    """Return a member's bytes, or raise WheelError. Meant for members up to `WHOLE_BYTES`."""
    data = archive[member.start : member.start + member.compressed]
    if member.method != STORED:
        inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
        try:
            data = inflater.decompress(data, member.size + 1)
        except _ISAL_ERROR:
            raise _damaged(member) from None
        if not inflater.eof and len(data) <= member.size:
            raise _damaged(member)
        _check_end(member, len(data), inflater.unused_data)
    if isal_zlib.crc32(data) != member.crc:
        raise _wrong_checksum(member)
    return data


def pieces(archive: mmap | bytes, member: Member) -> Iterator[bytes]:
    """Yield a member's bytes in pieces; the last check is made when all were taken."""
    crc = 0
    for piece in _stored(archive, member) if member.method == STORED else _inflated(archive, member):
        crc = isal_zlib.crc32(piece, crc)
        yield piece
    if crc != member.crc:
        raise _wrong_checksum(member)


def _stored(archive: mmap | bytes, member: Member) -> Iterator[bytes]:
    end = member.start + member.compressed
    for position in range(member.start, end, _OUTPUT_BYTES):
        yield archive[position : min(position + _OUTPUT_BYTES, end)]


def _inflated(archive: mmap | bytes, member: Member) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    position, end = member.start, member.start + member.compressed
    waiting = b""
    produced = 0
    while not inflater.eof:
        if not waiting:
            waiting = archive[position : min(position + _INPUT_BYTES, end)]
            position += len(waiting)
        try:
            piece = inflater.decompress(waiting, _OUTPUT_BYTES)
        except _ISAL_ERROR:
            raise _damaged(member) from None
        if not piece and not waiting:
            raise _damaged(member)
        waiting = inflater.unconsumed_tail
        produced += len(piece)
        if produced > member.size:
            break
        yield piece
    _check_end(member, produced, inflater.unused_data + archive[position:end])


def _check_end(member: Member, produced: int, rest: bytes) -> None:
    if produced != member.size:
        reason = "more" if produced > member.size else "less"
        raise WheelError(
            "zip.size-mismatch", f"the member {shown(member.name)} unpacks to {reason} than it claims"
        )
    if rest:
        raise WheelError(
            "zip.malformed", f"bytes follow the deflated data of the member {shown(member.name)}"
        )


def _damaged(member: Member) -> WheelError:
    return WheelError("zip.malformed", f"the deflated data of the member {shown(member.name)} is damaged")


def _wrong_checksum(member: Member) -> WheelError:
    return WheelError("zip.crc-mismatch", f"the member {shown(member.name)} does not match its checksum")
