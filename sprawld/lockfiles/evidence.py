"""Which of several locks in one directory a project means.

Real projects keep the lock of a former tool, an empty one, or an export beside the one they use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from ._toml import read_bytes, table
from .formats import recognise
from .read import read_lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .pyproject import Pyproject

__all__ = ["Unusable", "preferred", "unusable"]

_PACKAGE: Final = re.compile(rb"(?m)^\[\[(?:packages?|distribution)\]\]")
# Empty locks have some 50 to 250 bytes; a larger one is not read for this.
_SMALL_BYTES: Final = 4_096
_HEAD_BYTES: Final = 4_096
_PIPENV: Final = re.compile(rb"""(?m)^created-by\s*=\s*["']pipenv["']""")


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a lock cannot be the one."""

    text: str
    not_pinned: bool = False
    """It is a file of requirements, and not a lock."""


def unusable(lock: Path, pyproject: Pyproject, present: Sequence[Path]) -> Unusable | None:
    """Return why a lock is passed over however few others there are; None if it may count."""
    form = recognise(lock)
    if form == "requirements":
        return _not_pinned(lock)
    if form == "pipfile":
        return None
    try:
        size = lock.stat().st_size
    except OSError:
        return None  # reading it will say what is wrong
    data = read_bytes(lock) if size <= _SMALL_BYTES or form == "pylock" else b""
    if size <= _SMALL_BYTES and not _PACKAGE.search(data) and _has_dependencies(pyproject):
        return Unusable("it holds no packages, and the project has dependencies")
    names = {other.name for other in present}
    if form == "pylock" and "Pipfile.lock" in names and _PIPENV.search(data[:_HEAD_BYTES]):
        return Unusable("pipenv wrote it beside its own Pipfile.lock")
    return None


def preferred(locks: Sequence[Path], pyproject: Pyproject) -> tuple[Path, str]:
    """Return the lock that counts, of those in one directory, and why the others do not."""
    by_format = {recognise(lock): lock for lock in reversed(locks)}
    backend = pyproject.backend
    if (lock := by_format.get("poetry")) and (pyproject.tool("poetry") or backend.startswith("poetry.")):
        return lock, "the project file is one of poetry"
    if (lock := by_format.get("pdm")) and (pyproject.tool("pdm") or backend.startswith("pdm.")):
        return lock, "the project file is one of pdm"
    if lock := by_format.get("uv"):
        if pyproject.tool("uv") or backend == "uv_build":
            return lock, "the project file is one of uv"
        if pyproject.name is not None and _names_package(lock, pyproject.name):
            return lock, "uv.lock holds the project itself"
    return locks[0], f"{locks[0].name} comes first"


def _not_pinned(lock: Path) -> Unusable | None:
    try:
        read_lock(lock)
    except LockError as error:
        if error.code == "lock.not-pinned":
            return Unusable(error.message, not_pinned=True)
    # Whatever else is wrong with it will be said when it is read.
    return None


def _names_package(lock: Path, name: str) -> bool:
    pattern = rb'(?m)^name = "' + re.escape(name).encode() + rb'"$'
    return re.search(pattern, read_bytes(lock)) is not None


def _has_dependencies(pyproject: Pyproject) -> bool:
    """Tell whether anything is depended on; `python` in poetry's table is the interpreter."""
    poetry = set(table(pyproject.tool("poetry"), "dependencies")) - {"python"}
    return bool(pyproject.requirements() or pyproject.groups or poetry)
