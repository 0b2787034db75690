"""T13: hostile lockfiles are refused with their codes, quickly, and without opening a socket."""

from __future__ import annotations

import resource
import socket
import time
import tomllib
from pathlib import Path

import pytest

from sprawld.errors import SprawlError
from tests.unit.test_hostile_locks import LOCKS, SOCKETS
from tests.unit.test_hostile_locks import run as read_and_select

from .programme import Context, Outcome

TITLE = "hostile lockfiles"
BAR = "48 of 48 refused with their codes, 0 sockets opened, each in less than 1 s and 128 MiB"

MEMORY_KIB = 128 << 10


def run(context: Context) -> Outcome:
    outcome = context.outcome
    refused, slowest, grown, sockets = 0, 0.0, 0, 0
    for name, (make, code) in LOCKS.items():
        with context.directory() as root:
            directory = root / "project"
            directory.mkdir()
            try:
                make(directory)
            except pytest.skip.Exception as reason:
                outcome.skipped.append(f"{name}: {reason}")
                continue
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            SOCKETS.opened.clear()
            SOCKETS.watching = True
            begun, found = time.process_time(), "accepted"
            try:
                read_and_select(directory)
            except SprawlError as error:
                found = error.code
            finally:
                SOCKETS.watching = False
            seconds = time.process_time() - begun
            grown = max(grown, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            slowest = max(slowest, seconds)
            sockets += len(SOCKETS.opened)
            refused += found == code
            outcome.expect(found == code, f"{name}: {found} instead of {code}")
            outcome.expect(seconds < 1, f"{name}: {seconds:.1f} s")
            outcome.expect(not SOCKETS.opened, f"{name}: {SOCKETS.opened[:3]}")
    outcome.figures = {
        "refused with their codes": f"{refused} of {len(LOCKS)}",
        "sockets opened, programs started": sockets,
        "slowest": f"{slowest * 1000:.0f} ms of processor time",
        "most memory for one": f"{grown / 1024:.0f} MiB",
    }
    outcome.expect(len(LOCKS) - len(outcome.skipped) >= 48, "the list is too short")
    outcome.expect(grown < MEMORY_KIB, f"{grown} KiB for one lock")
    _control(context, outcome)
    return outcome


def _control(context: Context, outcome: Outcome) -> None:
    """TOML alone, without what we ask of a lock; and a socket, to see that the watch is awake."""
    accepted = 0
    for make, _ in LOCKS.values():
        with context.directory() as root:
            try:
                make(root)
            except pytest.skip.Exception:
                continue
            accepted += any(_is_toml(path) for path in root.iterdir())
    SOCKETS.opened.clear()
    SOCKETS.watching = True
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
    SOCKETS.watching = False
    seen = len(SOCKETS.opened)
    outcome.control = (
        f"read as TOML alone, {accepted} of {len(LOCKS)} pass; the watch saw {seen} calls of a socket"
    )
    outcome.control_failed = accepted > 0 and seen > 0


def _is_toml(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size > 1 << 20:
            return False
        tomllib.loads(path.read_text())
    except (ValueError, OSError, RecursionError):
        return False
    return True
