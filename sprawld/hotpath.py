"""Replies that are ready: request bytes -> reply bytes, and the stats that keep them true.

A warm start asks the same question as the one before. Its reply is kept together with every file and
directory whose change could change the answer; while their stats hold, the reply is sent as it is. The same
records lie in `<store>/replies/`, where the hook finds them when no daemon can be reached, and this daemon
after a restart.

1. A check is (path, ctime_ns, size, inode); ctime_ns -1 says that the path must not exist. It is not mtime:
   tools that copy times (cp -p, rsync, tar) set that back, and a lock of the same size would look the same.
2. Stats are taken BEFORE the files are read: a change in between shows as a stale reply, never as a
   wrong one.
3. A record is written by rename, mode 0600, and holds only what this daemon made.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import marshal
import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from virtual_sprawl import protocol

from .pathsets import setindex

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .model import PathSet

__all__ = ["Check", "Ready", "ReadyTable", "check_of", "checks_hold"]

log = logging.getLogger(__name__)

Check = tuple[str, int, int, int]

RECORD_FORMAT = (2, setindex.FORMAT)
"""A record of an older release may hold an index that this one's hook cannot read."""
READY_REPLIES = 4096
"""A developer's scripts times their interpreters; a reply is some 10 kB."""


def check_of(path: str) -> Check:
    """Return the check that holds for `path` as it is now."""
    try:
        found = os.stat(path)  # noqa: PTH116 - the hot path's own call
    except OSError:
        return (path, -1, 0, 0)
    if stat.S_ISDIR(found.st_mode):
        # Sizes of directories change with the file system's mood; their ctime and inode say enough.
        return (path, found.st_ctime_ns, 0, found.st_ino)
    return (path, found.st_ctime_ns, found.st_size, found.st_ino)


def checks_hold(checks: Iterable[Check]) -> bool:
    """Tell whether every path still is as it was; `check_of` and a comparison, without making the check."""
    for path, ctime, size, inode in checks:
        try:
            found = os.stat(path)  # noqa: PTH116 - the hot path's own call
        except OSError:
            if ctime == -1:
                continue
            return False
        if found.st_ctime_ns != ctime or found.st_ino != inode:
            return False
        if found.st_size != size and not stat.S_ISDIR(found.st_mode):
            return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A reply that may be sent again while its checks hold."""

    payload: bytes
    """Of a PATH_SET frame."""
    frame: bytes
    digest: str
    """The set's."""
    checks: tuple[Check, ...]
    """The lockfile's own check comes first."""

    @property
    def lock(self) -> str:
        """Path of the lockfile that gave the set."""
        return self.checks[0][0]

    @classmethod
    def of_payload(cls, payload: bytes, checks: tuple[Check, ...]) -> Ready:
        """Make the reply from a PATH_SET payload; raises what a damaged payload gives rise to."""
        digest = protocol.decode_strings(payload)[0].decode()
        frame = protocol.encode_frame(protocol.PATH_SET, payload)
        return cls(payload=payload, frame=frame, digest=digest, checks=checks)

    @classmethod
    def of_set(cls, path_set: PathSet, checks: tuple[Check, ...]) -> Ready:
        """Make the reply for a realised set."""
        strings = (path_set.digest.encode(), os.fsencode(path_set.path), path_set.index)
        return cls.of_payload(protocol.encode_strings(strings), checks)


class ReadyTable:
    """The table in memory, and its shadow on disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready: OrderedDict[bytes, Ready] = OrderedDict()
        self.hits = 0
        self.stale = 0

    def get(self, request: bytes) -> Ready | None:
        """Return the reply for these request bytes if it is still true. Stats only, never reads."""
        ready = self._ready.get(request)
        if ready is None:
            return None
        if not checks_hold(ready.checks):
            self.stale += 1
            del self._ready[request]
            return None
        self._ready.move_to_end(request)
        self.hits += 1
        return ready

    def put(self, request: bytes, ready: Ready) -> None:
        """Keep a reply in memory; the oldest one makes room."""
        self._ready[request] = ready
        self._ready.move_to_end(request)
        if len(self._ready) > READY_REPLIES:
            self._ready.popitem(last=False)

    def forget_sets(self, digests: Iterable[str]) -> None:
        """Drop every reply that names one of these sets, in memory; the record on disk names a set that
        must exist to be used."""
        gone = set(digests)
        for request in [key for key, ready in self._ready.items() if ready.digest in gone]:
            del self._ready[request]

    def statistics(self) -> dict[str, int]:
        """Return counters for `status`."""
        return {"ready": len(self._ready), "hits": self.hits, "stale": self.stale}

    # -- the shadow on disk; blocking, called off the event loop ------------------------------------

    def record(self, request: bytes, ready: Ready) -> None:
        """Write the reply where the hook and the next daemon find it.

        Where that is not possible (a full disk, a directory that was removed) it is done without: the reply
        is there all the same.
        """
        blob = marshal.dumps((RECORD_FORMAT, ready.checks, ready.payload), 4)
        target = self._path(request)
        partial = target.with_name(f"{target.name}.{os.urandom(8).hex()}")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(blob)
            partial.replace(target)
        except OSError as error:
            log.info("a reply is not recorded: %s", error.strerror)
            with contextlib.suppress(OSError):
                partial.unlink()

    def recall(self, request: bytes) -> Ready | None:
        """Return the recorded reply if it is whole, this user's own, and still true."""
        try:
            descriptor = os.open(self._path(request), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            blob = file.read()
        try:
            version, checks, payload = _load(blob)
            ready = Ready.of_payload(payload, checks)
        except (ValueError, TypeError, EOFError, IndexError, protocol.ProtocolError):
            return None
        return ready if version == RECORD_FORMAT and checks_hold(checks) else None

    def _path(self, request: bytes) -> Path:
        return self._directory / hashlib.sha256(request).hexdigest()


def _load(blob: bytes) -> Any:
    # marshal of a file whose owner and mode were checked: only this daemon writes here.
    return marshal.loads(blob)  # noqa: S302
