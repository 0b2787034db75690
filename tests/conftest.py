"""What holds for all tests: programs that they start can be interrupted."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Undo what nohup and shells do to programs in the background: they ignore SIGINT, and all theirs too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
