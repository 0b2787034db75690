"""Writable copies: a set as files of a project's own, for packages that write into themselves.

    writable/<digest>/        a view, and a file `lease` that its processes lock
    writable/<digest>.json    {"lock", "lock_sha256", "set"}

1. A copy belongs to one lockfile and one set. It is used again while that lockfile gives that set, with all
   that was written into it.
2. gc removes it when the lockfile is gone or says something else than when the copy was last used, and no
   process runs on it. Nothing else ever leads to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import files, leases

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Unused", "WritableCopies"]

_FILE_BYTES: Final = 64 << 10
_LOCK_BYTES: Final = 256 << 20
_DIGITS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A copy that nobody needs any more."""

    path: Path
    lock: Path | None
    bytes: int
    reason: str


class WritableCopies:
    """The directory `writable/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "writable"
        self._staging = root / "tmp"

    def path(self, lock: Path, digest: str) -> Path:
        """Return where the copy of a set for a lockfile lies, there or not."""
        name = hashlib.sha256(os.fsencode(lock) + b"\n" + digest.encode()).hexdigest()[:_DIGITS]
        return self._path / name

    def record(self, lock: Path, digest: str) -> None:
        """Note that the copy is that of the lockfile as it is now; StoreError `disk.full`, ..."""
        path = self.path(lock, digest)
        content = {"lock": os.fspath(lock), "lock_sha256": _sha256(lock), "set": digest}
        with files.writing(f"the record of {path}"):
            self._path.mkdir(mode=0o700, exist_ok=True)
            files.write_atomic(_record_of(path), json.dumps(content).encode("ascii"), self._staging)

    def unused(self, *, now: float, grace: float) -> list[Unused]:
        """Return the copies that gc may remove; `grace` is how long a new or just used one is left alone."""
        return [
            Unused(path=path, lock=lock, bytes=_bytes(path), reason=reason)
            for path in self._copies()
            for lock, reason in [_why_unused(path)]
            if reason and not leases.is_leased(path) and not _is_new(path, now, grace)
        ]

    def remove(self, unused: Unused) -> bool:
        """Remove a copy, unless somebody has come to run on it or the reason does not hold any more."""
        with leases.exclusive(unused.path) as free:
            if not free or not _why_unused(unused.path)[1]:
                return False
            self._delete(unused.path)
        return True

    def _delete(self, path: Path) -> None:
        with files.writing(f"the writable copy {path}"), files.open_directory(self._path) as parent:
            # The record last: what is left of a copy after a crash is found by it again.
            files.remove_tree(path.name, parent)
            files.remove_tree(_record_of(path).name, parent)

    def _copies(self) -> Iterator[Path]:
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            names = {name.removesuffix(".json") for name in os.listdir(self._path)}
        yield from (self._path / name for name in sorted(names) if not name.startswith("."))


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _why_unused(path: Path) -> tuple[Path | None, str]:
    """Return the copy's lockfile, and why nobody needs the copy; an empty reason for one that is needed."""
    try:
        content = json.loads(files.read_small(_record_of(path), _FILE_BYTES))
        lock, digest = Path(content["lock"]), content["lock_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, "nothing tells whose it is"
    now = _sha256(lock)
    if now == digest:
        return lock, ""
    return lock, "its lockfile has changed" if now else "its lockfile is gone"


def _is_new(path: Path, now: float, grace: float) -> bool:
    newest = 0.0
    for found in (path, _record_of(path)):
        with contextlib.suppress(OSError):
            newest = max(newest, found.lstat().st_ctime)
    return now - newest < grace


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(files.read_small(os.path.realpath(path), _LOCK_BYTES)).hexdigest()
    except OSError:
        return ""


def _bytes(path: Path) -> int:
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
