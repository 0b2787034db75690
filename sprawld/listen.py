"""The socket and the daemon's lock: who may serve this store, and where.

1. One daemon per store: an flock on `<store>/daemon.lock`, taken before anything is unlinked or bound, held
   for life. A pid is never trusted; the kernel frees the lock when its holder dies. A daemon whose lock file
   is no longer the one in the store (somebody removed the store) has lost that right.
2. The socket lies in a directory of this user with mode 0700, checked before bind. It is bound by ourselves
   under a tight umask: asyncio, given a path, unlinks and steals a live socket.
3. The store's own `run/sock` is always served too, so that a process without XDG_RUNTIME_DIR (cron, a
   container's exec) finds the daemon that a login session started.
4. Only a socket that this process bound is unlinked at the end, and only while it still is the same file.
5. The client that started this daemon is told once what became of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import time
from typing import TYPE_CHECKING

from virtual_sprawl import protocol

from .errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DaemonLock", "Listener", "ReadyPipe", "daemon_lock", "private_directory"]

BACKLOG = 512
"""A full backlog refuses at once with EAGAIN; a test suite may start hundreds of Pythons together."""
TAKE_OVER_PAUSE_SECONDS = 0.05
"""flock(2) has no deadline; this happens once, at the start of a supervised daemon."""
SUN_PATH_BYTES = 103
"""Longest path that fits `sockaddr_un` everywhere: 104 bytes on macOS, with the final NUL."""


def private_directory(path: Path) -> None:
    """Make sure `path` is a real directory of this user with mode 0700; StoreError otherwise."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise StoreError("store.unwritable", f"cannot create {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError("store.damaged", f"{path} is not a directory", hint="remove it")
    if found.st_uid != os.geteuid():
        raise StoreError(
            "store.foreign-owner",
            f"{path} belongs to uid {found.st_uid}",
            hint="set XDG_CACHE_HOME and XDG_RUNTIME_DIR to directories of your own",
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)


class DaemonLock:
    """The right to serve a store, for as long as its lock file is the one that was locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def is_lost(self) -> bool:
        """Tell whether the store was removed, or replaced by another one; one stat."""
        try:
            return not os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # a disk that does not answer is no other store


@contextlib.contextmanager
def daemon_lock(store: Path, *, patience: float = 0.0) -> Iterator[DaemonLock | None]:
    """Hold the right to serve `store`; yields None when another daemon has it.

    With `patience`, seconds, the other daemon is asked to stop and waited for.
    """
    private_directory(store)
    path = store / "daemon.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError("store.unwritable", f"cannot open {path}: {error.strerror}") from error
    try:
        ours = _try_lock(descriptor)
        if not ours and patience:
            _ask_to_stop(store / "run" / "sock")
            give_up = time.monotonic() + patience
            while not (ours := _try_lock(descriptor)) and time.monotonic() < give_up:
                time.sleep(TAKE_OVER_PAUSE_SECONDS)
        lock = DaemonLock(path, descriptor)
        # Removed between the open and the lock: what is locked guards nothing.
        yield lock if ours and not lock.is_lost() else None
    finally:
        # Never unlinked: a path that is locked, removed and made anew would be two locks.
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ask_to_stop(path: Path) -> None:
    request = protocol.encode_fields({"command": "stop"})
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(path))
        connection.sendall(protocol.encode_frame(protocol.CALL, request))
        connection.recv(protocol.HEAD_BYTES)


class Listener:
    """A bound and listening socket, and the file it is responsible for."""

    def __init__(self, path: Path) -> None:
        private_directory(path.parent)
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            self._bind()
            self.socket.listen(BACKLOG)
            found = path.lstat()
        except OSError as error:
            self.socket.close()
            raise StoreError("store.unwritable", f"cannot listen on {path}: {error.strerror}") from error
        self._identity = (found.st_dev, found.st_ino)

    def _bind(self) -> None:
        before = os.umask(0o177)
        try:
            if len(os.fsencode(self.path)) <= SUN_PATH_BYTES:
                self.socket.bind(str(self.path))
                return
            # A long home: name the directory by a descriptor, so that the path fits.
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.socket.bind(f"/proc/self/fd/{directory}/{self.path.name}")
            finally:
                os.close(directory)
        finally:
            os.umask(before)

    def close(self) -> None:
        """Close, and unlink the file if it still is this socket's."""
        self.socket.close()
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.path.unlink()


class ReadyPipe:
    """What the client that started this daemon is told, once.

    A line feed: it listens. `=`: another daemon serves the store. `?` and a text: why it does not listen.
    A daemon that dies says nothing.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def say(self, text: bytes) -> None:
        """Write and close; later calls do nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, text[: select.PIPE_BUF])
                os.close(descriptor)
