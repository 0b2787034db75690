"""Progress of a cold start, as one line on a terminal's stderr that is gone when the program starts."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

__all__ = ["Progress"]

_MEBIBYTE = 1 << 20


class Progress:
    """Draws PROGRESS events; silent when `quiet`, and where stderr is not a terminal."""

    def __init__(self, quiet: bool = False) -> None:
        # stderr is None in a process that was started without one.
        self._terminal = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False

    def show(self, event: "List[bytes]") -> None:
        """Draw the strings of one PROGRESS frame: stage, done, total, bytes done, bytes total, name."""
        if self._terminal:
            self._draw(_line(event)[: _columns() - 1])

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._draw("")
            self._drawn = False

    def _draw(self, text: str) -> None:
        # To the start of the line, the text, and erase what a longer one before it left (ECMA-48, EL).
        try:
            sys.stderr.write("\r" + text + "\x1b[K")
            sys.stderr.flush()
        except (OSError, ValueError):
            self._terminal = False
        self._drawn = True


def _line(event: "List[bytes]") -> str:
    stage, done, total, bytes_done, bytes_total, name = (*event, *[b""] * 6)[:6]
    parts = [_text(stage)]
    if _number(total):
        parts.append("%d/%d" % (_number(done), _number(total)))
    if _number(bytes_total):
        sizes = (_number(bytes_done) / _MEBIBYTE, _number(bytes_total) / _MEBIBYTE)
        parts.append("%.1f/%.1f MiB" % sizes)
    parts.append(_text(name))
    return "virtual-sprawl: " + " ".join(part for part in parts if part)


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0


def _text(text: bytes) -> str:
    # A name comes out of a lockfile: it must not speak to the terminal.
    return "".join(c if c.isprintable() else "?" for c in text.decode("utf-8", "replace"))


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
