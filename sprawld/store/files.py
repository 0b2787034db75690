"""What the store needs of the file system and Python has no one call for.

1. Nothing here follows a symbolic link in the last component of a path, and tree removal follows none at all.
2. Everything blocks; callers on an event loop use an executor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import struct
import sys
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError

from .failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "describe",
    "is_full",
    "is_network",
    "is_of_this_machine",
    "open_directory",
    "random_name",
    "read_small",
    "remove_tree",
    "sync_directory",
    "without_secrets",
    "write_atomic",
    "writing",
]

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# EFBIG: a limit on the size of files, as `ulimit -f` sets.
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# statfs(2), f_type: the file systems on which another machine may hold the same file open. FUSE is among them
# because it may be sshfs; the price of a wrong guess is only a slower journal.
_NETWORK_TYPES: Final = frozenset(
    {
        0x6969,  # NFS
        0x517B,  # SMB
        0xFF534D42,  # CIFS
        0xFE534D42,  # SMB2
        0x01021997,  # 9p
        0x65735546,  # FUSE
        0x5346414F,  # AFS
        0x00C36400,  # Ceph
        0x73757245,  # Coda
        0x0BD00BD0,  # Lustre
        0x01161970,  # GFS2
        0x786F4256,  # VirtualBox shared folder
    }
)
# Of them it is known that no other kernel has the same files, so that a named pipe on one is seen by all.
_LOCAL_TYPES: Final = frozenset(
    {
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0x01021994,  # tmpfs
        0x794C7630,  # overlay
        0xF2F52010,  # F2FS
        0x2FC12FC1,  # ZFS
        0xCA451A4E,  # bcachefs
    }
)
_MNT_LOCAL: Final = 0x1000  # sys/mount.h of macOS
_MACOS_FLAGS_OFFSET: Final = 64  # of f_flags in struct statfs with 64-bit inodes


def random_name(prefix: str = "") -> str:
    """Return a file name with 128 random bits: neither pid nor time, which containers share."""
    return f"{prefix}-{secrets.token_hex(16)}" if prefix else secrets.token_hex(16)


@contextlib.contextmanager
def open_directory(path: Path | str, *, dir_fd: int | None = None) -> Iterator[int]:
    """Yield a descriptor of a directory, closed at the end; a link in its place is an OSError."""
    descriptor = os.open(path, DIRECTORY, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(what: str, place: Path | None = None) -> Iterator[None]:
    """Turn an OSError into StoreError: `disk.full`, or `store.unwritable` for every other reason.

    A full disk is told with what is left on that of `place`.
    """
    try:
        yield
    except OSError as error:
        raise describe(error, what, place) from error


def is_full(error: OSError) -> bool:
    """Tell whether a write failed for want of room or quota."""
    return error.errno in _FULL


def describe(error: OSError, what: str, place: Path | None = None) -> StoreError:
    """Return the StoreError for a failed write; `what` is the thing, as in "the store /x"."""
    reason = error.strerror or type(error).__name__
    if is_full(error):
        left = ""
        with contextlib.suppress(OSError):
            found = os.statvfs(place) if place is not None else None
            left = f"; {found.f_bavail * found.f_frsize} bytes are free" if found else ""
        hint = "free some space, or run `sprawlctl gc`"
        return StoreError("disk.full", f"{what} cannot be written: {reason}{left}", hint=hint)
    return StoreError("store.unwritable", f"{what} cannot be written: {reason}")


def read_small(path: Path | str, limit: int, *, dir_fd: int | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; OSError otherwise (EFBIG, EINVAL)."""
    descriptor = os.open(path, READ, dir_fd=dir_fd)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def write_atomic(path: Path, content: bytes, staging: Path, *, mode: int = 0o600) -> None:
    """Put a whole, durable file at `path` by rename; `staging` is a directory on the same file system.

    For the few small files that nothing could rebuild: it waits for the disk twice.
    """
    temporary = staging / random_name("file")
    descriptor = os.open(temporary, CREATE, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; links on the way to it are followed."""
    with open_directory(os.path.realpath(path)) as descriptor:
        os.fsync(descriptor)


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove a file or a whole tree, read-only directories included; what is already gone is no error.

    Every step is relative to the descriptor of the directory that was opened, so a link is removed and never
    followed. The depth is bounded by what unpacking lets into the store.
    """
    try:
        status = os.lstat(name, dir_fd=dir_fd)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=dir_fd)
            failpoint("trash.file-removed")
            return
        if not status.st_mode & stat.S_IRUSR:
            os.chmod(name, stat.S_IRWXU, dir_fd=dir_fd)
        with open_directory(name, dir_fd=dir_fd) as descriptor:
            if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(descriptor, stat.S_IRWXU)
            for child in os.listdir(descriptor):
                remove_tree(child, descriptor)
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return


def is_network(path: Path) -> bool:
    """Tell whether a path lies on a file system that other machines may share; False where unknown."""
    found = _statfs(path)
    if sys.platform == "darwin" and found:
        flags: int = struct.unpack_from("=I", found, _MACOS_FLAGS_OFFSET)[0]
        return not flags & _MNT_LOCAL
    return _kind(found) in _NETWORK_TYPES


def is_of_this_machine(path: Path) -> bool:
    """Tell whether a path lies on a file system that no other machine shares; False where unknown."""
    return sys.platform == "linux" and _kind(_statfs(path)) in _LOCAL_TYPES


def _kind(found: bytes) -> int:
    kind: int = struct.unpack_from("@l", found)[0] if found else 0
    return kind & 0xFFFFFFFF


def _statfs(path: Path) -> bytes:
    # Asked once a daemon; workers, which start in the time of their imports, never do.
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        statfs = getattr(library, "statfs$INODE64", None) or library.statfs
    except (AttributeError, OSError):
        return b""
    buffer = ctypes.create_string_buffer(4096)  # larger than struct statfs of either system
    return buffer.raw if statfs(os.fsencode(path), buffer) == 0 else b""


def without_secrets(url: str) -> str:
    """Return a URL without the user's name, password, query and fragment.

    >>> without_secrets("https://user:pass@files.example/a.whl?token=1#sha256=0")
    'https://files.example/a.whl'
    """
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@", r"\1", bare)
