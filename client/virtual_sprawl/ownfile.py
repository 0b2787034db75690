"""Reads a file that is this user's own, and nobody else can have written: `marshal` trusts its input."""

import os

__all__ = ["read_own"]

_OWN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read_own(path: str, limit: int) -> bytes:
    """Return what a file of this user's has, up to `limit` bytes; OSError or ValueError if it is not that."""
    descriptor = os.open(path, _OWN_FLAGS)
    try:
        found = os.fstat(descriptor)
        # 0o100000: a regular file. `stat` need not be loaded yet.
        if found.st_uid != os.geteuid() or found.st_mode & 0o170022 != 0o100000:
            raise PermissionError("the file can be written by others")
        if found.st_size > limit:
            raise ValueError("the file is too large")
        return os.read(descriptor, found.st_size)
    finally:
        os.close(descriptor)
