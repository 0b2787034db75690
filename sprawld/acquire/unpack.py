"""Unpacking: a wheel in, a staged entry out.

1. Every byte is checked on its way to the disk: size, CRC-32 and the hash of RECORD.
2. Files are made with O_EXCL below one descriptor, in directories that this call made itself: there is no
   link to follow and nothing to replace.
3. The manifest is written last. On any error the caller throws the staging directory away.
4. Modes are given when files are made, so the process has to have set its umask to 022 before.

Blocks, and a wheel that is truncated while it is mapped kills the process: meant for a worker.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError, WheelError
from sprawld.store import libraries, manifest
from sprawld.store.failpoints import failpoint
from sprawld.store.manifest import ManifestFile, ManifestSummary

from . import inflate, record
from .layout import SITE_PACKAGES, contents
from .membernames import shown
from .wheelfile import read_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .record import Row
    from .wheelfile import Placed, WheelFile

__all__ = ["unpack_wheel"]

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_ONLY_DIRECTORY: Final = 0o555
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RECORD_HINT: Final = "if you trust it all the same, add its name to `allow-bad-record` in your configuration"
_PYTHON_SCRIPT: Final = b"#!python"


def unpack_wheel(
    wheel: str,
    destination: str,
    *,
    filename: str,
    digest: str,
    boot_id: str,
    allow_bad_record: bool = False,
) -> ManifestSummary:
    """Unpack a wheel whose bytes were checked against `digest` into `destination`, an empty directory.

    WheelError for a wheel that is not sound; StoreError `disk.full` or `store.unwritable` for a disk that
    does not take it. Both leave `destination` half filled.
    """
    try:
        with _mapped(wheel) as archive:
            sound = read_wheel(archive, filename, allow_bad_record=allow_bad_record)
            with _root(destination, sound) as root:
                staged = _Staged(archive, sound, root, allow_bad_record=allow_bad_record)
                return staged.fill(filename, digest, boot_id)
    except WheelError as error:
        hint = error.hint or (_RECORD_HINT if error.code.startswith("record.") else "")
        raise WheelError(error.code, f"{shown(filename)}: {error.message}", hint=hint) from error


def _mapped(wheel: str) -> mmap.mmap:
    try:
        descriptor = os.open(wheel, _READ)
        try:
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except ValueError:
        raise WheelError("zip.malformed", "the file is empty") from None
    except OSError as error:
        raise StoreError("store.unwritable", f"the wheel {wheel} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _root(destination: str, wheel: WheelFile) -> Iterator[int]:
    """Yield a descriptor of the staging directory; OSErrors become StoreErrors that tell what was needed."""
    root = -1
    try:
        root = os.open(destination, _DIRECTORY)
        yield root
    except OSError as error:
        what = f"{wheel.name} {wheel.version} cannot be unpacked in {destination}: {error.strerror}"
        if error.errno not in _FULL or root < 0:
            raise StoreError("store.unwritable", what) from error
        needed = sum(file.member.size for file in wheel.files)
        room = os.fstatvfs(root)
        free = f"{room.f_bavail * room.f_frsize} bytes and {room.f_favail} files are free"
        hint = "free some space, or run `sprawlctl gc`"
        what = f"{what}; it needs {needed} bytes in {len(wheel.files)} files, {free}"
        raise StoreError("disk.full", what, hint=hint) from error
    finally:
        if root >= 0:
            os.close(root)


class _Staged:
    """A staging directory while one wheel is written into it."""

    def __init__(self, archive: mmap.mmap, wheel: WheelFile, root: int, *, allow_bad_record: bool) -> None:
        self._archive = archive
        self._wheel = wheel
        self._root = root
        self._allow_bad_record = allow_bad_record
        self._verified = wheel.rows is not None
        self._directories: set[str] = set()
        self._files: list[ManifestFile] = []
        self._scripts: dict[str, str] = {}
        self._libraries = libraries.Libraries()

    def fill(self, filename: str, digest: str, boot_id: str) -> ManifestSummary:
        """Write the files and then the manifest; returns the summary in it."""
        rows = self._wheel.rows or {}
        own_record = f"{self._wheel.dist_info}/RECORD"
        own_record_changes = bool(rows and (self._wheel.moved or self._generated))
        for file in self._wheel.files:
            member = file.member
            if member.size > inflate.WHOLE_BYTES:
                self._write_pieces(file, rows.get(member.name))
            elif own_record_changes and member.name == own_record:
                self._write(file, self._relocated_record(file), None)
            else:
                self._write(file, inflate.content(self._archive, member), rows.get(member.name))
        failpoint("unpack.before-manifest")
        summary = self._summary(filename, digest, boot_id)
        # Not before: a read-only directory takes no more files. The root stays writable, to be renamed.
        for directory in self._directories:
            os.chmod(directory, _READ_ONLY_DIRECTORY, dir_fd=self._root)
        descriptor = os.open(manifest.NAME, _CREATE, 0o444, dir_fd=self._root)
        try:
            _write_all(descriptor, manifest.encode(summary, self._files))
        finally:
            os.close(descriptor)
        return summary

    def _relocated_record(self, file: Placed) -> bytes:
        content = inflate.content(self._archive, file.member)
        return record.relocate(content, self._wheel.moved, SITE_PACKAGES, self._generated)

    @property
    def _generated(self) -> list[str]:
        """The scripts that every path set writes for its own interpreter."""
        return [f"bin/{name}" for names in self._wheel.entry_points.values() for name in sorted(names)]

    def _write(self, file: Placed, content: bytes, row: Row | None) -> None:
        """Write a file whose content is in memory; called for ten thousands of files."""
        path = file.path
        descriptor, mode = self._create(file)
        try:
            failpoint("unpack.file-made")
            _write_all(descriptor, content)
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(content).digest()
        size = len(content)
        if row is not None:
            recorded = digest if row.algorithm == "sha256" else hashlib.new(row.algorithm, content).digest()
            if row.digest != recorded or row.size != size:
                self._refuse(file, row, size)
        self._files.append(ManifestFile(digest.hex(), size, mode, path))
        self._note_kind(path, content)

    def _write_pieces(self, file: Placed, row: Row | None) -> None:
        """Write a file that is too large to be in memory at once."""
        digest = hashlib.sha256()
        recorded = digest if row is None or row.algorithm == "sha256" else hashlib.new(row.algorithm)
        size = 0
        start = b""
        descriptor, mode = self._create(file)
        try:
            failpoint("unpack.file-made")
            for piece in inflate.pieces(self._archive, file.member):
                digest.update(piece)
                if recorded is not digest:
                    recorded.update(piece)
                start = start or piece
                size += len(piece)
                _write_all(descriptor, piece)
        finally:
            os.close(descriptor)
        if row is not None and (row.size != size or row.digest != recorded.digest()):
            self._refuse(file, row, size)
        self._files.append(ManifestFile(digest.hexdigest(), size, mode, file.path))
        self._note_kind(file.path, start)

    def _create(self, file: Placed) -> tuple[int, int]:
        """Make a file and the directories above it; returns its descriptor and mode."""
        member, path = file
        directory = path.rpartition("/")[0]
        if directory not in self._directories:
            self._make_directory(directory)
        # Archives made on other systems carry no executable bit: scripts get theirs in any case.
        mode = 0o555 if member.executable or path.startswith("bin/") else 0o444
        return os.open(path, _CREATE, mode, dir_fd=self._root), mode

    def _note_kind(self, path: str, start: bytes) -> None:
        """Note what a file is by the beginning of its content."""
        if path.startswith("bin/"):
            self._note_script(path, start)
        if libraries.is_binary(start):
            self._look_at(path)

    def _look_at(self, path: str) -> None:
        """Note where a binary that was just written, and so is in memory still, looks for its libraries."""
        descriptor = os.open(path, _READ, dir_fd=self._root)
        try:
            self._libraries.add(path, libraries.reader(descriptor))
        finally:
            os.close(descriptor)

    def _make_directory(self, directory: str) -> None:
        """Make a directory and those above it, each once."""
        parent = directory.rpartition("/")[0]
        if parent and parent not in self._directories:
            self._make_directory(parent)
        if directory:
            # It may exist only where the file system ignores case: `Doc/a` and `doc/b` then share a place.
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o755, dir_fd=self._root)
            self._directories.add(directory)

    def _note_script(self, path: str, start: bytes) -> None:
        name = path.removeprefix("bin/")
        self._scripts[name] = "python" if start.startswith(_PYTHON_SCRIPT) else "native"

    def _refuse(self, file: Placed, row: Row, size: int) -> None:
        self._verified = False
        if self._allow_bad_record:
            return
        name = shown(file.member.name)
        if row.size != size:
            raise WheelError("record.size-mismatch", f"{name} has {size} bytes, RECORD says {row.size}")
        raise WheelError("record.hash-mismatch", f"{name} does not match its hash in RECORD")

    def _summary(self, filename: str, digest: str, boot_id: str) -> ManifestSummary:
        wheel = self._wheel
        offered = contents(file.path for file in self._files)
        return ManifestSummary(
            name=wheel.name,
            version=wheel.version,
            filename=filename,
            digest=digest,
            boot_id=boot_id,
            files=len(self._files),
            bytes=sum(file.size for file in self._files),
            dist_info=wheel.dist_info,
            root_is_purelib=wheel.root_is_purelib,
            tags=wheel.tags,
            top_level=offered.top_level,
            init=offered.init,
            entry_points=wheel.entry_points,
            scripts={name: self._scripts.get(name, "native") for name in offered.scripts},
            data=offered.data,
            pth=offered.pth,
            requires_python=wheel.requires_python,
            record_verified=self._verified,
            libraries=self._libraries.holding,
            searched=self._libraries.searched,
        )


def _write_all(descriptor: int, content: bytes) -> None:
    """Write everything: a disk that is filling up, and files above 2 GiB, take a part of it at a time."""
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])
