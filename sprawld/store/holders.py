"""Which processes hold the leases of sets: whose open files they are, as far as the system tells.

Linux shows every process's open files below /proc. The kernel's own list of locks (/proc/locks) is not asked:
it names the process that took a lock, which may have ended while a fork of it keeps the lease.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .leases import LEASE, pipe_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Holder", "holders_of"]

_PROCESSES: Final = Path("/proc")
_COMMAND_BYTES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that runs on a set."""

    pid: int
    command: str
    """Its command line, cut; empty when it cannot be read."""


def holders_of(sets: Iterable[Path], *, processes: Path = _PROCESSES) -> dict[Path, list[Holder]]:
    """Return who has the lease of each of these sets (their directories) open, sorted by pid.

    One pass over this user's processes for all of them; empty where the system has no /proc.
    """
    leases = {}
    for path in sets:
        leases[os.path.realpath(path / LEASE)] = path
        leases[os.path.realpath(pipe_of(path))] = path
    found: dict[Path, list[Holder]] = {}
    if not leases:
        return found
    for pid in sorted(int(name) for name in _names(processes) if name.isdigit()):
        for path in {leases[target] for target in _open_files(processes / str(pid)) if target in leases}:
            holder = Holder(pid=pid, command=_command(processes / str(pid)))
            found.setdefault(path, []).append(holder)
    return found


def _open_files(process: Path) -> set[str]:
    found = set()
    for name in _names(process / "fd"):
        try:
            found.add(os.readlink(process / "fd" / name))
        except OSError:
            continue  # closed meanwhile
    return found


def _names(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []  # another user's process, or one that has ended


def _command(process: Path) -> str:
    try:
        with open(process / "cmdline", "rb") as file:
            words = file.read(_COMMAND_BYTES).split(b"\0")
    except OSError:
        return ""
    return b" ".join(word for word in words if word).decode("utf-8", "replace")
