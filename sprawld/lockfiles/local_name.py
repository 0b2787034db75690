"""The name of a project in a local directory, as far as its static metadata tells; no code of it is run.

Specifications: pyproject.toml ([project]), and [tool.poetry] and setup.cfg of older projects.
"""

from __future__ import annotations

import configparser
import re
from typing import TYPE_CHECKING

from sprawld.errors import LockError
from sprawld.model import Project

from ._toml import Fault, get, read_bytes
from .artifacts import package_name
from .pyproject import read_pyproject

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["local_project", "local_project_name"]

_CONFIGURATION_BYTES = 1 << 20


def local_project(lock: Path) -> tuple[Project, Path]:
    """Return the project that a lock lies beside, for formats that need no pyproject.toml; and that file.

    A project file that does not parse is none: it has no say in what such a lock means.
    """
    file = lock.parent / "pyproject.toml"
    try:
        pyproject = read_pyproject(lock.parent)
    except LockError:
        return Project(root=lock.parent), file
    return Project(root=lock.parent, name=pyproject.name, version=pyproject.version), file


def local_project_name(directory: Path) -> NormalizedName:
    """Return the name of the project in `directory`; without metadata, that of the directory itself."""
    found = _from_pyproject(directory) or _from_configuration(directory)
    if found is not None:
        return found
    return package_name(re.sub(r"[^A-Za-z0-9]+", "-", directory.resolve().name).strip("-") or "project")


def _from_pyproject(directory: Path) -> NormalizedName | None:
    try:
        pyproject = read_pyproject(directory)
        if pyproject.name is not None:
            return pyproject.name
        name = get(pyproject.tool("poetry"), "name", str)
        return package_name(name) if name else None
    except (LockError, Fault):
        return None


def _from_configuration(directory: Path) -> NormalizedName | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        data = read_bytes(directory / "setup.cfg", _CONFIGURATION_BYTES)
        parser.read_string(data.decode("utf-8"))
        name = parser.get("metadata", "name", fallback="")
        return package_name(name) if name else None
    except (LockError, Fault, ValueError, configparser.Error):
        return None
