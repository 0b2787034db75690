"""Progress on a terminal: one line, gone at the end, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
from collections.abc import Callable, Iterator

import pytest

from virtual_sprawl.progress import Progress

EVENT = [b"fetch", b"3", b"24", b"1572864", b"47185920", b"numpy"]


END = b"<end>"


@contextlib.contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Make stderr a terminal of 80 columns; gives a function that returns what the user saw since."""
    screen, line = os.openpty()
    termios.tcsetwinsize(line, (24, 80))

    def seen() -> str:
        # A terminal hands on what was written in pieces and when it likes; the mark shows that all is there.
        os.write(line, END)
        text = b""
        while not text.endswith(END):
            text += os.read(screen, 4096)
        return text.removesuffix(END).decode()

    with open(line, "w", encoding="utf-8") as stream, open(screen, "rb", buffering=0):
        monkeypatch.setattr(sys, "stderr", stream)
        yield seen
        monkeypatch.undo()


def test_one_line_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as seen:
        bar = Progress()
        bar.show(EVENT)
        assert seen() == "\rvirtual-sprawl: fetch 3/24 1.5/45.0 MiB numpy\x1b[K"
        bar.show([b"unpack", b"24", b"24", b"0", b"0", b""])
        assert seen() == "\rvirtual-sprawl: unpack 24/24\x1b[K"
        bar.clear()
        bar.clear()
        assert seen() == "\r\x1b[K"


def test_a_line_fits_and_never_speaks_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as seen:
        Progress().show([b"fetch", b"x", b"", b"-1", b"\xff", b"\x1b[31m\nevil" + b"y" * 200])
        text = seen()
    assert text.startswith("\rvirtual-sprawl: fetch ?[31m?evilyyy")
    assert len(text) == 1 + 79 + len("\x1b[K")


def test_events_of_another_release_are_drawn_as_far_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as seen:
        Progress().show([b"fetch"])
        Progress().show([*EVENT, b"more"])
        assert seen().count("\r") == 2


def test_nothing_is_drawn_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as seen:
        bar = Progress(quiet=True)
        bar.show(EVENT)
        bar.clear()
        assert seen() == ""


@pytest.mark.parametrize("stream", ["pipe", "none"])
def test_nothing_is_drawn_where_there_is_no_terminal(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as file, open(reader, "rb") as other_end:
        monkeypatch.setattr(sys, "stderr", file if stream == "pipe" else None)
        bar = Progress()
        bar.show(EVENT)
        bar.clear()
        file.close()
        assert other_end.read() == b""
