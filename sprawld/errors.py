"""The daemon's errors: one tree, one stable code per refusal.

    SprawlError
    ├── LockError          the lockfile is missing, unreadable, stale, hostile or of an unknown version
    ├── SelectionError     the lock is fine, but nothing in it fits this interpreter or these options
    ├── PackageIndexError  a package index does not know, or does not answer for, a project
    ├── FetchError         an artifact could not be brought here whole
    ├── WheelError         an artifact is here, and is not a sound wheel
    ├── StoreError         the store cannot be written, opened or trusted
    ├── InterpreterError   the interpreter named by the client cannot be used
    ├── RequestError       the peer asked for something this daemon does not understand
    └── ConfigError        the user's own configuration is not valid

Every refusal names the thing, the cause and, where there is one, the remedy (`hint`). `code` is what
programs match on; the registry `CODES` documents each and is the only list of them.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CODES",
    "ConfigError",
    "FetchError",
    "InterpreterError",
    "LockError",
    "PackageIndexError",
    "RequestError",
    "SelectionError",
    "SprawlError",
    "StoreError",
    "WheelError",
    "error_from_code",
]

CODES: Final[dict[str, str]] = {}
"""Code -> one line that says when it is raised. Filled below, one block per class."""


class SprawlError(Exception):
    """A refusal with a stable code.

    `message` is one line naming the file or package and the cause; `hint` is the remedy, or empty.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        if code not in CODES:
            raise AssertionError(f"unregistered error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        return f"{text}; hint: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return error_from_code, (self.code, self.message, self.hint)


class LockError(SprawlError):
    """The lockfile is missing, unreadable, stale, hostile or of an unknown version."""


class SelectionError(SprawlError):
    """The lock is fine, but nothing in it fits this interpreter or these options."""


class PackageIndexError(SprawlError):
    """A package index does not know, or does not answer for, a project."""


class FetchError(SprawlError):
    """An artifact could not be brought here whole."""


class WheelError(SprawlError):
    """An artifact is here, and is not a sound wheel."""


class StoreError(SprawlError):
    """The store cannot be written, opened or trusted."""


class InterpreterError(SprawlError):
    """The interpreter named by the client cannot be used."""


class RequestError(SprawlError):
    """The peer asked for something this daemon does not understand."""


class ConfigError(SprawlError):
    """The user's own configuration is not valid."""


_BY_CLASS: Final[dict[type[SprawlError], dict[str, str]]] = {
    LockError: {
        "lock.not-found": "no lockfile lies in the start directory or above it, as far as the search goes",
        "lock.unreadable": "the lockfile cannot be opened or is not a regular file",
        "lock.too-large": "the lockfile is larger than any honest lock",
        "lock.not-utf8": "the lockfile is not text in the encoding its format requires",
        "lock.syntax": "the lockfile does not parse",
        "lock.invalid": "the lockfile parses, but a value in it has the wrong type or form",
        "lock.unsupported": "the lockfile's version or format is not one this release reads",
        "lock.not-pinned": "a requirements file is not a lock: some requirement is not pinned",
        "lock.newer": "the lockfile is of a later minor version than this release knows (a warning)",
        "lock.stale": "the lockfile does not fit the project file beside it",
        "lock.foreign-owner": "the lockfile belongs to another user",
        "lock.world-writable": "the lockfile or its directory can be changed by any user",
        "lock.hash-missing": "the lock carries hashes, but none for a file that was selected",
        "lock.hash-weak": "the only hash locked for a selected file is md5 or sha1",
        "lock.url-refused": "the lock names a URL of a kind that is never fetched",
        "lock.filename-mismatch": "a file name in the lock does not match its package and version",
        "lock.duplicate-package": "two versions of one package apply at the same time",
    },
    SelectionError: {
        "select.requires-python": "the lock excludes this Python version",
        "select.unsupported-environment": "the lock was not made for this platform",
        "select.unknown-extra": "an extra was asked for that the lock does not have",
        "select.unknown-group": "a dependency group was asked for that the lock does not have",
        "select.conflict": "the extras or groups asked for were locked as mutually exclusive",
        "select.no-wheel": "no wheel of a package fits this interpreter and there is no sdist",
        "kernel.no-ipykernel": "a Jupyter kernel was asked for, and the lock has no ipykernel",
        "select.needs-build": "only a source of a package fits, and it would have to be built",
    },
    PackageIndexError: {
        "index.unreachable": "the package index does not answer",
        "index.unauthorized": "the package index asks for credentials, or refuses the ones it got",
        "index.not-found": "the package index does not know the project",
        "index.file-not-found": "the index does not list the locked file any more",
        "index.malformed": "the index answered with something that is not a project page",
    },
    FetchError: {
        "net.host-refused": "a URL leads to a host that only the user's configuration may name",
        "net.insecure": "a file that no hash pins would come over plain http",
        "net.tls": "the host's certificate is not trusted",
        "net.unreachable": "the host of an artifact does not answer",
        "net.gone": "the host does not have the file, or not any more",
        "net.status": "the host answered with an error status",
        "net.truncated": "the download ended before the announced size",
        "net.too-large": "the download is longer than the locked or announced size",
        "net.timeout": "the download stalled or took too long",
        "net.redirect-refused": "a redirect leads to a place that is never followed",
        "net.offline": "a file is not in the store, and the network must not be used",
        "net.encoding-refused": "the host compressed an artifact in transit",
        "fetch.size-mismatch": "the file's size is not the locked one",
        "fetch.hash-mismatch": "the file's content does not match the locked hash",
        "fetch.unreadable": "a local file that the lock names cannot be read",
    },
    WheelError: {
        "zip.malformed": "the archive's structure is damaged or ambiguous",
        "zip.path-traversal": "a member's name leaves the archive's root",
        "zip.bad-name": "a member's name is not one that is ever unpacked",
        "zip.bad-type": "a member is a link, device or another kind that is never unpacked",
        "zip.collision": "two members would land on the same file",
        "zip.unsupported": "a member uses encryption or an unknown compression method",
        "zip.bomb": "the archive would unpack to more than any honest wheel",
        "zip.crc-mismatch": "a member's content does not match its checksum",
        "zip.size-mismatch": "a member unpacks to another size than its header says",
        "wheel.bad-filename": "the file name is not that of a wheel",
        "wheel.metadata": "the wheel's own metadata is missing, unreadable or contradicts its name",
        "wheel.not-found": "the wheel file that was named does not exist",
        "wheel.unsupported-version": "the wheel's format version is newer than this release reads",
        "wheel.bad-entry-point": "a script name of the wheel is not one that is ever written",
        "wheel.bad-data": "the wheel's .data directory holds an unknown scheme or a reserved file",
        "record.missing": "the wheel has no RECORD",
        "record.malformed": "RECORD does not parse",
        "record.unlisted": "a file of the wheel is not listed in RECORD",
        "record.absent": "RECORD lists a file that the wheel does not have",
        "record.duplicate": "RECORD lists a file twice",
        "record.weak-hash": "RECORD has no hash for a file, or only md5 or sha1",
        "record.hash-mismatch": "a file's content does not match RECORD",
        "record.size-mismatch": "a file's size does not match RECORD",
    },
    StoreError: {
        "disk.full": "the disk has no room for what has to be written",
        "store.unwritable": "the store's directory cannot be created or written",
        "store.newer-format": "the store was written by a newer release",
        "store.foreign-owner": "the store belongs to another user",
        "store.damaged": "an entry of the store is not what it should be",
        "store.worker-died": "an unpacking worker ended before it answered",
        "set.collision": "a path set cannot be made from these packages",
        "install.collision": "a file of the wheel would replace a part of the environment itself",
        "install.no-record": "an installed version cannot be removed by its RECORD",
        "install.not-a-venv": "the target of an install is not a virtual environment",
        "view.exists": "a view is there already, and replacing it was not asked for",
        "view.link-impossible": "files of the store cannot get to a view in the one way that was asked for",
        "view.occupied": "something that is no view lies where a view was asked for",
    },
    InterpreterError: {
        "python.not-found": "the interpreter does not exist or cannot be run",
        "python.unsupported": "the interpreter is too old or not CPython",
        "python.probe-failed": "the interpreter did not answer the questions put to it",
    },
    RequestError: {
        "proto.malformed": "a frame or message does not parse",
        "proto.version": "client and daemon speak different protocol versions",
        "proto.too-large": "a frame is longer than the limit",
        "proto.unknown-request": "the daemon does not know the request",
        "daemon.leaving": "the daemon is shutting down and has not begun this request: ask again",
        "daemon.stopping": "the daemon is shutting down",
        "daemon.internal": "a bug in the daemon; its log has the traceback",
        "daemon.unreachable": "no daemon answers, and none could be started (said by the client)",
        "daemon.unsafe-socket": "the socket's directory or peer is not this user's own (said by the client)",
        "client.internal": "a bug in the start-up hook (said by the client)",
    },
    ConfigError: {
        "config.invalid": "the user's configuration file is not valid",
    },
}

_CLASS_OF: Final[dict[str, type[SprawlError]]] = {}
for _class, _codes in _BY_CLASS.items():
    for _code, _meaning in _codes.items():
        CODES[_code] = _meaning
        _CLASS_OF[_code] = _class


def error_from_code(code: str, message: str, hint: str = "") -> SprawlError:
    """Rebuild an error that crossed a process border; an unknown code is a bug of the sender."""
    return _CLASS_OF[code](code, message, hint=hint)
