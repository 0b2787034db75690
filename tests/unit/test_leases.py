"""Leases: held by processes, seen by the daemon, gone with their holders."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sprawld.store.leases import exclusive, is_leased
from tests.support import entries

HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(descriptor, fcntl.LOCK_SH)
if len(sys.argv) > 2 and os.fork():
    os._exit(0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "lease").touch(0o600)
    return tmp_path


def hold(path: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLD, str(path / "lease"), *options]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


def test_a_process_holds_it_until_it_is_killed(path: Path) -> None:
    assert not is_leased(path)
    with hold(path) as child:
        assert is_leased(path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not is_leased(path)


def test_a_forked_child_goes_on_holding_it(path: Path) -> None:
    with hold(path, "fork") as child:
        child.wait()
        assert is_leased(path)
        assert child.stdin is not None
        child.stdin.close()
        assert child.stdout is not None
        child.stdout.read()  # ends when the forked child does
    with exclusive(path) as held:
        assert held


def test_many_may_hold_it(path: Path) -> None:
    with entries.leased(path):
        with entries.leased(path):
            assert is_leased(path)
        assert is_leased(path)
    assert not is_leased(path)


def test_exclusive_keeps_everyone_out(path: Path) -> None:
    with exclusive(path) as held:
        assert held
        with pytest.raises(BlockingIOError):
            entries.take_lease(path)
        with exclusive(path) as again:
            assert not again
    assert not is_leased(path)


def test_a_set_without_the_file_cannot_be_leased(tmp_path: Path) -> None:
    assert not is_leased(tmp_path)
    assert not is_leased(tmp_path / "absent")


def test_a_link_counts_as_leased(tmp_path: Path) -> None:
    (tmp_path / "lease").symlink_to("/dev/null")
    assert is_leased(tmp_path)


def test_where_locking_does_not_work_everything_is_leased(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert is_leased(path)
