"""What is begun before the daemon's own modules are loaded, by other processes on other cores.

1. Only in a daemon that a client has started and waits for: there is something to be made.
2. Workers are forked (`acquire.forked`); most likely there is something to unpack.
3. The interpreter that the client will ask for is named in EXPECTED. It is asked what it is, unless the store
   has answers of interpreters already; a variable, because older daemons know no such option.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from virtual_sprawl import locations

from .acquire import forked, probing
from .errors import InterpreterError

if TYPE_CHECKING:
    import socket
    from collections.abc import MutableMapping, Sequence

__all__ = ["EXPECTED", "INTERPRETERS", "Early", "begin"]

EXPECTED: Final = "SPRAWLD_EXPECTED_PYTHON"
INTERPRETERS: Final = "interpreters"
"""Directory of the store with what interpreters have answered."""
WORKERS: Final = 2
"""Forked before the configuration is known; as many as it says by default."""


class Early(NamedTuple):
    """What was there before the daemon, and what was begun; nothing, if nobody waits."""

    inherited: socket.socket | None = None
    """The listening socket of a service manager."""
    seeds: Sequence[forked.Seed] = ()
    python: str = ""
    """The interpreter that will be asked for, if it was asked."""
    asked: probing.Begun | None = None


def begin(
    environ: MutableMapping[str, str], *, inherited: socket.socket | None = None, awaited: bool
) -> Early:
    """Begin what can be; must be called while the process has one thread. Takes EXPECTED from `environ`."""
    python = environ.pop(EXPECTED, "")
    if not awaited:
        return Early(inherited)
    seeds = forked.fork_workers(WORKERS) if forked.can_fork() else []
    if python and not Path(locations.store_directory(environ), INTERPRETERS).exists():
        # What is wrong with it is said to who asks for it.
        with contextlib.suppress(InterpreterError, OSError):
            return Early(inherited, seeds, python, probing.begin(python))
    return Early(inherited, seeds)
