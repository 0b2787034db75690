"""What a local project is: the overlay that stands for an editable install of it, or why there is none.

1. Nothing of the project is executed, copied or packed. What only its build backend could tell is missing,
   and told in the notes; without it the code is importable all the same.
2. The project that is run is served whatever its build would do besides, for its user may have built what is
   missing in place. Any other tree is served only if an install of it would do nothing but copy Python files.

Specifications: pyproject.toml, recording installed projects, direct URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprawld.errors import LockError
from sprawld.model import Overlay

from ._toml import Fault, get, shown
from .artifacts import package_name
from .project_layout import find_layout
from .project_metadata import read_metadata
from .project_version import FALLBACK, static_version
from .setup_files import SetupFacts, read_setup_files
from .source_tree import SourceTree

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["LocalProject", "read_project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProject:
    """What was found in a directory."""

    overlay: Overlay | None = None
    obstacle: str = ""
    """Why there is no overlay."""
    notes: tuple[str, ...] = ()
    """What is missing in the overlay."""
    watched: tuple[Path, ...] = ()
    """Files that, by changing or coming into being, may change the answer."""


def read_project(
    directory: Path,
    name: NormalizedName,
    *,
    version: str | None = None,
    is_run: bool = True,
    default_backend: str = "setuptools",
) -> LocalProject:
    """Read the project that a lock knows as `name`, at `version` if it says so. Raises nothing for bad trees.

    `is_run` is true for the project that the lock belongs to. `default_backend` counts where the project file
    names none.
    """
    try:
        tree = SourceTree(directory, default_backend=default_backend)
    except LockError as error:
        return LocalProject(obstacle=error.message, watched=(directory / "pyproject.toml",))
    try:
        overlay, obstacle = _overlay(tree, name, version, is_run=is_run), ""
    except Fault as fault:
        overlay, obstacle = None, fault.message
    return LocalProject(
        overlay=overlay, obstacle=obstacle, notes=tuple(tree.notes), watched=tuple(tree.watched)
    )


def _overlay(tree: SourceTree, name: NormalizedName, version: str | None, *, is_run: bool) -> Overlay:
    if not tree.is_safe(tree.root):
        raise _obstacle(f"{shown(tree.root)} belongs to others or can be written by them")
    setup = read_setup_files(tree) if tree.backend in ("setuptools", "") else SetupFacts()
    spelled = _spelling(tree, setup, name)
    metadata = read_metadata(tree, setup)
    found = find_layout(tree, setup, re.sub(r"[-_.]+", "_", spelled))
    if tree.steps and not is_run:
        raise _obstacle(tree.steps[0])
    for step in tree.steps:
        tree.note(f"{step}: that is not done here")
    if not found.paths and not found.links:
        raise _obstacle("; ".join(tree.notes) or "none of its code was found")
    known = static_version(tree, setup)
    if known is None:
        known = version or FALLBACK
        tree.note(f"its version is made by its build backend: it is {known} here")
    return Overlay(
        name=spelled,
        version=known,
        root=tree.root,
        metadata=metadata.text(spelled, known),
        entry_points=tuple(metadata.entry_points),
        paths=tuple(found.paths),
        links=tuple(sorted(found.links.items())),
        modules=tuple(sorted(found.modules)),
    )


def _spelling(tree: SourceTree, setup: SetupFacts, name: NormalizedName) -> str:
    """Return the name as the tree writes it, which has to be the one of the lock."""
    spelled = get(tree.pyproject.project, "name", str)
    if spelled is None and tree.backend in ("poetry", ""):
        spelled = get(tree.pyproject.tool("poetry"), "name", str)
    spelled = spelled or setup.name or name
    if package_name(spelled) != name:
        raise _obstacle(f"its own name is {shown(spelled)}")
    return spelled


def _obstacle(text: str) -> Fault:
    return Fault("lock.invalid", text)
