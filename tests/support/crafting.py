"""The tools to craft wheels that are wrong, or odd, in one way and right in every other."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from .wheels import (
    DEFLATED,
    STORED,
    UTF8_FLAG,
    Content,
    Member,
    build_wheel,
    compress,
    record_row,
    wheel_filename,
    wheel_members,
    write_zip,
    zip_bytes,
)

Build = Callable[[Path], Path]
"""Writes one wheel into a directory and returns its path."""

FILES: Mapping[str, Content] = {"demo/__init__.py": "value = 1\n" * 50}
VICTIM = b"demo/__init__.py"
INFO = "demo-1.0.dist-info"
FIFO, CHARACTER_DEVICE, BLOCK_DEVICE, SOCKET, LINK = 0o010644, 0o020644, 0o060644, 0o140644, 0o120777
DIRECTORY = 0o040755


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def name_of(directory: Path) -> Path:
    return directory / wheel_filename("demo", "1.0")


def members(*further: Member, files: Mapping[str, Content] = FILES) -> list[Member]:
    """Return an honest wheel's members and further ones, which RECORD lists too."""
    rows = {}
    for number, member in enumerate(further):
        name = member.name.decode("utf-8", "surrogateescape")
        if not name.endswith("/") and member.name != VICTIM:
            rows[f"further {number}"] = record_row(name, member.content)
    return [*wheel_members(files=files, record=rows), *further]


def with_members(*further: Member) -> Build:
    return lambda directory: write_zip(name_of(directory), members(*further))


def with_file(name: str, content: bytes = b"x = 1\n", *, mode: int = 0o100644) -> Build:
    return with_members(Member(name=name.encode(), content=content, mode=mode))


def changed(name: bytes = VICTIM, **changes: object) -> Build:
    """Have one member tell lies."""

    def build(directory: Path) -> Path:
        honest = members()
        told = [replace(member, **changes) if member.name == name else member for member in honest]  # type: ignore[arg-type]
        return write_zip(name_of(directory), told)

    return build


def archive(**lies: object) -> Build:
    """Have the archive as a whole tell lies."""
    return lambda directory: write_zip(name_of(directory), members(), **lies)  # type: ignore[arg-type]


def honest_bytes() -> bytes:
    return zip_bytes(members())


def wheel(**arguments: object) -> Build:
    return lambda directory: build_wheel(directory, files=FILES, **arguments)  # type: ignore[arg-type]


# --- archives that need more than one changed field ---


def without_directory(directory: Path) -> Path:
    """The members alone, as a download that stopped early leaves them."""
    content = honest_bytes()
    path = name_of(directory)
    path.write_bytes(content[: content.index(b"PK\x01\x02")])
    return path


def two_ends(directory: Path) -> Path:
    content = honest_bytes()
    path = name_of(directory)
    path.write_bytes(content + content[-22:])
    return path


def zip_in_comment(directory: Path) -> Path:
    return write_zip(name_of(directory), members(), comment=honest_bytes())


def zip64_locator_lie(directory: Path) -> Path:
    return write_zip(name_of(directory), members(), before_end=zip64_end(members(), locator_offset=7))


def zip64_end(listed: list[Member], *, locator_offset: int | None = None, count: int | None = None) -> bytes:
    """Return zip64 end record and locator for an archive of these members, or with a lie in them."""
    plain = zip_bytes(listed)
    size, start = struct.unpack_from("<2L", plain, len(plain) - 10)
    number = len(listed) if count is None else count
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, size, start)
    position = start + size if locator_offset is None else locator_offset
    return record + struct.pack("<4sLQL", b"PK\x06\x07", 0, position, 1)


def overlapping(directory: Path) -> Path:
    """The second member's header lies in the data of the first one."""
    inner = b"x = 1\n"
    name = b"demo/inner.py"
    header = struct.pack(
        "<4s5H3L2H",
        b"PK\x03\x04",
        20,
        UTF8_FLAG,
        STORED,
        0,
        33,
        zlib.crc32(inner),
        len(inner),
        len(inner),
        13,
        0,
    )
    outer = Member(name=b"demo/outer.py", content=header + name + inner, method=STORED)
    hidden = Member(name=name, content=inner, method=STORED, absent_locally=True, offset=30 + len(outer.name))
    return write_zip(name_of(directory), [outer, hidden, *members()])


def quoted_overlap(directory: Path) -> Path:
    """Many entries of the central directory share the bytes of one member."""
    zeros = bytes(1_000_000)
    kernel = Member(name=b"demo/0", content=zeros, raw=compress(zeros, DEFLATED))
    copies = [
        replace(kernel, name=f"demo/{number}".encode(), absent_locally=True, offset=0)
        for number in range(1, 200)
    ]
    return write_zip(name_of(directory), [kernel, *copies, *members()])


def many_members(directory: Path) -> Path:
    """An archive that says it has 200,001 members."""
    end = zip64_end(members(), count=200_001)
    return write_zip(name_of(directory), members(), count=0xFFFF, before_end=end)


def sparse(directory: Path) -> Path:
    """Members that claim a little below 4 GiB each, with as much deflated data as the ratio asks for."""
    claims = [
        Member(name=b"demo/%d" % number, raw=b"", claimed_size=0xFFFFFFF0, claimed_compressed=0)
        for number in range(3)
    ]
    return write_zip(name_of(directory), [*members(), *claims])


def unicode_path(name: bytes, second: bytes) -> bytes:
    content = struct.pack("<BL", 1, zlib.crc32(name)) + second
    return struct.pack("<2H", 0x7075, len(content)) + content
