"""The files of a wheel on their way to the disk: every byte is checked, every file is made anew.

1. A file is made with O_EXCL below the descriptor of the staging directory, in directories that were made for
   this wheel: there is no link to follow and nothing to replace.
2. Modes are given when files are made, so the process has to have set its umask to 022 before.
3. What is returned is only what nobody knows before: hashes, what scripts and binaries say of themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.errors import WheelError
from sprawld.store import libraries
from sprawld.store.failpoints import failpoint

from . import inflate
from .membernames import shown

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Mapping, Sequence

    from .record import Row
    from .wheelfile import Placed
    from .zipstructure import Member

__all__ = ["CREATE", "DIGEST_BYTES", "Writer", "Written", "mode_of", "write_all"]

CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIGEST_BYTES: Final = 32
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PYTHON_SCRIPT: Final = b"#!python"


class Written(NamedTuple):
    """What was found while files were written."""

    digests: bytes
    """sha256 of each file, in their order."""
    verified: bool
    """False where RECORD is wrong about one of them, which the user allowed."""
    scripts: dict[str, str]
    """File below bin/ -> "python" or "native"."""
    holding: list[str]
    searched: list[str]
    """As `Libraries` found them."""

    def followed_by(self, other: Written) -> Written:
        """Return what is known of these files and of others after them."""
        found = libraries.Libraries()
        found.note(self.holding, self.searched)
        found.note(other.holding, other.searched)
        return Written(
            self.digests + other.digests,
            self.verified and other.verified,
            self.scripts | other.scripts,
            *found.noted(),
        )


def mode_of(member: Member, path: str) -> int:
    """Return the mode of a file; archives made on other systems carry no executable bit for scripts."""
    return 0o555 if member.executable or path.startswith("bin/") else 0o444


class Writer:
    """Writes files of one wheel below the directory that `root` is a descriptor of."""

    def __init__(
        self, archive: mmap.mmap, rows: Mapping[str, Row] | None, root: int, *, allow_bad_record: bool
    ) -> None:
        self._archive = archive
        self._rows = rows or {}
        self._root = root
        self._allow_bad_record = allow_bad_record
        self._verified = rows is not None
        self._directories = {""}
        self._scripts: dict[str, str] = {}
        self._libraries = libraries.Libraries()

    def write(self, files: Sequence[Placed], before_each: Callable[[], None] = lambda: None) -> Written:
        """Write files in their order; WheelError for the first that is not what it should be, OSError.

        `before_each` is called before each file, and before each piece of a large one.
        """
        digests = [self._write(file, before_each) for file in files]
        return Written(b"".join(digests), self._verified, self._scripts, *self._libraries.noted())

    def write_content(self, path: str, mode: int, content: bytes) -> bytes:
        """Write a file of the given content and return its hash."""
        directory = path[: path.rfind("/")]
        if directory not in self._directories:
            self._make_directory(directory)
        descriptor = os.open(path, CREATE, mode, dir_fd=self._root)
        try:
            failpoint("unpack.file-made")
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        return hashlib.sha256(content).digest()

    def _write(self, file: Placed, before: Callable[[], None]) -> bytes:
        """Write one file; called for ten thousands of them."""
        before()
        member, path = file
        row = self._rows.get(member.name)
        if member.size > inflate.WHOLE_BYTES:
            return self._write_pieces(file, row, before)
        content = inflate.content(self._archive, member)
        in_bin = path.startswith("bin/")
        digest = self.write_content(path, 0o555 if in_bin or member.executable else 0o444, content)
        if row is not None:
            algorithm, recorded, size = row
            found = digest if algorithm == "sha256" else hashlib.new(algorithm, content).digest()
            if recorded != found or size != len(content):
                self._refuse(member, row)
        if in_bin or content[:4] in libraries.MAGICS:
            self._note_kind(path, content)
        return digest

    def _write_pieces(self, file: Placed, row: Row | None, before: Callable[[], None]) -> bytes:
        """Write a file that is too large to be in memory at once."""
        member, path = file
        digest = hashlib.sha256()
        recorded = digest if row is None or row.algorithm == "sha256" else hashlib.new(row.algorithm)
        start = b""
        self._make_directory(path.rpartition("/")[0])
        descriptor = os.open(path, CREATE, mode_of(member, path), dir_fd=self._root)
        try:
            failpoint("unpack.file-made")
            for piece in inflate.pieces(self._archive, member):
                before()
                digest.update(piece)
                if recorded is not digest:
                    recorded.update(piece)
                start = start or piece
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)
        if row is not None and (row.size != member.size or row.digest != recorded.digest()):
            self._refuse(member, row)
        self._note_kind(path, start)
        return digest.digest()

    def _refuse(self, member: Member, row: Row) -> None:
        self._verified = False
        if self._allow_bad_record:
            return
        name = shown(member.name)
        if row.size != member.size:
            message = f"{name} has {member.size} bytes, RECORD says {row.size}"
            raise WheelError("record.size-mismatch", message)
        raise WheelError("record.hash-mismatch", f"{name} does not match its hash in RECORD")

    def _make_directory(self, directory: str) -> None:
        """Make a directory and those above it, each once."""
        if directory in self._directories:
            return
        self._make_directory(directory.rpartition("/")[0])
        # It may exist where the file system ignores case (`Doc/a` and `doc/b` then share a place), and where
        # two processes write one wheel.
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755, dir_fd=self._root)
        self._directories.add(directory)

    def _note_kind(self, path: str, start: bytes) -> None:
        """Note what a file is by the beginning of its content."""
        if path.startswith("bin/"):
            kind = "python" if start.startswith(_PYTHON_SCRIPT) else "native"
            self._scripts[path.removeprefix("bin/")] = kind
        if libraries.is_binary(start):
            # It was just written, and so is in memory still.
            descriptor = os.open(path, _READ, dir_fd=self._root)
            try:
                self._libraries.add(path, libraries.reader(descriptor))
            finally:
                os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything: a disk that is filling up, and files above 2 GiB, take a part of it at a time."""
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])
