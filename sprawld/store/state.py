"""State: which lockfiles use which sets and when entries were last used, kept in state.sqlite.

1. The database is an index. Without it the sets themselves tell their lockfiles, and the loss is when each
   was last used. So a database that is damaged, or that a newer release wrote, is set aside and begun anew.
2. `touch` costs no I/O: uses are kept in memory and written by `flush`, which the daemon calls now and then
   and at its end. A crash makes something look less recently used, by at most that interval.
3. On a full disk the database is read as it is; uses stay in memory until there is room.
4. Only the daemon opens it. Times are seconds since the epoch and come from the caller.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sprawld.errors import StoreError
from sprawld.model import Digest

from . import database_file, files
from .installs import InstallRoots
from .pins import Pins
from .projects import Projects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Root", "State", "StateStatistics"]

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

# A flipped bit can change the type of a value without making the file malformed.
_ROOTS: Final = """
    SELECT digest, lock, used FROM roots
    WHERE typeof(lock) = 'blob' AND typeof(digest) = 'text' AND typeof(used) = 'integer'
"""
_ENTRIES: Final = """
    SELECT digest, used FROM entries WHERE typeof(digest) = 'text' AND typeof(used) = 'integer'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A lockfile that gave a set."""

    lock: Path
    digest: str
    """The set's."""
    used: int
    """Last use, seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStatistics:
    """What the state knows."""

    locks: int
    installs: int
    unflushed: int
    """Uses that are only in memory."""


class State:
    """The state of the store `root`; made by `State.open`, ended by `close`. Thread-safe.

    All methods but `touch` and `touch_entries` block for the disk.
    """

    def __init__(self, root: Path) -> None:
        self.installs = InstallRoots(root)
        self.pins = Pins(root)
        self.projects = Projects(root)
        self._path = root / "state.sqlite"
        self._lock = threading.Lock()
        self._pending_lock = threading.Lock()
        self._roots: dict[tuple[str, bytes], int] = {}
        self._entries: dict[str, int] = {}
        self._refusal: StoreError | None = None
        """Why the database cannot be written now."""
        self._database = self._connect()

    @classmethod
    def open(cls, root: Path) -> State:
        """Open the state of the store `root`, whatever condition its database is in."""
        return cls(root)

    def touch(self, lock: Path, digest: str, *, now: float) -> None:
        """Note that the lockfile used the set; kept in memory until `flush`."""
        with self._pending_lock:
            self._roots[digest, os.fsencode(lock)] = int(now)

    def touch_entries(self, digests: Iterable[Digest], *, now: float) -> None:
        """Note that entries were used; kept in memory until `flush`."""
        with self._pending_lock:
            self._entries.update(dict.fromkeys(digests, int(now)))

    def flush(self) -> bool:
        """Write what was touched; False, and a line in the log, when that has to wait for a better time."""
        with self._pending_lock:
            roots, self._roots = self._roots, {}
            entries, self._entries = self._entries, {}
        if not roots and not entries:
            return True
        try:
            self._run(lambda database: _write(database, roots, entries), writes=True)
        except StoreError as error:
            _LOG.warning("%s", error)
            with self._pending_lock:
                self._roots = roots | self._roots
                self._entries = entries | self._entries
            return False
        return True

    def roots(self) -> list[Root]:
        """Return every lockfile and set that were used together, the latest uses included."""
        with self._pending_lock:
            pending = dict(self._roots)
        rows = self._run(lambda database: database.execute(_ROOTS).fetchall())
        return _merge(rows, pending)

    def roots_of(self, digest: str) -> list[Root]:
        """Return the lockfiles that used one set, the latest uses included."""
        with self._pending_lock:
            pending = {key: used for key, used in self._roots.items() if key[0] == digest}
        query = _ROOTS + " AND digest = ?"
        rows = self._run(lambda database: database.execute(query, (digest,)).fetchall())
        return _merge(rows, pending)

    def entry_uses(self) -> dict[Digest, int]:
        """Return when each entry was last used, as far as is known."""
        with self._pending_lock:
            pending = dict(self._entries)
        rows = self._run(lambda database: database.execute(_ENTRIES).fetchall())
        return {Digest(digest): used for digest, used in (dict(rows) | pending).items()}

    def forget_set(self, digest: str) -> None:
        """Drop what is known of a set that is gone."""
        with self._pending_lock:
            self._roots = {key: used for key, used in self._roots.items() if key[0] != digest}
        self._drop("DELETE FROM roots WHERE digest = ?", digest)

    def forget_entry(self, digest: Digest) -> None:
        """Drop what is known of an entry that is gone."""
        with self._pending_lock:
            self._entries.pop(digest, None)
        self._drop("DELETE FROM entries WHERE digest = ?", digest)

    def last_gc(self) -> int | None:
        """Return when gc last ran to its end, seconds since the epoch."""
        query = "SELECT value FROM facts WHERE name = 'gc'"
        row = self._run(lambda database: database.execute(query).fetchone())
        return None if row is None else int(row[0])

    def record_gc(self, *, now: float) -> None:
        """Note that gc ran to its end."""
        self._drop("REPLACE INTO facts VALUES ('gc', ?)", int(now))

    def statistics(self) -> StateStatistics:
        """Count what is known."""
        with self._pending_lock:
            unflushed = len(self._roots) + len(self._entries)
        locks = len({root.lock for root in self.roots()})
        return StateStatistics(locks=locks, installs=len(self.installs.all()), unflushed=unflushed)

    def damage(self) -> str:
        """Return what is wrong with the database's content; the empty string when nothing is."""
        try:
            problem = self._run(lambda database: database_file.content_problem(self._path, database))
        except StoreError:
            return ""  # the disk's fault: nothing is known of the content
        return problem

    def begin_anew(self) -> None:
        """Set the database aside and begin with an empty one; what was not flushed yet is kept."""
        with self._lock:
            self._database.close()
            self._set_aside(sqlite3.DatabaseError("verify found it damaged"))
            self._database = self._connect()

    def close(self) -> None:
        """Write what was touched and close the database."""
        self.flush()
        with self._lock:
            self._database.close()

    def _drop(self, statement: str, value: str | int) -> None:
        # What cannot be written now is written by a later gc: a row of something that is gone does no harm.
        try:
            self._run(lambda database: database.execute(statement, (value,)), writes=True)
        except StoreError as error:
            _LOG.warning("%s", error)

    def _run(self, work: Callable[[sqlite3.Connection], _T], *, writes: bool = False) -> _T:
        """Do work on the database; a damaged one is set aside, and the work is done on an empty one."""
        with self._lock:
            if writes and self._refusal is not None:
                self._database.close()
                self._database = self._connect()
                if self._refusal is not None:
                    raise self._refusal
            try:
                return work(self._database)
            except sqlite3.Error as error:
                if database_file.blames_surroundings(error):
                    raise database_file.refusal(self._path, error) from error
                self._database.close()
                self._set_aside(error)
                self._database = self._connect()
                return work(self._database)

    def _connect(self) -> sqlite3.Connection:
        try:
            try:
                database = database_file.open_database(self._path)
            except sqlite3.Error as error:
                if database_file.blames_surroundings(error):
                    raise
                self._set_aside(error)
                database = database_file.open_database(self._path)
        except sqlite3.Error as error:
            self._refusal = database_file.refusal(self._path, error)
            _LOG.warning("%s", self._refusal)
            return database_file.open_as_it_is(self._path)
        self._refusal = None
        return database

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self._path.with_name("state.sqlite.damaged")
        _LOG.warning("%s is set aside as %s: %s", self._path, aside.name, error)
        with files.writing(str(self._path)):
            os.replace(self._path, aside)
        for suffix in ("-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _write(
    database: sqlite3.Connection, roots: dict[tuple[str, bytes], int], entries: dict[str, int]
) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        rows = [(digest, lock, used) for (digest, lock), used in roots.items()]
        database.executemany("REPLACE INTO roots VALUES (?, ?, ?)", rows)
        database.executemany("REPLACE INTO entries VALUES (?, ?)", entries.items())
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _merge(rows: list[tuple[str, bytes, int]], pending: dict[tuple[str, bytes], int]) -> list[Root]:
    known = {(digest, lock): used for digest, lock, used in rows} | pending
    return [
        Root(lock=Path(os.fsdecode(lock)), digest=digest, used=used) for (digest, lock), used in known.items()
    ]
