"""Selections by content: a lock that lies in two projects is read and selected from once.

What is selected depends on the bytes of the lock and of the project file beside it, on the interpreter, on
the options, and, for local trees, on where the project lies. So the same bytes give the same elsewhere:

1. Only locks whose readers look at nothing but those two files count, and only selections without local
   trees; the project itself, where it is not installed, is moved to its new place.
2. A selection with warnings is made anew, for their texts name files; one that failed is too.
3. Files that changed shortly before they were read may have been read in two states, and are not kept.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from ._toml import read_bytes

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from sprawld.model import Choice, Environment, Selection, Wanted

    from .find import Found

__all__ = ["Twins"]

_LOCKS: Final = frozenset({"uv.lock", "poetry.lock", "pdm.lock"})
"""Names of locks that are read together with `pyproject.toml`, and nothing else."""
_PROJECT_FILE: Final = "pyproject.toml"
_MOST_BYTES: Final = 2 << 20
"""Of lock text; what is kept of a selection takes about twice that."""
_RACY_NANOSECONDS: Final = 50_000_000

Key = tuple["Hashable", ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    environment: Environment
    selection: Selection
    size: int


class Twins:
    """Selections that were made lately; safe between threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._turn = threading.Lock()
        self.hits = 0

    def key_of(self, found: Found, environment: Environment, wanted: Wanted) -> Key | None:
        """Return what the selection depends on, None where that cannot be told; reads both files.

        To be asked before the lock is read for a selection that `keep` is to be given.
        """
        if found.lock.name not in _LOCKS or found.root != found.lock.parent:
            return None
        try:
            return (
                time.time_ns(),
                found.lock.name,
                id(environment),
                wanted,
                hashlib.sha256(read_bytes(found.lock)).digest(),
                _digest_of_project(found.root / _PROJECT_FILE),
            )
        except LockError:
            return None  # reading it will say what is wrong

    def get(self, key: Key | None, found: Found) -> tuple[Selection, object] | None:
        """Return the selection for this place, and an object that is the same for all that are equal."""
        if key is None:
            return None
        with self._turn:
            kept = self._kept.get(key[1:])
            if kept is None:
                return None
            self._kept.move_to_end(key[1:])
            self.hits += 1
        return _moved(kept.selection, found), kept

    def keep(self, key: Key | None, found: Found, environment: Environment, selection: Selection) -> object:
        """Keep a selection that was made after `key_of` was asked, if it holds for other places too.

        Returns what `get` will return beside it, or None.
        """
        root = selection.project.root
        if key is None or selection.warnings or not all(_can_move(one, root) for one in selection.choices):
            return None
        try:
            status = os.stat(found.lock)  # noqa: PTH116 - as everywhere on this road
            if max(status.st_ctime_ns, _changed(found.root / _PROJECT_FILE)) >= _time(key):
                return None
        except OSError:
            return None
        # The environment is kept for its id to stay its own.
        kept = _Kept(environment, selection, status.st_size)
        with self._turn:
            self._kept[key[1:]] = kept
            total = sum(one.size for one in self._kept.values())
            while total > self._most_bytes:
                total -= self._kept.popitem(last=False)[1].size
        return kept

    def inputs(self, found: Found) -> tuple[Path, ...]:
        """Return the files that a selection given by `get` depends on."""
        return found.lock, found.root / _PROJECT_FILE


def _time(key: Key) -> int:
    assert isinstance(key[0], int)
    return key[0] - _RACY_NANOSECONDS


def _digest_of_project(path: Path) -> bytes:
    """Return the digest of the project file; an absent one has none."""
    try:
        return hashlib.sha256(read_bytes(path)).digest()
    except LockError as error:
        if error.code != "lock.not-found":
            raise
        return b""


def _changed(path: Path) -> int:
    try:
        return os.stat(path).st_ctime_ns  # noqa: PTH116 - as everywhere on this road
    except FileNotFoundError:
        return 0


def _can_move(choice: Choice, root: Path) -> bool:
    """Tell whether a choice says nothing of where the project lies, or only that it is the project."""
    source, artifact = choice.pin.source, choice.artifact
    if choice.overlay is not None or choice.obstacle or source.find_links:
        return False
    if any(one.path is not None for one in (*choice.pin.artifacts, *((artifact,) if artifact else ()))):
        return False
    return source.path is None or (choice.kind == "virtual" and source.path == root)


def _moved(selection: Selection, found: Found) -> Selection:
    """Return the selection as the same files give it in another place."""
    return replace(
        selection,
        lock=found.lock,
        choices=tuple(
            choice if choice.pin.source.path is None else _at(choice, found.root)
            for choice in selection.choices
        ),
        project=replace(selection.project, root=found.root),
        passed_over=found.passed_over,
    )


def _at(choice: Choice, root: Path) -> Choice:
    return replace(choice, pin=replace(choice.pin, source=replace(choice.pin.source, path=root)))
