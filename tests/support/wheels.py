"""Wheels made at test time: honest ones with a right RECORD, and the parts to craft every other kind.

`build_wheel` writes an honest wheel in one call. `wheel_members` gives the same wheel as a list of
`Member`s, to be changed and written byte by byte with `write_zip`, which tells any lie a header can tell.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = [
    "Content",
    "Member",
    "build_wheel",
    "record_row",
    "wheel_filename",
    "wheel_members",
    "write_zip",
    "zip_bytes",
]

Content = bytes | str
STORED, DEFLATED = 0, 8
UTF8_FLAG, DESCRIPTOR_FLAG = 0x800, 0x8
_DOS_DATE = 1 << 5 | 1  # 1 January 1980


@dataclass(frozen=True, kw_only=True)
class Member:
    """One zip member. Every `local_*`, `claimed_*` and `raw` field is a lie to tell; None is the truth."""

    name: bytes
    content: bytes = b""
    method: int = DEFLATED
    mode: int = 0o100644
    """st_mode in the high half of the external attributes; 0 leaves them empty."""
    flags: int = UTF8_FLAG
    version: int = 20
    """Of the format, that a reader needs."""
    host: int = 3
    """Host of "version made by": 3 is Unix."""
    extra: bytes = b""
    local_extra: bytes | None = None
    comment: bytes = b""
    raw: bytes | None = None
    """Bytes of the member as they lie in the archive."""
    claimed_size: int | None = None
    claimed_compressed: int | None = None
    claimed_crc: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_compressed: int | None = None
    local_crc: int | None = None
    local_method: int | None = None
    local_flags: int | None = None
    descriptor: bytes | None = None
    """Bytes after the data; with DESCRIPTOR_FLAG in flags and None here an honest signed one is written."""
    absent_locally: bool = False
    """Listed in the central directory only."""
    absent_centrally: bool = False
    """Present in the archive, but not listed."""
    padding: bytes = b""
    """Bytes in front of the local header."""


def write_zip(path: Path, members: Iterable[Member], **oddities: Any) -> Path:
    """Write a zip from members; keywords as for `zip_bytes`."""
    path.write_bytes(zip_bytes(members, **oddities))
    return path


def zip_bytes(
    members: Iterable[Member],
    *,
    prefix: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    before_directory: bytes = b"",
    count: int | None = None,
    directory_size: int | None = None,
    directory_offset: int | None = None,
    before_end: bytes = b"",
) -> bytes:
    """Return a zip made of members; every keyword is a lie or an oddity of the archive as a whole."""
    body = bytearray(prefix)
    central = bytearray()
    number = 0
    for member in members:
        body += member.padding
        offset = len(body) - len(prefix)
        raw = member.raw if member.raw is not None else compress(member.content, member.method)
        if not member.absent_locally:
            body += _local_header(member, raw) + raw + _descriptor(member, raw)
        if not member.absent_centrally:
            central += _central_header(member, raw, offset)
            number += 1
    body += before_directory
    start = len(body) - len(prefix)
    body += central + before_end
    count = number if count is None else count
    body += struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        0,
        0,
        count,
        count,
        len(central) if directory_size is None else directory_size,
        start if directory_offset is None else directory_offset,
        len(comment),
    )
    return bytes(body) + comment + suffix


def compress(content: bytes, method: int) -> bytes:
    """Return content as a member of that method holds it; unknown methods hold it as it is."""
    if method != DEFLATED:
        return content
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return deflate.compress(content) + deflate.flush()


def _truth(lie: int | None, truth: int) -> int:
    return truth if lie is None else lie


def _local_header(member: Member, raw: bytes) -> bytes:
    name = member.name if member.local_name is None else member.local_name
    extra = member.extra if member.local_extra is None else member.local_extra
    flags = _truth(member.local_flags, member.flags)
    streamed = bool(flags & DESCRIPTOR_FLAG)
    crc, compressed, size = (0, 0, 0) if streamed else _sums(member, raw)
    return (
        struct.pack(
            "<4s5H3L2H",
            b"PK\x03\x04",
            member.version,
            flags,
            _truth(member.local_method, member.method),
            0,
            _DOS_DATE,
            _truth(member.local_crc, crc),
            _truth(member.local_compressed, compressed),
            _truth(member.local_size, size),
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def _descriptor(member: Member, raw: bytes) -> bytes:
    if member.descriptor is not None:
        return member.descriptor
    if not member.flags & DESCRIPTOR_FLAG:
        return b""
    return struct.pack("<4s3L", b"PK\x07\x08", *_sums(member, raw))


def _central_header(member: Member, raw: bytes, offset: int) -> bytes:
    crc, compressed, size = _sums(member, raw)
    return (
        struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            member.host << 8 | 20,
            member.version,
            member.flags,
            member.method,
            0,
            _DOS_DATE,
            crc,
            compressed,
            size,
            len(member.name),
            len(member.extra),
            len(member.comment),
            0,
            0,
            member.mode << 16,
            _truth(member.offset, offset),
        )
        + member.name
        + member.extra
        + member.comment
    )


def _sums(member: Member, raw: bytes) -> tuple[int, int, int]:
    return (
        _truth(member.claimed_crc, zlib.crc32(member.content)),
        _truth(member.claimed_compressed, len(raw)),
        _truth(member.claimed_size, len(member.content)),
    )


def record_row(name: str, content: bytes) -> str:
    """Return the RECORD line of one file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    quoted = '"' + name.replace('"', '""') + '"' if re.search(r'[",\n]', name) else name
    return f"{quoted},sha256={digest},{len(content)}"


def wheel_filename(name: str, version: str, tag: str = "py3-none-any", build: str = "") -> str:
    """Return the file name of a wheel, escaped as the specification of binary distributions says."""
    parts = [re.sub(r"[-_.]+", "_", name), version.replace("-", "_"), *([build] if build else []), tag]
    return "-".join(parts) + ".whl"


def wheel_members(
    name: str = "demo",
    version: str = "1.0",
    files: Mapping[str, Content] | None = None,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    entry_points: Mapping[str, Mapping[str, str]] | str | None = None,
    data: Mapping[str, Content] | None = None,
    modes: Mapping[str, int] | None = None,
    requires_python: str | None = None,
    requires: Iterable[str] = (),
    metadata: Iterable[str] = (),
    root_is_purelib: bool = True,
    dist_info: Mapping[str, Content | None] | None = None,
    record: Mapping[str, str | None] | None = None,
) -> list[Member]:
    """Return the members of a wheel, RECORD last; the arguments are those of `build_wheel`."""
    escaped = re.sub(r"[-_.]+", "_", name)
    stem = f"{escaped}-{version.replace('-', '_')}"
    if files is None:
        files = {f"{escaped}/__init__.py": f'__version__ = "{version}"\n'}
    contents = {path: _bytes(content) for path, content in files.items()}
    for path, content in (data or {}).items():
        contents[f"{stem}.data/{path}"] = _bytes(content)
    info: dict[str, Content | None] = {
        "METADATA": _metadata(name, version, requires_python, requires, metadata),
        "WHEEL": _wheel(tag, build, root_is_purelib=root_is_purelib),
    }
    if entry_points is not None:
        info["entry_points.txt"] = _entry_points(entry_points)
    for path, described in {**info, **(dist_info or {})}.items():
        if described is not None and path != "RECORD":
            contents[f"{stem}.dist-info/{path}"] = _bytes(described)
    record_name = f"{stem}.dist-info/RECORD"
    rows = {path: record_row(path, content) for path, content in contents.items()}
    rows[record_name] = f"{record_name},,"
    rows = {path: row for path, row in {**rows, **(record or {})}.items() if row is not None}
    text = "".join(f"{row}\n" for row in rows.values()).encode("utf-8", "surrogateescape")
    if dist_info is None or "RECORD" not in dist_info:
        contents[record_name] = text
    elif dist_info["RECORD"] is not None:
        contents[record_name] = _bytes(dist_info["RECORD"])
    modes = modes or {}
    return [
        Member(name=path.encode(), content=content, mode=0o100000 | modes.get(path, 0o644))
        for path, content in contents.items()
    ]


def build_wheel(
    directory: Path,
    name: str = "demo",
    version: str = "1.0",
    files: Mapping[str, Content] | None = None,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    entry_points: Mapping[str, Mapping[str, str]] | str | None = None,
    data: Mapping[str, Content] | None = None,
    modes: Mapping[str, int] | None = None,
    requires_python: str | None = None,
    requires: Iterable[str] = (),
    metadata: Iterable[str] = (),
    root_is_purelib: bool = True,
    dist_info: Mapping[str, Content | None] | None = None,
    record: Mapping[str, str | None] | None = None,
    method: int = DEFLATED,
) -> Path:
    """Write an honest wheel into a directory and return its path.

    files: path in site-packages -> content; default one package named like the distribution.
    entry_points: group -> name -> "module:attribute", or the text of entry_points.txt.
    data: path below `.data` (as "scripts/tool", "data/share/man/man1/tool.1") -> content.
    modes: member path -> permission bits, default 0o644.
    metadata: further header lines of METADATA. requires: one Requires-Dist line each.
    dist_info: further or replaced files of .dist-info; None leaves one out.
    record: path -> whole replaced RECORD line; None leaves a line out.
    """
    members = wheel_members(
        name,
        version,
        files,
        tag=tag,
        build=build,
        entry_points=entry_points,
        data=data,
        modes=modes,
        requires_python=requires_python,
        requires=requires,
        metadata=metadata,
        root_is_purelib=root_is_purelib,
        dist_info=dist_info,
        record=record,
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / wheel_filename(name, version, tag, build)
    return write_zip(path, [replace(member, method=method) for member in members])


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _metadata(
    name: str, version: str, requires_python: str | None, requires: Iterable[str], further: Iterable[str]
) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join([*lines, *further]) + "\n"


def _wheel(tag: str, build: str, *, root_is_purelib: bool) -> str:
    lines = ["Wheel-Version: 1.0", "Generator: tests", f"Root-Is-Purelib: {str(root_is_purelib).lower()}"]
    python, abi, platform = tag.split("-")
    lines += [
        f"Tag: {py}-{ab}-{plat}"
        for py in python.split(".")
        for ab in abi.split(".")
        for plat in platform.split(".")
    ]
    if build:
        lines.append(f"Build: {build}")
    return "\n".join(lines) + "\n"


def _entry_points(entry_points: Mapping[str, Mapping[str, str]] | str) -> str:
    if isinstance(entry_points, str):
        return entry_points
    return "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in members.items())
        for group, members in entry_points.items()
    )
