"""A daemon that says what a test tells it to: real socket, real frames, no store behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from virtual_sprawl import protocol

__all__ = ["Answer", "FakeDaemon", "Request", "frame", "listening", "serving"]

_RECEIVE_SECONDS = 30
_LONGEST_ADDRESS = 100


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    kind: int
    payload: bytes

    @property
    def fields(self) -> dict[str, str]:
        return protocol.decode_fields(self.payload)


Answer = Callable[[Request, socket.socket], bytes | None]
"""Returns the bytes to send, or None after it has done what is to be done itself."""


def frame(kind: int, strings: Sequence[bytes | str] = ()) -> bytes:
    """Return the bytes of one frame."""
    encoded = (string.encode() if isinstance(string, str) else string for string in strings)
    return protocol.encode_frame(kind, protocol.encode_strings(encoded))


@dataclass
class FakeDaemon:
    """What came to the socket while it was served."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def accept(self, listener: socket.socket) -> None:
        """Serve connections, each from a thread of its own, until the listener is shut."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        reader = protocol.FrameReader(protocol.REQUEST_LIMIT)
        connection.settimeout(_RECEIVE_SECONDS)
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1 << 16):
                for kind, payload in reader.feed(data):
                    request = Request(kind, payload)
                    self.requests.append(request)
                    reply = self.answer(request, connection)
                    if reply is not None:
                        connection.sendall(reply)


@contextlib.contextmanager
def listening(path: Path, backlog: int = 64) -> Iterator[socket.socket]:
    """Listen on `path`, in a directory as the daemon makes it; nobody accepts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        # A test's directory can be longer than an address.
        short = f"/proc/self/fd/{directory}/{path.name}"
        listener.bind(short if len(str(path)) > _LONGEST_ADDRESS else str(path))
        listener.listen(backlog)
        yield listener
    finally:
        os.close(directory)
        listener.close()
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def serving(path: Path, answer: Answer) -> Iterator[FakeDaemon]:
    """Serve `path` for the length of the block."""
    with listening(path) as listener:
        daemon = FakeDaemon(answer)
        thread = threading.Thread(target=daemon.accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield daemon
        finally:
            # close() alone does not wake a thread in accept().
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
