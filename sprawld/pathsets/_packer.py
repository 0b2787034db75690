"""Builds packs; run by the interpreter that will read them, so in the syntax of Python 3.8 and stdlib only.

One job per line on standard input, an entry's site-packages and the file to write, with a tab between them.
One line per job on standard output: "done", "full" for a disk without room, or what went wrong. The format is
told in the client's `packs`.

1. Nothing of an entry is executed; its files are compiled, and a file that does not compile has no code.
2. Each pack is made by a fork of this process. So a file that kills the compiler costs one pack, and the
   bytes do not depend on what was compiled before.
3. The file is on the disk before "done" is said: a name given to it afterwards never leads to half a pack.
4. Between the code and the index lies the sha256 of everything else, for `verify`; who reads packs for their
   code goes by the checksums of the parts.
"""

from __future__ import annotations

import _imp
import contextlib
import errno
import hashlib
import marshal
import os
import sys
from importlib import machinery, util

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    Place = tuple[str, int, int, bytes]
    Tree = dict[str, tuple[list[str], list[str]]]

MAGIC = b"VSPACK2\n"
HEADER_BYTES = 40
SEAL_BYTES = 32
PIECE_BYTES = 1 << 20
INLINE_BYTES = 16 << 10
"""How much of the tables below lies in the table of a directory, and is read with it."""

CHECKSUM_KEY = 1
NICENESS = 19
FULL = 3
"""Exit status of a fork that found no room on the disk."""

SUFFIXES = [*machinery.EXTENSION_SUFFIXES, *machinery.SOURCE_SUFFIXES, *machinery.BYTECODE_SUFFIXES]
"""In the order in which FileFinder asks for them."""


def main() -> None:
    """Serve jobs until the end of standard input."""
    # A service manager may forbid it; the work is the same.
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    for line in sys.stdin.buffer:
        source, _, target = line.rstrip(b"\n").partition(b"\t")
        answer = run(os.fsdecode(source), os.fsdecode(target))
        sys.stdout.buffer.write(answer.encode("ascii", "replace") + b"\n")
        sys.stdout.buffer.flush()


def run(source: str, target: str) -> str:
    """Build one pack in a fork; return the answer."""
    child = os.fork()
    if not child:
        code = 1
        try:
            build(source, target)
            code = 0
        except OSError as error:
            code = FULL if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else 2
            sys.stderr.write(f"{source}: {error}\n")
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if status == FULL << 8:
        return "full"
    return "done" if status == 0 else f"wait status {status}"


def build(source: str, target: str) -> None:
    """Write the pack of the site-packages directory `source` to the new file `target`; OSError."""
    tree = read_tree(source)
    with open(target, "xb+") as stream:
        stream.write(bytes(HEADER_BYTES))
        writer = Writer(stream, source)
        root = node(tree, "", writer)
        stream.write(bytes(SEAL_BYTES))
        start = stream.tell()
        index = marshal.dumps((tuple(SUFFIXES), root), 4)
        stream.write(index)
        size = stream.tell()
        stream.seek(0)
        numbers = bytes(4) + size.to_bytes(8, "little") + start.to_bytes(8, "little")
        stream.write(MAGIC + util.MAGIC_NUMBER + numbers + _imp.source_hash(CHECKSUM_KEY, index))
        seal(stream, start - SEAL_BYTES)
        stream.flush()
        os.fchmod(stream.fileno(), 0o444)
        os.fsync(stream.fileno())


def seal(stream: BinaryIO, place: int) -> None:
    """Write the sha256 of all that lies before and after it to its place."""
    digest = hashlib.sha256()
    stream.seek(0)
    left = place
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        digest.update(piece)
        left -= len(piece)
    stream.seek(SEAL_BYTES, os.SEEK_CUR)
    for piece in iter(lambda: stream.read(PIECE_BYTES), b""):
        digest.update(piece)
    stream.seek(place)
    stream.write(digest.digest())


def read_tree(source: str) -> Tree:
    """Return directory -> (names of directories, names of files), directories as paths from `source`."""
    tree: Tree = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        directories: list[str] = []
        files: list[str] = []
        with os.scandir(os.path.join(source, path)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                # Root may have run something in place: bytecode files belong to no wheel.
                if entry.name != "__pycache__":
                    (directories if entry.is_dir() else files).append(entry.name)
        tree[path] = directories, files
        waiting += [join(path, name) for name in directories]
    return tree


def node(tree: Tree, path: str, writer: Writer) -> bytes:
    """Return the marshalled table of a directory, with those of directories below as far as they fit."""
    modules = table(tree, path, writer)
    below: dict[str, bytes | tuple[int, int, bytes]] = {}
    left = INLINE_BYTES
    for name in tree[path][0]:
        data = node(tree, join(path, name), writer)
        left -= len(data)
        below[name] = data if left >= 0 else writer.write(data)
    return marshal.dumps((modules, below), 4)


def table(tree: Tree, path: str, writer: Writer) -> dict[str, Place]:
    """Return name -> place of what can be imported from a directory, with FileFinder's precedence."""
    directories, files = tree[path]
    found: dict[str, Place] = {name: ("", 0, 0, b"") for name in directories if "." not in name}
    # From the last suffix to the first, so that the first has the last word.
    for suffix in reversed(SUFFIXES):
        for file in files:
            name = file[: -len(suffix)]
            if name and file.endswith(suffix) and "." not in name:
                found[name] = (suffix, *writer.code(join(path, file)))
    for suffix in reversed(SUFFIXES):
        for name in directories:
            if "__init__" + suffix in tree[join(path, name)][1] and "." not in name:
                found[name] = ("/__init__" + suffix, *writer.code(join(path, name) + "/__init__" + suffix))
    return found


class Writer:
    """Appends code objects to a pack, each once."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream = stream
        self._source = source
        self._places: dict[str, tuple[int, int, bytes]] = {}

    def code(self, path: str) -> tuple[int, int, bytes]:
        """Return (offset, size, checksum) of a file's code; size 0 where there is none."""
        if path not in self._places:
            data = self._compile(path) if path.endswith(".py") else b""
            self._places[path] = self.write(data)
        return self._places[path]

    def write(self, data: bytes) -> tuple[int, int, bytes]:
        """Append a part; return (offset, size, checksum) of it."""
        offset = self._stream.tell()
        self._stream.write(data)
        return offset, len(data), _imp.source_hash(CHECKSUM_KEY, data) if data else b""

    def _compile(self, path: str) -> bytes:
        with open(os.path.join(self._source, path), "rb") as stream:
            text = stream.read()
        try:
            # The name is replaced when the code is loaded, for every set has a path of its own to the file.
            return marshal.dumps(compile(text, path, "exec", dont_inherit=True, optimize=0))
        except Exception:
            # Most often a file for another version of Python, or a test of what does not compile.
            return b""


def join(path: str, name: str) -> str:
    """Return a path below site-packages, which itself is the empty string."""
    return path + "/" + name if path else name


if __name__ == "__main__":
    main()
