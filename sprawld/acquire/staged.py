"""A file being received: written and hashed in one pass, in a thread."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from sprawld.errors import StoreError
from sprawld.model import Digest, Hash
from sprawld.store.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["StagedFile", "disk_refusal"]

_REHASH_BYTES: Final = 1 << 20
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StagedFile(io.FileIO):
    """A new file, made so that it can neither replace nor follow anything, with the hashes of its content.

    `write` is called in a thread by aiofiles: the block is hashed while it is warm in the processor's cache,
    and both hashing and writing leave the event loop alone. The hashes are those of bytes 0 to `size`.

    A waiter that is cancelled leaves its thread at work: `close` waits for it, or the descriptor's number
    could belong to another file before the thread's last write.
    """

    def __init__(self, path: Path, hashes: Iterable[Hash]) -> None:
        self._busy = threading.Lock()
        self._wanted = tuple(hashes)
        self._forget()
        super().__init__(path, "xb+", opener=_open)
        self.path = path

    def write(self, data: Any) -> int:
        """Hash and write all of a block; OSError as the system raises it."""
        with self._busy, memoryview(data) as block:
            for digest in self._digests.values():
                digest.update(block)
            written = 0
            while written < len(block):
                # A raw write may be short: near the end of the disk, or when a signal arrives.
                written += super().write(block[written:]) or 0
            self.size += len(block)
            failpoint("fetch.block-written")
            return len(block)

    def restart(self) -> None:
        """Drop all content."""
        self.seek(0)
        self.truncate()
        self._forget()

    def rehash(self) -> None:
        """Hash again what lies in the file, so that nothing rests on an earlier attempt."""
        with self._busy:
            self.seek(0)
            self._forget()
            while block := self.read(_REHASH_BYTES):
                for digest in self._digests.values():
                    digest.update(block)
                self.size += len(block)

    def close(self) -> None:
        """Close the file once no thread is at work on it."""
        with self._busy:
            super().close()

    def sha256(self) -> Digest:
        """Return the digest of the content."""
        return Digest(self._digests["sha256", 64].hexdigest())

    def has(self, wanted: Hash) -> bool:
        """Tell whether the content has one of the hashes given to the constructor."""
        return bool(self._digests[wanted.algorithm, len(wanted.value)].hexdigest() == wanted.value)

    def _forget(self) -> None:
        self.size = 0
        self._digests = {("sha256", 64): hashlib.sha256()}
        for wanted in self._wanted:
            key = (wanted.algorithm, len(wanted.value))
            if key not in self._digests:
                self._digests[key] = _hasher(wanted)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _hasher(wanted: Hash) -> Any:
    """Return an empty hash object; ValueError for an algorithm that this program does not check."""
    if wanted.algorithm == "blake2b":
        return hashlib.blake2b(digest_size=len(wanted.value) // 2)
    if wanted.algorithm not in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        raise ValueError(wanted.algorithm)
    return hashlib.new(wanted.algorithm, usedforsecurity=False)


def disk_refusal(error: OSError, path: Path, size: int | None) -> StoreError:
    """Return what to raise for a failure to create or write a file of `size` bytes."""
    if error.errno in _DISK_FULL:
        needed = "" if size is None else f", {size} bytes are needed"
        return StoreError("disk.full", f"{path.parent}: no room for {path.name}{needed}")
    return StoreError("store.unwritable", f"{path}: {os.strerror(error.errno or errno.EIO).lower()}")
