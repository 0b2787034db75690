"""Binaries made byte by byte, and by the C compiler where there is one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

__all__ = ["compiler", "elf_bytes", "extension", "library", "macho_bytes"]


def elf_bytes(
    runpath: str | None = "$ORIGIN", *, tag: int = 29, wide: bool = True, big: bool = False, gap: int = 0x1000
) -> bytes:
    """Return a shared object that has nothing but program headers and a dynamic section.

    gap: how much higher its bytes are loaded than they lie in the file.
    """
    order = ">" if big else "<"
    header, entry = (64, 56) if wide else (52, 32)
    strings = b"\0" + (runpath or "").encode() + b"\0"
    dynamic_at = header + 2 * entry
    rows = [(5, dynamic_at + 1024 + gap), (10, len(strings))]
    if runpath is not None:
        rows.append((tag, 1))
    rows.append((0, 0))
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *row) for row in rows)
    total = dynamic_at + 1024 + len(strings)
    headers = b""
    for kind, offset, size in ((1, 0, total), (2, dynamic_at, len(dynamic))):
        if wide:
            headers += struct.pack(order + "IIQQQQQQ", kind, 4, offset, offset + gap, 0, size, size, 8)
        else:
            headers += struct.pack(order + "IIIIIIII", kind, offset, offset + gap, 0, size, size, 4, 8)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if big else 1, 1)) + bytes(9)
    if wide:
        rest = struct.pack(order + "HHIQQQIHHHHHH", 3, 62, 1, 0, header, 0, 0, header, entry, 2, 0, 0, 0)
    else:
        rest = struct.pack(order + "HHIIIIIHHHHHH", 3, 3, 1, 0, header, 0, 0, header, entry, 2, 0, 0, 0)
    return ident + rest + headers + dynamic.ljust(1024, b"\0") + strings


def macho_bytes(*rpaths: str, libraries: tuple[str, ...] = (), fat: bool = False) -> bytes:
    """Return a 64-bit Mach-O library with these load commands; `fat` wraps it as for several processors."""
    commands = b""
    for kind, head, texts in ((0x8000001C, 12, rpaths), (0xC, 24, libraries)):
        for text in texts:
            body = text.encode() + b"\0"
            size = -(-(head + len(body)) // 8) * 8
            commands += struct.pack("<III", kind, size, head).ljust(head, b"\0") + body.ljust(
                size - head, b"\0"
            )
    count = len(rpaths) + len(libraries)
    thin = (
        b"\xcf\xfa\xed\xfe" + struct.pack("<IIIIIII", 0x100000C, 0, 6, count, len(commands), 0, 0) + commands
    )
    if not fat:
        return thin
    table = struct.pack(">IIIII", 0x100000C, 0, 4096, len(thin), 12)
    return (b"\xca\xfe\xba\xbe" + struct.pack(">I", 1) + table).ljust(4096, b"\0") + thin


def compiler() -> str:
    """Return the C compiler; the test is skipped where there is none."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler")
    return found


def library(directory: Path, name: str, source: str, *arguments: str) -> bytes:
    """Compile a shared library called `name` in `directory`; return its bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    code = directory / f"{name}.c"
    code.write_text(source)
    command = [compiler(), "-shared", "-fPIC", "-nostartfiles", "-o", directory / name, code, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return (directory / name).read_bytes()


def extension(directory: Path, needs: str, runpath: str) -> bytes:
    """Compile a library `libuser.so` whose function `answer` calls `value` of the library `needs`."""
    return library(
        directory,
        "libuser.so",
        "int value(void); int answer(void) { return value() + 1; }",
        f"-L{directory}",
        f"-l:{needs}",
        f"-Wl,-rpath,{runpath}",
        "-Wl,--enable-new-dtags",
    )
