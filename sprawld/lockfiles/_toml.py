"""Reading a lockfile's text, and typed getters that say where in the file a value is wrong.

1. A lockfile is opened once, checked on the open descriptor and read whole: what was checked is parsed.
2. Readers raise `Fault`, which knows no path. `each`, `within` and `at` put in front of it where in the file
   they are, while it unwinds; `reading` turns it into the LockError. The happy path pays nothing for this.
3. Text of a lock is attacker input: it reaches a message only through `shown`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import tomli

from sprawld.errors import LockError, SelectionError, SprawlError

from .bulk import check_bulk
from .remedies import remedy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "MAXIMUM_BYTES",
    "Fault",
    "Table",
    "at",
    "each",
    "get",
    "invalid",
    "parse_toml",
    "read_bytes",
    "read_text",
    "read_toml",
    "reading",
    "require",
    "shown",
    "strings",
    "table",
    "tables",
    "within",
]

Table = Mapping[str, object]
"""A TOML table or JSON object, as parsed."""

T = TypeVar("T")
K = TypeVar("K")

MAXIMUM_BYTES: Final = 12 << 20
"""Eight times the largest lock known to us; parsing takes 35 ms and three times the text for each MiB."""
_PIECE_BYTES: Final = 1 << 20
_SHOWN_CHARACTERS: Final = 120
_NAMES: Final[Mapping[type, str]] = {Mapping: "table", list: "array", str: "string", bool: "boolean"}


class Fault(Exception):  # noqa: N818 - never leaves this wing; `reading` makes the Error of it
    """One wrong thing in a lockfile: the code and message of the SprawlError to come, and where it is."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.crumbs: list[str] = []

    def prepend(self, crumb: str) -> None:
        """Say in which table or array the fault lies; called from the inside out."""
        self.crumbs.insert(0, crumb)

    def error(self, path: Path) -> SprawlError:
        """Return the error for the file at `path`; where the fault names no remedy, with that of its code."""
        where = ".".join(self.crumbs)
        kind = SelectionError if self.code.startswith("select.") else LockError
        return kind(
            self.code,
            f"{path}: {where}: {self.message}" if where else f"{path}: {self.message}",
            hint=self.hint or remedy_for(self.code, path),
        )


def invalid(message: str) -> NoReturn:
    """Raise the fault for a value of the wrong type or form."""
    raise Fault("lock.invalid", message)


def shown(text: object) -> str:
    """Return text of a lock made fit for a terminal: one line, no control characters, not endless."""
    characters = str(text)
    if len(characters) > _SHOWN_CHARACTERS:
        characters = characters[:_SHOWN_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in characters)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every `Fault` raised inside into the LockError or SelectionError that names the file."""
    try:
        yield
    except Fault as fault:
        raise fault.error(path) from None
    except RecursionError:
        raise LockError("lock.invalid", f"{path}: nested too deeply") from None


@contextmanager
def at(crumb: str) -> Iterator[None]:
    """Name the place (`package[3]`, `dependencies`) that a `Fault` raised inside comes from."""
    try:
        yield
    except Fault as fault:
        fault.prepend(crumb)
        raise


# --- reading


def read_bytes(path: Path, limit: int = MAXIMUM_BYTES) -> bytes:
    """Return the content of the regular file at `path`; a symbolic link to one is followed.

    Raises LockError `lock.not-found`, `lock.unreadable` or `lock.too-large`.
    """
    try:
        # Not blocking: opening a FIFO or a device must not hang before it is recognised as one.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as error:
        raise LockError("lock.not-found", f"{path}: no such file") from error
    except OSError as error:
        raise LockError("lock.unreadable", f"{path}: {os.strerror(error.errno or errno.EIO)}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LockError("lock.unreadable", f"{path}: not a regular file")
        if status.st_size <= limit:
            data = _read_all(descriptor, limit)
            if len(data) <= limit:
                return data
    except OSError as error:
        raise LockError("lock.unreadable", f"{path}: {os.strerror(error.errno or errno.EIO)}") from error
    finally:
        os.close(descriptor)
    raise LockError("lock.too-large", f"{path}: larger than {limit} bytes")


def _read_all(descriptor: int, limit: int) -> bytes:
    """Read to the end, or one piece beyond `limit`."""
    data = bytearray()
    while len(data) <= limit:
        piece = os.read(descriptor, _PIECE_BYTES)
        if not piece:
            break
        data += piece
    return bytes(data)


def read_text(path: Path) -> str:
    """Return the content of a file that must be UTF-8 without a byte order mark (`lock.not-utf8`)."""
    data = read_bytes(path)
    if data.startswith(b"\xef\xbb\xbf"):
        raise LockError("lock.not-utf8", f"{path}: starts with a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LockError("lock.not-utf8", f"{path}: not UTF-8 at byte {error.start}") from None


def read_toml(path: Path) -> Table:
    """Return the TOML document at `path`; the errors are those of `read_text` and `parse_toml`."""
    return parse_toml(path, read_text(path))


def parse_toml(path: Path, text: str) -> Table:
    """Parse the TOML document `text` that was read from `path` (`lock.syntax`, `lock.too-large`)."""
    check_bulk(path, text)
    try:
        return tomli.loads(text)
    except RecursionError:
        raise LockError("lock.syntax", f"{path}: nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and integers with more digits than int() takes
        raise LockError("lock.syntax", f"{path}: {shown(error)}") from None


# --- typed getters


def get(source: Table, key: str, kind: type[K]) -> K | None:
    """Return the value at `key` if it is a `kind`, None if it is absent."""
    value = source.get(key)
    if value is None:
        return None
    # bool is a subclass of int, but TOML and JSON tell the two apart.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        invalid(f"{shown(key)}: expected {_name(kind)}, got {_name(type(value))}")
    return value


def require(source: Table, key: str, kind: type[K]) -> K:
    """Return the value at `key`, which must be there and be a `kind`."""
    value = get(source, key, kind)
    if value is None:
        invalid(f"{shown(key)}: missing")
    return value


def table(source: Table, key: str) -> Table:
    """Return the table at `key`; an absent one is empty."""
    value = source.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        invalid(f"{shown(key)}: expected table, got {_name(type(value))}")
    return value


def tables(source: Table, key: str) -> list[Table]:
    """Return the array of tables at `key`; an absent one is empty."""
    value = get(source, key, list) or []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            invalid(f"{shown(key)}[{index}]: expected table, got {_name(type(item))}")
    return value


def strings(source: Table, key: str) -> tuple[str, ...]:
    """Return the array of strings at `key`; an absent one is empty."""
    value = get(source, key, list) or []
    for index, item in enumerate(value):
        if not isinstance(item, str):
            invalid(f"{shown(key)}[{index}]: expected string, got {_name(type(item))}")
    return tuple(value)


def each(source: Table, key: str, build: Callable[[Table], T]) -> tuple[T, ...]:
    """Build one T from every table of the array at `key`; faults are placed in `key[index]`."""
    items = tables(source, key)
    built: list[T] = []
    try:
        built.extend(map(build, items))  # one by one: the length is the index of the failing item
    except Fault as fault:
        fault.prepend(f"{shown(key)}[{len(built)}]")
        raise
    return tuple(built)


def within(source: Table, key: str, build: Callable[[Table], T]) -> T:
    """Build a T from the table at `key` (absent: empty); faults are placed in `key`."""
    inner = table(source, key)
    with at(shown(key)):
        return build(inner)


def _name(kind: type) -> str:
    return _NAMES.get(kind) or ("table" if issubclass(kind, Mapping) else kind.__name__)
