"""Failpoints: off by default, and each action does what its name says."""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import sprawld
from sprawld.store import failpoints
from tests.support import children

NAME = failpoints.NAMES[0]


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    failpoints.install(None)


def test_they_are_off_unless_installed() -> None:
    failpoints.failpoint(NAME)
    failpoints.failpoint("any name")


def test_the_list_is_that_of_the_code() -> None:
    """Tests walk the list: a point that is not on it would never be tested."""
    text = "".join(path.read_text() for path in Path(sprawld.__path__[0]).rglob("*.py"))
    assert set(re.findall(r'failpoint\("([^"]+)"\)', text)) == set(failpoints.NAMES)


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_errors_are_raised_at_their_point_only(action: str, number: int) -> None:
    failpoints.install(failpoints.hook_from(f"{NAME}:{action}"))
    failpoints.failpoint(failpoints.NAMES[1])
    with pytest.raises(OSError, match=os.strerror(number)):
        failpoints.failpoint(NAME)


def test_a_point_may_be_passed_some_times_first() -> None:
    failpoints.install(failpoints.hook_from(f"{NAME}@2:eio"))
    failpoints.failpoint(NAME)
    failpoints.failpoint(NAME)
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            failpoints.failpoint(NAME)


def test_kill_kills() -> None:
    def work() -> None:
        failpoints.install(failpoints.hook_from(f"{NAME}:kill"))
        failpoints.failpoint(NAME)

    assert os.waitstatus_to_exitcode(children.fork(work)) == -signal.SIGKILL


def test_pause_waits_for_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    failpoints.install(failpoints.hook_from(f"{NAME}:pause:{fifo}"))
    passed = threading.Event()

    def work() -> None:
        failpoints.failpoint(NAME)
        passed.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not passed.is_set()
    with fifo.open("wb"):
        assert passed.wait(30)
    thread.join()


@pytest.mark.parametrize("specification", ["", "unknown:kill", NAME, f"{NAME}:explode"])
def test_what_is_unknown_is_refused(specification: str) -> None:
    with pytest.raises(ValueError, match="unknown failpoint"):
        failpoints.hook_from(specification)
