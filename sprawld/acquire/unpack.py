"""Unpacking: a wheel in, a staged entry out.

1. Every byte is checked on its way to the disk (`writing`): size, CRC-32 and the hash of RECORD.
2. The manifest is written last. On any error the caller throws the staging directory away.
3. A large wheel may be written by two processes (`sharing`); nothing of the outcome tells of it.
4. Modes are given when files are made, so the process has to have set its umask to 022 before.

Blocks, and a wheel that is truncated while it is mapped kills the process: meant for a worker.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError, WheelError
from sprawld.store import manifest
from sprawld.store.failpoints import failpoint
from sprawld.store.manifest import ManifestFile, ManifestSummary

from . import inflate, record
from .layout import SITE_PACKAGES, contents
from .membernames import shown
from .sharing import write_shared
from .wheelfile import read_wheel
from .writing import CREATE, DIGEST_BYTES, Writer, mode_of, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .wheelfile import Placed, WheelFile
    from .writing import Written

__all__ = ["unpack_wheel"]

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_ONLY_DIRECTORY: Final = 0o555
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RECORD_HINT: Final = "if you trust it all the same, add its name to `allow-bad-record` in your configuration"


def unpack_wheel(
    wheel: str,
    destination: str,
    *,
    filename: str,
    digest: str,
    boot_id: str,
    allow_bad_record: bool = False,
    share_from: int | None = None,
) -> ManifestSummary:
    """Unpack a wheel whose bytes were checked against `digest` into `destination`, an empty directory.

    From a cost of `share_from` on (see `sharing`) a second process writes half of it: only for a caller that
    has one thread.

    WheelError for a wheel that is not sound; StoreError `disk.full` or `store.unwritable` for a disk that
    does not take it. Both leave `destination` half filled.
    """
    try:
        with _mapped(wheel) as archive:
            sound = read_wheel(archive, filename, allow_bad_record=allow_bad_record)
            with _root(destination, sound) as root:
                writer = Writer(archive, sound.rows, root, allow_bad_record=allow_bad_record)
                staged = _Staged(archive, sound, root, writer)
                return staged.fill(filename, digest, boot_id, share_from)
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

    def __init__(self, archive: mmap.mmap, wheel: WheelFile, root: int, writer: Writer) -> None:
        self._archive = archive
        self._wheel = wheel
        self._root = root
        self._writer = writer

    def fill(self, filename: str, digest: str, boot_id: str, share_from: int | None) -> ManifestSummary:
        """Write the files and then the manifest; returns the summary in it."""
        files, own = self._apart()
        written = write_shared(self._writer, files, share_from)
        rows = _rows(files, written.digests)
        if own is not None:
            rows.append(self._write_relocated(own))
        rows.sort(key=_path)
        failpoint("unpack.before-manifest")
        summary = self._summary(filename, digest, boot_id, rows, written)
        # Not before: a read-only directory takes no more files. The root stays writable, to be renamed.
        for directory in _directories(file.path for file in rows):
            os.chmod(directory, _READ_ONLY_DIRECTORY, dir_fd=self._root)
        descriptor = os.open(manifest.NAME, CREATE, 0o444, dir_fd=self._root)
        try:
            write_all(descriptor, manifest.encode(summary, rows))
        finally:
            os.close(descriptor)
        return summary

    def _apart(self) -> tuple[Sequence[Placed], Placed | None]:
        """Return the files that are taken as they are, and RECORD if it is not."""
        wheel = self._wheel
        if not wheel.rows or not (wheel.moved or self._generated):
            return wheel.files, None
        name = f"{wheel.dist_info}/RECORD"
        own = next(file for file in wheel.files if file.member.name == name)
        if own.member.size > inflate.WHOLE_BYTES:
            return wheel.files, None
        return [file for file in wheel.files if file is not own], own

    def _write_relocated(self, file: Placed) -> ManifestFile:
        content = inflate.content(self._archive, file.member)
        content = record.relocate(content, self._wheel.moved, SITE_PACKAGES, self._generated)
        mode = mode_of(*file)
        digest = self._writer.write_content(file.path, mode, content)
        return ManifestFile(digest.hex(), len(content), mode, file.path)

    @property
    def _generated(self) -> list[str]:
        """The scripts that every path set writes for its own interpreter."""
        return [f"bin/{name}" for names in self._wheel.entry_points.values() for name in sorted(names)]

    def _summary(
        self, filename: str, digest: str, boot_id: str, rows: Sequence[ManifestFile], written: Written
    ) -> ManifestSummary:
        wheel = self._wheel
        offered = contents([file.path for file in rows])
        return ManifestSummary(
            name=wheel.name,
            version=wheel.version,
            filename=filename,
            digest=digest,
            boot_id=boot_id,
            files=len(rows),
            bytes=sum([file.size for file in rows]),
            dist_info=wheel.dist_info,
            root_is_purelib=wheel.root_is_purelib,
            tags=wheel.tags,
            top_level=offered.top_level,
            init=offered.init,
            entry_points=wheel.entry_points,
            scripts={name: written.scripts.get(name, "native") for name in offered.scripts},
            data=offered.data,
            pth=offered.pth,
            requires_python=wheel.requires_python,
            record_verified=written.verified,
            libraries=tuple(sorted(written.holding)),
            searched=tuple(sorted(written.searched)),
        )


def _rows(files: Iterable[Placed], digests: bytes) -> list[ManifestFile]:
    """Return the manifest's rows for files that were found to be what the archive claims."""
    text = digests.hex()
    digits = 2 * DIGEST_BYTES
    make = tuple.__new__
    return [
        make(ManifestFile, (text[place : place + digits], member.size, mode_of(member, path), path))
        for place, (member, path) in zip(range(0, len(text), digits), files, strict=True)
    ]


def _path(file: ManifestFile) -> str:
    return file.path


def _directories(paths: Iterable[str]) -> set[str]:
    """Return every directory above the files, but for the root."""
    level = {path.rpartition("/")[0] for path in paths}
    found: set[str] = set()
    while level:
        found |= level
        level = {directory.rpartition("/")[0] for directory in level} - found
    return found - {""}
