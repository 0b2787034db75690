"""Which local projects of a selection are served where they lie: the one that is run, and others beside it.

1. The tool decides what is installed: uv and pylock list the project, poetry and pdm install it unlisted, pip
   installs what a line names.
2. Only trees of the same clone are served: below the directory of the lock, or of the repository around it.
   A lock that came from others must not put a directory from elsewhere on sys.path.
3. A tree that was not asked for as editable is served like one that was: its files are not copied.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.model import Choice, Pin, Source

from .trust import Upwards

if TYPE_CHECKING:
    from sprawld.model import Selection, Wanted

    from .project import LocalProject

__all__ = ["with_overlays"]

_TREES = ("editable", "directory")


def with_overlays(selection: Selection, wanted: Wanted) -> tuple[Selection, tuple[Path, ...]]:
    """Return the selection with an overlay, or the obstacle to one, in each choice of a local tree.

    The second value are the files that were looked at. Blocks; raises nothing.
    """
    choices = list(selection.choices)
    own = selection.project
    listed = {choice.pin.name for choice in choices}
    if own.is_installed and own.name is not None and own.name not in listed and not wanted.only_groups:
        pin = Pin(name=own.name, version=own.version, source=Source(kind="editable", path=own.root))
        choices.append(Choice(pin=pin, kind="editable"))
        choices.sort(key=lambda choice: choice.pin.name)
    warnings: list[str] = []
    watched: dict[Path, None] = {}
    for number, choice in enumerate(choices):
        if choice.kind in _TREES:
            found = _read(choice, selection)
            watched |= dict.fromkeys(found.watched)
            choices[number] = replace(choice, overlay=found.overlay, obstacle=found.obstacle)
            warnings += _warnings(choices[number], found, selection)
    return (
        replace(selection, choices=tuple(choices), warnings=(*selection.warnings, *warnings)),
        tuple(watched),
    )


def _read(choice: Choice, selection: Selection) -> LocalProject:
    # With all that it knows of project files, for those that are projects themselves.
    from .project import LocalProject, read_project

    directory = _directory(choice)
    is_run = directory == Path(os.path.normpath(selection.project.root))
    if not is_run and not _is_in_clone(directory, selection.lock):
        return LocalProject(obstacle=f"{directory} lies outside of the project")
    return read_project(
        directory,
        choice.pin.name,
        version=choice.pin.version,
        is_run=is_run,
        default_backend="poetry" if is_run and selection.format.startswith("poetry") else "setuptools",
    )


def _directory(choice: Choice) -> Path:
    source = choice.pin.source
    assert source.path is not None
    return Path(os.path.normpath(source.path / (source.subdirectory or "")))


def _is_in_clone(directory: Path, lock: Path) -> bool:
    real = Path(os.path.realpath(directory))
    around = Path(os.path.realpath(lock.parent))
    home = Path(os.path.realpath(Path.home()))
    tops = (above for above in Upwards(around, home) if os.path.lexists(above / ".git"))
    return real.is_relative_to(next(tops, around))


def _warnings(choice: Choice, found: LocalProject, selection: Selection) -> list[str]:
    name = choice.pin.name
    if found.overlay is None:
        is_run = _directory(choice) == Path(os.path.normpath(selection.project.root))
        text = f"the project itself ({name}) is not in the set, only what it depends on: {found.obstacle}"
        return [text] if is_run else []
    texts = [f"{name}: {note}" for note in found.notes]
    if choice.kind == "directory":
        texts.append(f"{name}: served from {found.overlay.root} as if it were editable, not copied")
    return texts
