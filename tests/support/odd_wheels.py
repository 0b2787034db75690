"""Wheels that are unusual and legal, as tools of the last ten years wrote them: they must be accepted."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .crafting import (
    DIRECTORY,
    FILES,
    INFO,
    VICTIM,
    Build,
    archive,
    changed,
    members,
    name_of,
    unicode_path,
    wheel,
    with_file,
    with_members,
    zip64_end,
)
from .wheels import (
    DESCRIPTOR_FLAG,
    STORED,
    UTF8_FLAG,
    Member,
    build_wheel,
    record_row,
    wheel_members,
    write_zip,
)

__all__ = ["ODD"]

TIMESTAMP = struct.pack("<2HBL", 0x5455, 5, 1, 0)
CONTENT = b"value = 1\n" * 50


def every(change: Callable[[Member], Member]) -> Build:
    return lambda directory: write_zip(name_of(directory), [change(member) for member in members()])


def sums(member: Member) -> tuple[int, int, int]:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (
        zlib.crc32(member.content),
        len(deflate.compress(member.content) + deflate.flush()),
        len(member.content),
    )


def streamed(form: str, signature: bytes) -> Build:
    """Sizes behind the data, as a writer to a pipe has to put them."""
    return every(
        lambda member: replace(
            member,
            flags=UTF8_FLAG | DESCRIPTOR_FLAG,
            descriptor=signature + struct.pack(form, *sums(member)),
        )
    )


def zip64_local(directory: Path) -> Path:
    """64-bit sizes in the local headers only, as writers put them that do not know the size yet."""

    def change(member: Member) -> Member:
        _, compressed, size = sums(member)
        extra = struct.pack("<2H2Q", 1, 16, size, compressed)
        return replace(member, local_extra=extra, local_size=0xFFFFFFFF, local_compressed=0xFFFFFFFF)

    return every(change)(directory)


def zip64_repeated(member: Member) -> Member:
    """64-bit sizes beside the 32-bit ones, as one of the most downloaded wheels has them."""
    _, compressed, size = sums(member)
    return replace(member, local_extra=struct.pack("<2H2Q", 1, 16, size, compressed))


def zip64_archive(directory: Path) -> Path:
    listed = members()
    return write_zip(
        name_of(directory), listed, before_end=zip64_end(listed), count=0xFFFF, directory_offset=0xFFFFFFFF
    )


def other_order(directory: Path) -> Path:
    """A central directory in another order than the members."""
    path = write_zip(name_of(directory), members())
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    entries = content[start:-22].split(b"PK\x01\x02")[1:]
    path.write_bytes(
        content[:start] + b"".join(b"PK\x01\x02" + entry for entry in reversed(entries)) + content[-22:]
    )
    return path


def sha512(directory: Path) -> Path:
    encoded = base64.urlsafe_b64encode(hashlib.sha512(CONTENT).digest()).rstrip(b"=").decode()
    return wheel(record={"demo/__init__.py": f"demo/__init__.py,sha512={encoded},{len(CONTENT)}"})(directory)


def padded(directory: Path) -> Path:
    encoded = base64.urlsafe_b64encode(hashlib.sha256(CONTENT).digest()).decode()
    return wheel(record={"demo/__init__.py": f"demo/__init__.py,sha256={encoded},{len(CONTENT)}"})(directory)


def crlf(directory: Path) -> Path:
    record = next(member for member in wheel_members(files=FILES) if member.name.endswith(b"RECORD"))
    return wheel(dist_info={"RECORD": record.content.replace(b"\n", b"\r\n")})(directory)


def all_quoted(directory: Path) -> Path:
    row = '"{}","{}","{}"'.format(*record_row("demo/__init__.py", CONTENT).split(","))
    return wheel(record={"demo/__init__.py": row})(directory)


def renamed(filename: str) -> Build:
    return lambda directory: build_wheel(directory, files=FILES).rename(directory / filename)


def named(name: str, version: str, **arguments: object) -> Build:
    return lambda directory: build_wheel(directory, name, version, files=FILES, **arguments)  # type: ignore[arg-type]


ODD: dict[str, Build] = {
    # archives
    "stored": wheel(method=STORED),
    "empty-file": with_file("demo/py.typed", b""),
    "directories": with_members(
        Member(name=b"demo/", mode=DIRECTORY, method=STORED), Member(name=b"demo/empty/", mode=DIRECTORY)
    ),
    "directory-without-mode": with_members(Member(name=b"demo/", mode=0, method=STORED)),
    "descriptor": streamed("<3L", b"PK\x07\x08"),
    "descriptor-without-signature": streamed("<3L", b""),
    "descriptor-of-64-bit": streamed("<L2Q", b"PK\x07\x08"),
    "descriptor-of-64-bit-without-signature": streamed("<L2Q", b""),
    "zip64-local": zip64_local,
    "zip64-repeated": every(zip64_repeated),
    "zip64-archive": zip64_archive,
    "other-order": other_order,
    "archive-comment": archive(comment=b"built by hand\r\n"),
    "member-comment": changed(comment=b"a comment"),
    "timestamps": changed(extra=TIMESTAMP, local_extra=TIMESTAMP + struct.pack("<2HQ", 0x7875, 8, 0)),
    "unicode-path": changed(extra=unicode_path(VICTIM, VICTIM)),
    "deflate-hint": changed(flags=UTF8_FLAG | 2),
    "made-on-dos": every(lambda member: replace(member, host=0, mode=0)),
    "no-file-type": every(lambda member: replace(member, mode=0o644)),
    "setuid": with_file("demo/tool", b"#!/bin/sh\n", mode=0o106755),
    "two-mebibytes-of-zeros": with_file("demo/zeros", bytes(2 << 20)),
    # names
    "no-utf8-flag": every(lambda member: replace(member, flags=0)),
    "other-alphabet": with_file("demo/\u00fc\u4e2d\U0001f40d.txt"),
    "spaces-and-signs": with_file("demo/a b, $c';(d)~#:x.txt"),
    "quote": with_file('demo/a"b.txt'),
    "dots": with_file("demo/...x..y.txt"),
    "deep": with_file("a/" * 60 + "x.py"),
    "directories-that-differ-by-case": with_members(Member(name=b"docs/a"), Member(name=b"Docs/b")),
    "old-bytecode": with_file("demo/legacy.pyc"),
    # RECORD
    "record-crlf": crlf,
    "record-quoted": all_quoted,
    "record-sha512": sha512,
    "record-padded": padded,
    "record-without-itself": wheel(record={f"{INFO}/RECORD": None}),
    "record-blank-line": wheel(record={"x": ""}),
    "signatures": wheel(
        dist_info={"RECORD.jws": "{}", "RECORD.p7s": "x"},
        record={f"{INFO}/RECORD.jws": None, f"{INFO}/RECORD.p7s": None},
    ),
    # what the wheel says of itself
    "build-tag": named("demo", "1.0", build="7local"),
    "file-name-in-capitals": renamed("Demo-1.0-py3-none-any.whl"),
    "version-spelled-differently": renamed("demo-1.0.0-py3-none-any.whl"),
    "local-version": named("demo", "1.0+cpu.1"),
    "platform-widened": renamed("demo-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
    "dotted-name": named("de.mo-x", "2"),
    "epoch": named("demo", "1!2.0"),
    "wheel-minor": wheel(dist_info={"WHEEL": "Wheel-Version: 1.9\nTag: py3-none-any\n"}),
    "wheel-without-tag": wheel(dist_info={"WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"}),
    "wheel-compressed-tag": wheel(dist_info={"WHEEL": "Wheel-Version: 1.0\nTag: py2.py3-none-any\n"}),
    "metadata-crlf": wheel(dist_info={"METADATA": "Name: Demo\r\nVersion: 1.0\r\n\r\nText"}),
    "metadata-latin-1": wheel(dist_info={"METADATA": b"Name: demo\nVersion: 1.0\nAuthor: Ren\xe9\n"}),
    "metadata-description": wheel(
        dist_info={"METADATA": "Name: demo\nVersion: 1.0\nDescription: a\n  Version: 2.0\n\nName: x\n"}
    ),
    # as every numpy before 2.1 has it
    "bytecode": with_file("demo/__pycache__/__init__.cpython-311.pyc"),
    "every-scheme": wheel(
        data={
            "purelib/pure.py": "",
            "platlib/plat.py": "",
            "scripts/tool": "#!python\n",
            "headers/demo.h": "",
            "data/share/doc/x": "",
            "data/etc/demo/x.conf": "",
        }
    ),
    "entry-points": wheel(
        entry_points="# comment\n[console_scripts]\npython-demo = demo : main [extra]\ndemo2.7 = demo:a.b\n"
        "g++ = demo:c\n[ other group ]\n../x = anything\n"
    ),
}
