"""The end of a zip archive: the records that say where its central directory lies.

There is one end record, it is the last thing in the file, and the 32-bit and the 64-bit form agree.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from sprawld.errors import WheelError

if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["find_directory", "malformed"]

_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END_SIGNATURE: Final = b"PK\x05\x06"
_END64_SIGNATURE: Final = b"PK\x06\x06"
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
_MAX16: Final = 0xFFFF
_MAX32: Final = 0xFFFFFFFF


def malformed(reason: str) -> WheelError:
    """Return the refusal of an archive whose structure is damaged or has two readings."""
    return WheelError("zip.malformed", reason)


def find_directory(archive: mmap | bytes) -> tuple[int, int, int]:
    """Return start and end of the central directory and the number of its entries."""
    position = _end_position(archive)
    _, *disks, here, count, size, start, _ = _END.unpack_from(archive, position)
    end = position
    locator = position - _LOCATOR.size
    if locator >= 0 and archive[locator : locator + 4] == _LOCATOR_SIGNATURE:
        claims = (here, count, size, start)
        end, *truths = _end64(archive, locator)
        limits = (_MAX16, _MAX16, _MAX32, _MAX32)
        if any(
            claim not in (truth, limit) for claim, truth, limit in zip(claims, truths, limits, strict=True)
        ):
            raise malformed("the two end records contradict each other")
        here, count, size, start = truths
    if disks != [0, 0] or here != count:
        raise malformed("the archive is one of several volumes")
    if start + size != end:
        raise malformed("the central directory does not lie where the archive's end says")
    return start, end, count


def _end_position(archive: mmap | bytes) -> int:
    """Find the end record: the last bytes of the archive but for a comment that can hide no other record."""
    length = len(archive)
    position = length - _END.size
    if position < 0:
        raise malformed("the file is too short for an archive")
    if archive[position : position + 4] != _END_SIGNATURE or archive[length - 2 : length] != b"\0\0":
        position = archive.rfind(_END_SIGNATURE, max(0, length - _END.size - _MAX16))
        if position < 0 or position + _END.size > length:
            raise malformed("the file does not end like an archive")
    comment = archive[position + _END.size : length]
    if int.from_bytes(archive[position + 20 : position + 22], "little") != len(comment):
        raise malformed("bytes follow the end of the archive")
    if comment and min(comment) < 0x09:
        raise malformed("the archive's comment hides binary data")
    return position


def _end64(archive: mmap | bytes, locator: int) -> tuple[int, int, int, int, int]:
    """Return position, entries on this disk, entries, size and start from the zip64 end record."""
    _, disk, position, disks = _LOCATOR.unpack_from(archive, locator)
    if disk != 0 or disks > 1 or position + _END64.size != locator:
        raise malformed("the zip64 end record does not lie where its locator says")
    signature, size, _, _, disk, start_disk, here, count, directory_size, start = _END64.unpack_from(
        archive, position
    )
    if signature != _END64_SIGNATURE or size != _END64.size - 12 or disk or start_disk:
        raise malformed("the zip64 end record is not one")
    return position, here, count, directory_size, start
