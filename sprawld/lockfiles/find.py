"""Which lockfile counts, for a script or a directory, and why others nearby do not.

1. A lockfile that is named by the user is taken as it is.
2. A script with metadata of its own is run with its own lock or not at all; a lock that lies beside any
   script under the script's name is that script's.
3. Otherwise directories are searched upwards from the start; the nearest one with a usable lock decides.
4. Of several locks in one directory the one of the tool counts that the project file speaks of; after that
   the order of `formats.PROJECT_LOCKS`. Every lock that was not taken is told with the reason.
5. A file of requirements that are not pinned is no lock; it is only named when nothing else is found, for its
   reader explains best what is missing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sprawld.errors import LockError
from sprawld.model import PassedOver

from .evidence import preferred, unusable
from .formats import PROJECT_LOCKS, Format, recognise
from .pyproject import Pyproject, read_pyproject
from .script import own_locks, script_dependencies
from .trust import Upwards, check_trust

__all__ = ["Found", "find_lock", "no_lock"]

_PROJECT_FILE: Final = "pyproject.toml"
_LISTED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The lockfile that counts."""

    lock: Path
    """Absolute path."""
    format: Format
    root: Path
    """Directory of the nearest project file, where a workspace has one lock for several projects."""
    passed_over: tuple[PassedOver, ...] = ()
    watched: tuple[Path, ...] = ()
    """Files that, by coming, going or changing, may make another lock count. They need not exist."""


@dataclass(slots=True)
class _Search:
    """What has been seen on the way up."""

    watched: list[Path]
    passed_over: list[PassedOver]
    root: Path | None = None
    not_pinned: Path | None = None
    script: Path | None = None
    """The program that is run, if it says that it needs no packages."""
    climbed: Upwards | None = None


def find_lock(
    start: Path, *, script: Path | None = None, explicit: Path | None = None, home: Path | None = None
) -> Found | None:
    """Return the lockfile for a start directory, None if there is none.

    `script` is the program that is run, `explicit` a lockfile the user named, `home` the directory above
    which nothing is searched (default: the user's own). Raises LockError: `lock.not-found` (the named lock
    or a script's own), `lock.foreign-owner`, `lock.world-writable`, and what a broken project file gives.
    """
    if explicit is not None:
        return _explicit(explicit)
    return _search(start, script, home, _Search([], []))


def no_lock(start: Path, *, script: Path | None = None, home: Path | None = None) -> LockError:
    """Return the error `lock.not-found` for a search that found none: where it looked, and why no higher."""
    search = _Search([], [])
    _search(start, script, home, search)
    if search.script is not None:
        return LockError(
            "lock.not-found",
            f"{search.script}: says that it needs no packages, and has no lock of its own",
            hint="run it with python itself, or name a lock with --lock",
        )
    passed_over = [f"{item.path}: {item.reason}" for item in search.passed_over[:_LISTED]]
    climbed = search.climbed or Upwards(start, start)
    where = f"in {climbed.start} or above it"
    if climbed.border or climbed.last is None:
        where = f"in {climbed.start}"
        if climbed.last not in (None, climbed.start):
            where = f"from {climbed.start} up to {climbed.last}"
    return LockError(
        "lock.not-found",
        f"no {'usable ' if passed_over else ''}lockfile {where}"
        + (f" (the search ends there: {climbed.border})" if climbed.border else "")
        + (f"; passed over: {'; '.join(passed_over)}" if passed_over else ""),
        hint="make one (uv lock, poetry lock, pdm lock, uv pip compile) or name one with --lock",
    )


def _search(start: Path, script: Path | None, home: Path | None, search: _Search) -> Found | None:
    if script is not None:
        script = Path(os.path.realpath(script))
        found, with_block = _of_script(script, search)
        if found is not None:
            return found
        if with_block:
            search.script = script
            return None
    home = Path(os.path.realpath(Path.home() if home is None else home))
    search.climbed = Upwards(Path(os.path.realpath(start)), home)
    for directory in search.climbed:
        lock = _in_directory(directory, search)
        if lock is not None:
            return _found(lock, search, directory)
    if search.not_pinned is not None:
        check_trust(search.not_pinned)
        return _found(search.not_pinned, search, search.not_pinned.parent)
    return None


def _explicit(lock: Path) -> Found:
    lock = lock.absolute()
    if not lock.exists():
        raise LockError("lock.not-found", f"{lock}: no such file")
    check_trust(lock)
    return Found(lock=lock, format=recognise(lock), root=lock.parent, watched=(lock,))


def _of_script(script: Path, search: _Search) -> tuple[Found | None, bool]:
    """Return the script's own lock, and whether the script has a metadata block."""
    search.watched.append(script)
    dependencies = script_dependencies(script)
    for lock in own_locks(script):
        search.watched.append(lock)
        if os.path.lexists(lock):
            check_trust(lock)
            return _found(lock, search, script.parent), True
    if dependencies:
        raise LockError(
            "lock.not-found",
            f"{script}: states its own dependencies and has no lock of its own",
            hint=f"uv lock --script {script}",
        )
    return None, dependencies is not None


def _found(lock: Path, search: _Search, directory: Path) -> Found:
    return Found(
        lock=lock,
        format=recognise(lock),
        root=search.root or directory,
        passed_over=tuple(search.passed_over),
        watched=tuple(dict.fromkeys(search.watched)),
    )


def _in_directory(directory: Path, search: _Search) -> Path | None:
    """Return the lock that counts in this directory, noting the others."""
    candidates = [directory / name for name in PROJECT_LOCKS]
    search.watched += candidates
    search.watched.append(directory / _PROJECT_FILE)
    present = [lock for lock in candidates if os.path.lexists(lock)]
    pyproject = _pyproject(directory, needed=bool(present))
    if search.root is None and pyproject.project:
        search.root = directory
    usable = _usable([lock for lock in present if recognise(lock) != "requirements"], pyproject, search)
    frozen = [lock for lock in present if recognise(lock) == "requirements"]
    # Requirements are only looked into where nothing better lies beside them.
    usable += frozen if usable else _usable(frozen, pyproject, search)
    if not usable:
        return None
    lock, why = preferred(usable, pyproject)
    search.passed_over += (PassedOver(path=other, reason=why) for other in usable if other is not lock)
    check_trust(lock)
    return lock


def _pyproject(directory: Path, *, needed: bool) -> Pyproject:
    try:
        return read_pyproject(directory)
    except LockError:
        if needed:
            raise
        # Without a lock beside it, it could only have told which member of a workspace this is.
        return Pyproject(directory / _PROJECT_FILE, {})


def _usable(locks: list[Path], pyproject: Pyproject, search: _Search) -> list[Path]:
    found = []
    for lock in locks:
        reason = unusable(lock, pyproject, locks)
        if reason is None:
            found.append(lock)
            continue
        search.passed_over.append(PassedOver(path=lock, reason=reason.text))
        if reason.not_pinned and search.not_pinned is None:
            search.not_pinned = lock
    return found
