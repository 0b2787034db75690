"""A daemon that says what a test tells it to: real socket, real frames, no store behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_sprawl import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["FakeDaemon", "Request", "frame", "serving"]

_RECEIVE_SECONDS = 30


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    kind: int
    payload: bytes

    @property
    def fields(self) -> dict[str, str]:
        return protocol.decode_fields(self.payload)


Answer = "Callable[[Request, socket.socket], bytes | None]"


def frame(kind: int, strings: Sequence[bytes | str] = ()) -> bytes:
    """Return the bytes of one frame."""
    return protocol.encode_frame(
        kind, protocol.encode_strings(s.encode() if isinstance(s, str) else s for s in strings)
    )


@dataclass
class FakeDaemon:
    """Serves one socket from a thread; `answer` gives the bytes to send, or None after it has done so itself."""

    path: Path
    answer: Callable[[Request, socket.socket], bytes | None]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def serve(self, listener: socket.socket) -> None:
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
def serving(
    path: Path, answer: Callable[[Request, socket.socket], bytes | None], *, backlog: int = 64
) -> Iterator[FakeDaemon]:
    """Serve `path`, in a directory as the daemon makes it, for the length of the block."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # A pytest directory can be longer than an address.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{path.name}" if len(str(path)) > 100 else str(path))
    finally:
        os.close(directory)
    listener.listen(backlog)
    daemon = FakeDaemon(path, answer)
    thread = threading.Thread(target=daemon.serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield daemon
    finally:
        # close() alone does not wake a thread in accept().
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        path.unlink(missing_ok=True)
