"""uv.lock and script locks: what is in the file.

Specification: uv's lockfile, version 1 (revisions 0 to 5; a revision never breaks older readers, so unknown
keys are ignored). Selection is in `uv_walk`, files and sources in `uv_files`. Markers, extras and groups are
explained there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sprawld.model import Project

from . import uv_walk
from ._toml import Fault, Table, each, get, read_text, reading, require, strings, table
from .artifacts import package_name
from .pieces import PACKAGES
from .pyproject import Pyproject, read_pyproject
from .remedies import earlier_release
from .uv_fresh import differences
from .uv_package import edge_groups, markers, packages, requirement
from .uv_roots import conflict_item, find_roots

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Pin, Wanted

    from .markers import Marker
    from .uv_package import Edge, Package

    ByName = Mapping[NormalizedName, tuple[Package, ...]]

__all__ = ["UvLock", "read"]

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UvLock:
    """A uv.lock or script lock; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    format: str
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool = True
    requires_python: str | None
    supported: tuple[Marker, ...]
    conflicts: tuple[frozenset[str], ...]
    """Sets of mutually exclusive items, each written as in conflict markers."""
    members: tuple[NormalizedName, ...]
    requirements: tuple[Edge, ...]
    """Of a script, or of a workspace root without a project."""
    groups: Mapping[NormalizedName, tuple[Edge, ...]]
    """Of a workspace root without a project."""
    by_name: ByName
    is_script: bool
    pyproject: Pyproject
    """Of the member or workspace root that is run; default groups and known names come from it."""
    warnings: tuple[str, ...] = ()

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `uv sync --frozen` would install; see `sprawld.lockfiles.lock.Lock`."""
        with reading(self.path):
            return uv_walk.select(self, environment, wanted)


def read(path: Path, root: Path | None = None) -> UvLock:
    """Read a uv.lock or script lock; `root` is the directory of the workspace member that is run.

    Raises LockError (`lock.*`) naming the file and the place in it.
    """
    document = PACKAGES.parse(path, read_text(path))
    with reading(path):
        _check_version(document)
        manifest = table(document, "manifest")
        by_name = packages(document)
        requirements = each(manifest, "requirements", requirement)
        is_script = _is_script(path, requirements, by_name)
    directory = path.parent if root is None else root
    pyproject = Pyproject(path, {}) if is_script else read_pyproject(directory)
    with reading(path):
        lock = UvLock(
            path=path,
            format=f"uv {VERSION}.{get(document, 'revision', int) or 0}",
            project=_project(directory, pyproject, by_name),
            inputs=(path,) if is_script else tuple(dict.fromkeys((path, pyproject.path))),
            requires_python=get(document, "requires-python", str),
            supported=markers(document, "supported-markers"),
            conflicts=_conflicts(document),
            members=tuple(map(package_name, strings(manifest, "members"))),
            requirements=requirements,
            groups=edge_groups(manifest, "dependency-groups", requirement),
            by_name=by_name,
            is_script=is_script,
            pyproject=pyproject,
        )
        find_roots(lock)
        return replace(lock, warnings=_warnings(lock))


def _warnings(lock: UvLock) -> tuple[str, ...]:
    own = [package for package in find_roots(lock) if package.name == lock.pyproject.name]
    found = [differences(package, lock.pyproject) for package in own]
    return tuple(text for text in found if text is not None)


def _check_version(document: Table) -> None:
    version = get(document, "version", int)
    if version != VERSION or "distribution" in document:
        hint = earlier_release("uv") if version is not None and version > VERSION else ""
        raise Fault(
            "lock.unsupported", f"uv lock version {version} is not read, only version {VERSION}", hint=hint
        )


def _is_script(path: Path, requirements: tuple[Edge, ...], by_name: ByName) -> bool:
    if path.name == "uv.lock":
        return False
    if requirements or path.with_suffix("").is_file():
        return True
    return not any(package.is_root for group in by_name.values() for package in group)


def _project(directory: Path, pyproject: Pyproject, by_name: ByName) -> Project:
    name, version = pyproject.name, pyproject.version
    if name is not None and version is None and name in by_name:
        version = by_name[name][0].version
    return Project(root=directory, name=name, version=version)


def _conflicts(document: Table) -> tuple[frozenset[str], ...]:
    sets = get(document, "conflicts", list) or []
    built = []
    for index, _ in enumerate(sets):
        wrapped = {f"conflicts[{index}]": sets[index]}
        built.append(frozenset(each(wrapped, f"conflicts[{index}]", _conflict_item)))
    return tuple(built)


def _conflict_item(item: Table) -> str:
    package = package_name(require(item, "package", str))
    for kind in ("extra", "group"):
        name = get(item, kind, str)
        if name is not None:
            return conflict_item(kind, package, package_name(name))
    return conflict_item("project", package)
