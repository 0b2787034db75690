"""Asks a daemon over its socket, as the hook does, without starting a process for it."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from virtual_sprawl import protocol, question

if TYPE_CHECKING:
    from pathlib import Path

    from .workbench import Home

__all__ = ["ask", "connect", "request"]


def request(home: Home, start: Path) -> bytes:
    """Return the frame of a start in a directory."""
    assert sys.implementation.cache_tag is not None
    fields = question.resolve_fields(python=os.fspath(home.bench.python), start=os.fspath(start))
    fields["tag"] = sys.implementation.cache_tag
    return protocol.encode_frame(protocol.RESOLVE, protocol.encode_fields(fields))


def connect(home: Home) -> socket.socket:
    """Return a connection to the daemon of a home."""
    connection = socket.socket(socket.AF_UNIX)
    # The path of a socket is short, that of a home may not be.
    directory = os.open(home.root / "virtual-sprawl", os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{directory}/sock")
    finally:
        os.close(directory)
    return connection


def ask(home: Home, start: Path) -> tuple[int, bytes]:
    """Return kind and payload of the answer; progress is passed over."""
    with connect(home) as connection:
        connection.sendall(request(home, start))
        reader = protocol.FrameReader(protocol.REPLY_LIMIT)
        while True:
            data = connection.recv(1 << 16)
            if not data:
                raise SystemExit("the daemon hung up")
            for kind, payload in reader.feed(data):
                if kind != protocol.PROGRESS:
                    return kind, payload
