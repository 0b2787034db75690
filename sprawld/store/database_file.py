"""The file `state.sqlite`: opened as it should be, or as it is; what is wrong with it, and by whose fault."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError

from . import files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["blames_surroundings", "content_problem", "open_as_it_is", "open_database", "refusal"]

_VERSION: Final = 1
_SCHEMA: Final = f"""
    BEGIN IMMEDIATE;
    CREATE TABLE roots (digest TEXT, lock BLOB, used INTEGER, PRIMARY KEY (digest, lock)) WITHOUT ROWID;
    CREATE TABLE entries (digest TEXT PRIMARY KEY, used INTEGER) WITHOUT ROWID;
    CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""
_SURROUNDINGS: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""Primary result codes that blame the disk or the rights on it, not the content of the database."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database, or make it; sqlite3.Error for one that is damaged, or that cannot be written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError as error:
        refusal = sqlite3.OperationalError(str(error.strerror))
        refusal.sqlite_errorcode = sqlite3.SQLITE_FULL if files.is_full(error) else sqlite3.SQLITE_CANTOPEN
        raise refusal from error
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # A write-ahead log needs memory shared by all who open the file; no network file system has that.
        database.execute(f"PRAGMA journal_mode = {'DELETE' if files.is_network(path.parent) else 'WAL'}")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript(_SCHEMA)
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it has version {version}")
        problem = _check(database, path, "quick_check")
        if problem:
            raise sqlite3.DatabaseError(problem)
    except BaseException:
        database.close()
        raise
    return database


def open_as_it_is(path: Path) -> sqlite3.Connection:
    """Open the database for reading without writing a byte; an empty one where that fails too."""
    try:
        uri = path.absolute().as_uri() + "?mode=ro&immutable=1"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        database.execute("SELECT 1 FROM roots, entries, facts LIMIT 1").fetchone()
    except sqlite3.Error:
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.executescript(_SCHEMA)
    return database


def content_problem(path: Path, database: sqlite3.Connection) -> str:
    """Return what is wrong with the content, or the empty string; sqlite3.Error for the disk's own faults.

    Asks a fresh connection: the one in use answers from its memory what the file has lost.
    """
    if not database.execute("PRAGMA database_list").fetchone()[2]:
        return ""  # it lives in memory only
    try:
        fresh = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)
        try:
            return _check(fresh, path, "integrity_check")
        finally:
            fresh.close()
    except sqlite3.Error as error:
        if blames_surroundings(error):
            raise
        return str(error)


def blames_surroundings(error: sqlite3.Error) -> bool:
    """Tell whether the disk or the rights on it are to blame, and not the content."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _SURROUNDINGS


def refusal(path: Path, error: sqlite3.Error) -> StoreError:
    """Return what to tell of a database that cannot be used."""
    full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return StoreError("disk.full" if full else "store.unwritable", f"{path} cannot be used: {error}")


def _check(database: sqlite3.Connection, path: Path, check: str) -> str:
    problem = str(database.execute(f"PRAGMA {check}(1)").fetchone()[0])
    if problem != "ok":
        return problem
    # SQLite reads a last page that was cut as if it ended in zeros, and pages are written whole.
    page = int(database.execute("PRAGMA page_size").fetchone()[0])
    return "its last page was cut" if os.stat(path).st_size % page else ""
