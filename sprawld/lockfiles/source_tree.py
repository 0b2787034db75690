"""A local source tree while it is looked at: what lies in it, what was read, and what could not be told.

1. Everything in the tree is attacker input, and nothing of it is executed.
2. A path that a file of the tree names counts only if what it leads to, links followed, lies in the tree, and
   nobody but this user (or root) can write there.
3. Every file whose change could change the answer is in `watched`, whether it exists or not.
"""

from __future__ import annotations

import ast
import itertools
import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from ._toml import read_bytes, shown, table
from .pyproject import Pyproject, read_pyproject

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SourceTree", "assignments"]

FILE_BYTES: Final = 1 << 20
"""Largest file of a tree that is read for a version or a list; honest ones are a few kB."""

MOST_NAMES: Final = 10_000
"""Of one directory that are looked at."""
MOST_NOTES: Final = 50
"""About one tree; who writes more of what is wrong wants to be a nuisance."""

_BACKENDS: Final = {
    "flit_core": "flit",
    "flit": "flit",
    "flit_scm": "flit",
    "hatchling": "hatch",
    "maturin": "maturin",
    "pdm": "pdm",
    "poetry": "poetry",
    "poetry_dynamic_versioning": "poetry",
    "setuptools": "setuptools",
    "uv_build": "uv",
    "uv": "uv",
}
"""First part of a backend's module -> the name by which the other files here know it."""


class SourceTree:
    """The tree at `root`; `notes` are for the user, `steps` say why an install of it would be a build."""

    def __init__(self, root: Path, *, default_backend: str = "setuptools") -> None:
        """Read the tree's project file; LockError where that cannot be done."""
        self.root = os.path.realpath(root)
        self.pyproject: Pyproject = read_pyproject(Path(self.root))
        self.watched: dict[Path, None] = {self.pyproject.path: None}
        self.notes: list[str] = []
        self.steps: list[str] = []
        self.backend = self._backend(default_backend)

    def _backend(self, default: str) -> str:
        """Return the short name of the build backend, or an empty string for one that is not known."""
        named = self.pyproject.backend
        if not named:
            return default
        known = _BACKENDS.get(named.partition(":")[0].partition(".")[0], "")
        if "backend-path" in table(self.pyproject.tables, "build-system"):
            # The module of a known name in the tree is not the one that is known.
            known = ""
        if not known:
            self.steps.append(f"nothing is known of its build backend {shown(repr(named))}")
        return known

    def note(self, text: str) -> None:
        """Keep something that the user should know, once."""
        if len(self.notes) < MOST_NOTES and text not in self.notes:
            self.notes.append(text)

    def watch(self, relative: str) -> None:
        """Let a change of this file, or its coming into being, count as a change of the tree."""
        self.watched[Path(self.root, relative)] = None

    def inside(self, relative: str) -> str | None:
        """Return the absolute real path of what the tree has under this name; None if it leaves the tree."""
        if not relative.isprintable() or relative.startswith(("/", "~")) or "\\" in relative:
            return None
        path = os.path.realpath(f"{self.root}/{relative}")
        if path != self.root and not path.startswith(self.root.rstrip("/") + "/"):
            return None
        # Lines of a .pth end where white space begins.
        return path if path.isprintable() and path == path.strip() else None

    def is_directory(self, relative: str) -> bool:
        """Tell whether the tree has a directory of this name."""
        path = self.inside(relative)
        return path is not None and Path(path).is_dir()

    def is_file(self, relative: str) -> bool:
        """Tell whether the tree has a file of this name."""
        path = self.inside(relative)
        return path is not None and Path(path).is_file()

    def has_module(self, base: str, name: str) -> bool:
        """Tell whether a directory of the tree has a package or module of this (dotted) name."""
        place = f"{base}/{name.replace('.', '/')}"
        return self.is_directory(place) or self.is_file(f"{place}.py")

    def children(self, relative: str) -> list[str]:
        """Return the names in a directory of the tree, sorted; none for what is no directory of it."""
        path = self.inside(relative)
        try:
            children = Path(path).iterdir() if path is not None else ()
            return sorted(child.name for child in itertools.islice(children, MOST_NAMES))
        except OSError:
            return []

    def is_safe(self, path: str) -> bool:
        """Tell whether nobody but this user and root can put files into a directory."""
        try:
            found = os.stat(path)  # noqa: PTH116 - one of many small calls
        except OSError:
            return False
        return found.st_uid in (os.geteuid(), 0) and not found.st_mode & stat.S_IWOTH

    def read(self, relative: str) -> str | None:
        """Return the text of a file of the tree; None, with a note, if that cannot be done."""
        path = self.inside(relative)
        if path is None:
            self.note(f"{shown(repr(relative))} is not a path in the project")
            return None
        self.watch(relative)
        try:
            return read_bytes(Path(path), FILE_BYTES).decode("utf-8-sig")
        except (LockError, UnicodeDecodeError):
            self.note(f"{shown(repr(relative))} cannot be read")
            return None

    def read_optional(self, relative: str) -> str | None:
        """Return the text of a file that need not be there."""
        if self.is_file(relative):
            return self.read(relative)
        self.watch(relative)
        return None

    def parse(self, relative: str) -> ast.Module | None:
        """Return the syntax tree of a Python file of the tree; nothing is executed."""
        text = self.read(relative)
        if text is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.note(f"{shown(repr(relative))} does not parse")
            return None


def assignments(module: ast.Module) -> Iterator[tuple[str, object]]:
    """Yield name and value of each top-level assignment of a literal."""
    for statement in module.body:
        targets: list[ast.expr]
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    yield target.id, ast.literal_eval(value)
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    continue
