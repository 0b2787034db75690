"""An existing virtual environment: where its files go, and what is installed in it.

1. Every path that is written or removed lies in the environment, as written and with links resolved.
2. What is not surely a virtual environment is refused: a path set, a base interpreter, a half-made directory.

Specifications: PEP 405 (`pyvenv.cfg`), recording installed projects (`.dist-info`, RECORD).
"""

from __future__ import annotations

import csv
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from packaging.utils import canonicalize_name

from sprawld.errors import StoreError
from sprawld.store import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["Venv", "read_settings"]

SMALL_BYTES: Final = 1 << 20
"""Limit for pyvenv.cfg and METADATA."""
RECORD_BYTES: Final = 64 << 20
"""Of the largest distributions, RECORD has some megabytes."""

_State = Literal["inside", "absent", "outside"]

_LIBRARY: Final = re.compile(r"python(\d+\.\d+)t?")
_VERSION: Final = re.compile(r"\d+\.\d+")
_INTERPRETER: Final = re.compile(r"python[0-9.]*t?")


@dataclass(slots=True, kw_only=True)
class Venv:
    """A virtual environment on disk; all paths absolute."""

    root: str
    library: str
    """Directory under `lib/`: `python3.12`."""
    _real_root: str
    _looked: dict[str, _State] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Venv:
        """Look at the directory; StoreError `install.not-a-venv` tells what is missing."""
        root = os.path.abspath(path)
        try:
            settings = read_settings(f"{root}/pyvenv.cfg")
        except OSError:
            raise _not_a_venv(root, "it has no pyvenv.cfg") from None
        if "virtual-sprawl" in settings:
            raise _not_a_venv(root, "it is a path set, which is never changed")
        if not os.path.exists(f"{root}/bin/python"):
            raise _not_a_venv(root, "it has no bin/python")
        version = _VERSION.match(settings.get("version") or settings.get("version_info") or "")
        found = sorted(_libraries(root, version.group() if version else ""))
        if len(found) != 1:
            raise _not_a_venv(root, f"it has {len(found)} site-packages directories that fit its pyvenv.cfg")
        return cls(root=root, library=found[0], _real_root=os.path.realpath(root), _looked={root: "inside"})

    @classmethod
    def made(cls, root: str, library: str) -> Venv:
        """Return the environment that the caller has just made at the absolute path `root`."""
        return cls(root=root, library=library, _real_root=os.path.realpath(root), _looked={root: "inside"})

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return f"{self.root}/bin/python"

    @property
    def site_packages(self) -> str:
        """Where modules go, pure or not."""
        return f"{self.root}/lib/{self.library}/site-packages"

    @property
    def headers(self) -> str:
        """Where the headers of distributions go, each in a directory of its own."""
        return f"{self.root}/include/site/{self.library}"

    def contains(self, path: str) -> bool:
        """Tell whether a normalised absolute path may be written or removed.

        That is inside the environment, also with the links among its directories resolved, and no part of the
        environment itself.
        """
        directory, _, name = path.rpartition("/")
        if not path.startswith(f"{self.root}/"):
            return False
        if directory == self.root and name == "pyvenv.cfg":
            return False
        if directory == f"{self.root}/bin" and _INTERPRETER.fullmatch(name):
            return False
        return self._look(directory) != "outside"

    def has_room(self, path: str) -> bool:
        """Tell whether a file may be put at a path: `contains`, and no directory lies there."""
        directory = path.rpartition("/")[0]
        if self._looked.get(directory) == "absent" and directory != f"{self.root}/bin":
            # Only what `contains` let pass was ever looked at.
            return True
        if not self.contains(path):
            return False
        return self._look(directory) == "absent" or not os.path.isdir(path)

    def _look(self, directory: str) -> _State:
        """Look at a directory at or below the root, once; what is below an absent one is absent."""
        known = self._looked.get(directory)
        if known is None:
            known = self._look(os.path.dirname(directory))
            if known == "inside":
                known = self._look_here(directory)
            self._looked[directory] = known
        return known

    def _look_here(self, directory: str) -> _State:
        try:
            mode = os.lstat(directory).st_mode
        except FileNotFoundError:
            return "absent"
        if stat.S_ISLNK(mode):
            real = os.path.realpath(directory)
            return "inside" if f"{real}/".startswith(f"{self._real_root}/") else "outside"
        return "inside" if stat.S_ISDIR(mode) else "outside"

    def installed(self, name: NormalizedName) -> Iterator[str]:
        """Yield the `.dist-info` directory names of a distribution.

        StoreError `install.no-record` where it is installed in a form that has no RECORD.
        """
        for child in sorted(os.listdir(self.site_packages)):
            stem, extension = os.path.splitext(child)
            if extension not in (".dist-info", ".egg-info", ".egg-link"):
                continue
            if canonicalize_name(_name_in(stem, extension)) != name:
                continue
            if extension != ".dist-info":
                raise _no_record(child, "it was installed without a RECORD")
            yield child

    def recorded(self, dist_info: str) -> list[str]:
        """Return the absolute paths of a distribution's files, as its RECORD lists them.

        StoreError `install.no-record` if it is missing or damaged, or names a file that is not the
        environment's to remove.
        """
        try:
            text = files.read_small(f"{self.site_packages}/{dist_info}/RECORD", RECORD_BYTES).decode()
            rows = [row[0] for row in csv.reader(text.splitlines(), strict=True) if row]
        except (OSError, ValueError, csv.Error) as error:
            raise _no_record(dist_info, f"its RECORD cannot be read: {error}") from error
        paths = [os.path.normpath(os.path.join(self.site_packages, row)) for row in rows]
        for path in paths:
            if not self.contains(path):
                raise _no_record(dist_info, f"its RECORD names {path!r}, which is not the environment's")
        return paths

    def remove(self, dist_info: str) -> None:
        """Remove an installed distribution: its files, their bytecode, and directories left empty."""
        sources: dict[str, set[str]] = {}
        parents = set()
        for path in self.recorded(dist_info):
            parent, name = os.path.split(path)
            parents.add(parent)
            if name.endswith(".py"):
                sources.setdefault(parent, set()).add(name[:-3])
            _unlink(path)
        for parent, modules in sources.items():
            self._remove_bytecode(f"{parent}/__pycache__", modules)
        self._prune(parents | {f"{parent}/__pycache__" for parent in sources})

    def _remove_bytecode(self, directory: str, modules: set[str]) -> None:
        try:
            names = os.listdir(directory)
        except OSError:
            return
        for name in names:
            if (
                name.endswith(".pyc")
                and name.partition(".")[0] in modules
                and self.contains(f"{directory}/{name}")
            ):
                _unlink(f"{directory}/{name}")

    def _prune(self, directories: set[str]) -> None:
        kept = {
            self.root,
            self.site_packages,
            f"{self.root}/bin",
            f"{self.root}/include",
            f"{self.root}/share",
        }
        for directory in sorted(directories, key=len, reverse=True):
            while directory not in kept and self.contains(directory):
                try:
                    os.rmdir(directory)
                except OSError:
                    # Somebody else's file lies in it, or it is gone.
                    if os.path.lexists(directory):
                        break
                directory = os.path.dirname(directory)


def read_settings(path: str) -> dict[str, str]:
    """Return the keys and values of a pyvenv.cfg; OSError."""
    text = files.read_small(path, SMALL_BYTES).decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _libraries(root: str, version: str) -> Iterator[str]:
    try:
        names = os.listdir(f"{root}/lib")
    except OSError:
        return
    for name in names:
        match = _LIBRARY.fullmatch(name)
        if match and version in ("", match[1]) and os.path.isdir(f"{root}/lib/{name}/site-packages"):
            yield name


def _name_in(stem: str, extension: str) -> str:
    if extension == ".dist-info":
        # A version has no dash; a name written by an old installer may have one.
        return stem.rpartition("-")[0]
    # `name-version-py3.12.egg-info`, or without a version.
    return stem.partition("-")[0] if extension == ".egg-info" else stem


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # Removed by hand; or a directory that RECORD should not list.
        return


def _not_a_venv(root: str, reason: str) -> StoreError:
    return StoreError(
        "install.not-a-venv",
        f"{root} is not a virtual environment: {reason}",
        hint="make one with `python -m venv DIRECTORY`",
    )


def _no_record(what: str, reason: str) -> StoreError:
    return StoreError(
        "install.no-record",
        f"{what} cannot be replaced: {reason}",
        hint="remove it with the installer that put it there",
    )
