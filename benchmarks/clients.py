"""Many warm clients at once: how long each waits for its reply, and how many replies a core gives.

Claims: with 200 clients at once, 99 of 100 wait less than 10 ms; at least 8,000 replies a second, one
connection after the other over 16 connections that stay open, daemon on one core and clients on the other.
Since warm starts take their set from disk, this is for those that have to ask.
"""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtual_sprawl import protocol

from .asking import connect, request
from .workbench import EMPTY_LOCK, Home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 20
AT_ONCE = 200
OPEN = 16
SECONDS = 1.0


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> line -> figure."""
    with tempfile.TemporaryDirectory(dir=bench.places["disk"]) as scratch:
        home = Home(bench, Path(scratch) / "home")
        project = Path(scratch) / "project"
        project.mkdir()
        (project / "pylock.toml").write_text(EMPTY_LOCK)
        try:
            home.sprawl("sync", "-q", cwd=project)
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(home.pid(), cores[:1])
            os.sched_setaffinity(0, cores[-1:])
            frame = request(home, project)
            _at_once(home, frame)
            waits = [sorted(_at_once(home, frame)) for _ in range(runs)]
            rates = [_rate(home, frame) for _ in range(max(3, runs // 4))]
        finally:
            os.sched_setaffinity(0, cores)
            home.stop()
    last = [wait[int(len(wait) * 0.99)] for wait in waits]
    return {
        f"{AT_ONCE} clients at once, from connect to reply": {
            "rounds": len(waits),
            "median wait, ms": _milliseconds(wait for one in waits for wait in one),
            "99th of 100, ms, median of rounds": _milliseconds(last),
            "99th of 100, ms, worst round": round(max(last) * 1000, 2),
        },
        f"replies a second over {OPEN} connections": {
            "rounds": len(rates),
            "median": round(statistics.median(rates)),
            "lowest": round(min(rates)),
            "highest": round(max(rates)),
        },
    }


def _milliseconds(seconds: Iterable[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


def _at_once(home: Home, frame: bytes) -> list[float]:
    """Connect and ask AT_ONCE times as fast as one process can; return how long each waited."""
    waits: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(AT_ONCE):
            started = time.perf_counter()
            connection = connect(home)
            connection.sendall(frame)
            selector.register(connection, selectors.EVENT_READ, (started, _Reply()))
            _take_replies(selector, waits, 0)
        while selector.get_map():
            _take_replies(selector, waits, None)
    return waits


def _take_replies(selector: selectors.BaseSelector, waits: list[float], timeout: float | None) -> None:
    for key, _ in selector.select(timeout):
        started, reply = key.data
        assert isinstance(key.fileobj, socket.socket)
        if reply.take(key.fileobj):
            waits.append(time.perf_counter() - started)
            selector.unregister(key.fileobj)
            key.fileobj.close()


def _rate(home: Home, frame: bytes) -> float:
    """Ask over and over on open connections; return replies a second of the daemon's processor time."""
    with selectors.DefaultSelector() as selector:
        for _ in range(OPEN):
            connection = connect(home)
            selector.register(connection, selectors.EVENT_READ, _Reply())
            connection.sendall(frame)
        replies, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < SECONDS:
            for key, _ in selector.select(SECONDS):
                assert isinstance(key.fileobj, socket.socket)
                if key.data.take(key.fileobj):
                    replies += 1
                    key.fileobj.sendall(frame)
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return replies / passed


class _Reply:
    def __init__(self) -> None:
        self._reader = protocol.FrameReader(protocol.REPLY_LIMIT)

    def take(self, connection: socket.socket) -> bool:
        """Read what is there; tell whether the reply is whole."""
        data = connection.recv(1 << 16)
        if not data:
            raise SystemExit("the daemon hung up")
        return any(kind != protocol.PROGRESS for kind, _ in self._reader.feed(data))
