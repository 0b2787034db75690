"""The version of a project in a source tree, where it can be told without running anything.

1. What the project file states counts; then what the build backend would read from a file; then what an
   earlier build wrote into a file; then the fallback that the project names for when there is nothing else.
2. Regular expressions of a project are not run: one can take for ever. The usual ones all find what the
   pattern here finds.

Specifications: pyproject.toml (`dynamic`), and the documentation of each backend.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion, Version

from ._toml import Table, get, shown, strings, table
from .source_tree import assignments

if TYPE_CHECKING:
    from collections.abc import Callable

    from .setup_files import SetupFacts
    from .source_tree import SourceTree

__all__ = ["FALLBACK", "static_version"]

FALLBACK: Final = "0+unknown"
"""Stands for a version that cannot be told; lower than any release."""

_IN_FILE: Final = re.compile(
    r"""^(?:__version__|VERSION)(?:[ ]?:[ ]?[\w.\[\]]+)?[ ]*=[ ]*(["'])v?([^"'\s]{1,100})\1""",
    re.MULTILINE | re.IGNORECASE,
)


def static_version(tree: SourceTree, setup: SetupFacts) -> str | None:
    """Return the version, normalised; None if it cannot be told. Adds to the notes of the tree."""
    project = tree.pyproject.project
    stated = tree.pyproject.version
    if stated is None and not (project and "version" not in strings(project, "dynamic")):
        reader = _READERS.get(tree.backend)
        stated = reader(tree, setup) if reader is not None else None
        stated = stated or _written(tree) or _fallback(tree)
    if stated is None:
        return None
    try:
        return str(Version(stated))
    except InvalidVersion:
        tree.note(f"{shown(repr(stated))} is not a version")
        return None


def _setuptools(tree: SourceTree, setup: SetupFacts) -> str | None:
    dynamic = table(table(tree.pyproject.tool("setuptools"), "dynamic"), "version")
    attribute, files = get(dynamic, "attr", str), dynamic.get("file")
    if attribute:
        return _attribute(tree, setup, attribute)
    if files:
        return _first_line(tree, files)
    if setup.version.startswith("attr:"):
        return _attribute(tree, setup, setup.version.removeprefix("attr:").strip())
    if setup.version.startswith("file:"):
        return _first_line(tree, setup.version.removeprefix("file:").strip())
    return setup.version or None


def _attribute(tree: SourceTree, setup: SetupFacts, dotted: str) -> str | None:
    """Find `package.module.name` as setuptools does: an assignment of a literal in that module's file."""
    module, _, name = dotted.rpartition(".")
    place = module.replace(".", "/")
    package_dir = table(tree.pyproject.tool("setuptools"), "package-dir") or setup.package_dir
    first, _, rest = place.partition("/")
    bases = [str(package_dir[""])] if "" in package_dir else ["src", "."]
    candidates = [f"{base}/{place}" for base in bases]
    if first in package_dir:
        candidates.insert(0, "/".join(filter(None, (str(package_dir[first]), rest))))
    for candidate in candidates:
        for path in (f"{candidate}/__init__.py", f"{candidate}.py"):
            if module and tree.is_file(path):
                return _assigned(tree, path, name)
    return None


def _assigned(tree: SourceTree, path: str, *names: str) -> str | None:
    module = tree.parse(path)
    found: object = None
    for name, value in assignments(module) if module is not None else ():
        if name in names:
            found = value
    if isinstance(found, (list, tuple)):
        found = ".".join(map(str, found))
    return found if isinstance(found, str) else None


def _first_line(tree: SourceTree, files: object) -> str | None:
    path = files[0] if isinstance(files, list) and len(files) == 1 else files
    text = tree.read(path) if isinstance(path, str) else None
    return text.strip() if text is not None and len(text) < 200 else None


def _hatch(tree: SourceTree, setup: SetupFacts) -> str | None:
    settings = table(tree.pyproject.tool("hatch"), "version")
    path = get(settings, "path", str)
    if path is None or (get(settings, "source", str) or "regex") not in ("regex", "code"):
        return None
    if settings.get("source") == "code":
        return _assigned(tree, path, get(settings, "expression", str) or "__version__")
    return _found(tree, path)


def _found(tree: SourceTree, path: str) -> str | None:
    match = _IN_FILE.search(tree.read(path) or "")
    return match[2] if match is not None else None


def _flit(tree: SourceTree, setup: SetupFacts) -> str | None:
    settings = tree.pyproject.tool("flit")
    name = get(table(settings, "module"), "name", str) or (tree.pyproject.name or "").replace("-", "_")
    place = name.replace(".", "/")
    for base in ("src", "."):
        for path in (f"{base}/{place}/__init__.py", f"{base}/{place}.py"):
            if tree.is_file(path):
                return _assigned(tree, path, "__version__")
    return None


def _pdm(tree: SourceTree, setup: SetupFacts) -> str | None:
    settings = table(tree.pyproject.tool("pdm"), "version")
    path = get(settings, "path", str) or get(settings, "from", str)
    return _found(tree, path) if path is not None and settings.get("source", "file") == "file" else None


def _poetry(tree: SourceTree, setup: SetupFacts) -> str | None:
    return get(tree.pyproject.tool("poetry"), "version", str)


_READERS: Final[dict[str, Callable[[SourceTree, SetupFacts], str | None]]] = {
    "flit": _flit,
    "hatch": _hatch,
    "pdm": _pdm,
    "poetry": _poetry,
    "setuptools": _setuptools,
}


def _from_history(tree: SourceTree) -> tuple[Table, ...]:
    """Return the tables of tools that make the version from the history of the repository."""
    hatch = tree.pyproject.tool("hatch")
    return (
        tree.pyproject.tool("setuptools_scm"),
        table(hatch, "version"),
        table(table(hatch, "version"), "raw-options"),
        table(table(table(hatch, "build"), "hooks"), "vcs"),
        table(tree.pyproject.tool("pdm"), "version"),
    )


def _written(tree: SourceTree) -> str | None:
    """Return what an earlier build wrote into a file; the package may need that file to be imported."""
    for settings in _from_history(tree):
        for key in ("version_file", "version-file", "write_to"):
            path = get(settings, key, str)
            if path is None:
                continue
            if tree.is_file(path):
                version = _assigned(tree, path, "__version__", "version")
                if version is not None:
                    return version
            else:
                tree.watch(path)
                tree.note(f"{shown(path)} is not there: only a build writes it (run one, as `uv build`)")
    return None


def _fallback(tree: SourceTree) -> str | None:
    keys = ("fallback_version", "fallback-version")
    found = (get(settings, key, str) for settings in _from_history(tree) for key in keys)
    return next(filter(None, found), None)
