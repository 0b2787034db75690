"""uv.lock and script locks: what is in the file.

Specification: uv's lockfile, version 1 (revisions 0 to 5; a revision never breaks older readers, so unknown
keys are ignored). Selection is in `uv_walk`, files and sources in `uv_files`. Markers, extras and groups are
explained there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sprawld.model import Project

from . import uv_walk
from ._toml import Fault, Table, at, each, get, read_toml, reading, require, strings, table
from .artifacts import package_name, package_version
from .markers import Marker, parse_marker
from .pyproject import Pyproject, read_pyproject
from .uv_roots import RELOCK, conflict_item, find_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Pin, SourceKind, Wanted

__all__ = ["Edge", "Package", "UvLock", "read"]

VERSION: Final = 1
_SOURCE_KINDS: Final[tuple[SourceKind, ...]] = (
    "registry",
    "git",
    "url",
    "path",
    "directory",
    "editable",
    "virtual",
)
_NO_EDGES: Final[Mapping[NormalizedName, tuple[Edge, ...]]] = {}
_LOCAL_KINDS: Final = ("editable", "virtual", "directory")


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency of a package, of one of its extras or groups, or of a script."""

    name: NormalizedName
    version: str | None
    source: Table | None
    """Version and source are there where the name alone is not enough."""
    extras: tuple[NormalizedName, ...]
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class Package:
    """One [[package]]."""

    index: int
    """Place in the file, for messages."""
    name: NormalizedName
    version: str | None
    kind: SourceKind
    source: Table
    dependencies: tuple[Edge, ...]
    extras: Mapping[NormalizedName, tuple[Edge, ...]]
    groups: Mapping[NormalizedName, tuple[Edge, ...]]
    forks: tuple[Marker, ...]
    """Where this version applies, if several versions of the package are locked."""
    table: Table

    @property
    def is_local(self) -> bool:
        """True for source trees: workspace members and local directories."""
        return self.kind in _LOCAL_KINDS

    @property
    def is_root(self) -> bool:
        """True for the package whose source tree is the lock's own directory."""
        return self.is_local and self.source[self.kind] in (".", "")


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
    by_name: Mapping[NormalizedName, tuple[Package, ...]]
    is_script: bool
    pyproject: Pyproject
    """Of the member or workspace root that is run; default groups and known names come from it."""
    warnings: tuple[str, ...] = field(default=())

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `uv sync --frozen` would install; see `sprawld.lockfiles.lock.Lock`."""
        with reading(self.path):
            return uv_walk.select(self, environment, wanted)


def read(path: Path, root: Path | None = None) -> UvLock:
    """Read a uv.lock or script lock; `root` is the directory of the workspace member that is run.

    Raises LockError (`lock.*`) naming the file and the place in it.
    """
    document = read_toml(path)
    with reading(path):
        _check_version(document)
        manifest = table(document, "manifest")
        packages = _packages(document)
        by_name: dict[NormalizedName, tuple[Package, ...]] = {}
        for package in packages:
            by_name[package.name] = (*by_name.get(package.name, ()), package)
        requirements = each(manifest, "requirements", _requirement)
        is_script = _is_script(path, requirements, packages)
    directory = path.parent if root is None else root
    pyproject = Pyproject(path, {}) if is_script else read_pyproject(directory)
    with reading(path):
        lock = UvLock(
            path=path,
            format=f"uv {VERSION}.{get(document, 'revision', int) or 0}",
            project=_project(path, pyproject, by_name),
            inputs=(path,) if is_script else tuple(dict.fromkeys((path, pyproject.path))),
            requires_python=get(document, "requires-python", str),
            supported=_markers(document, "supported-markers"),
            conflicts=_conflicts(document),
            members=tuple(map(package_name, strings(manifest, "members"))),
            requirements=requirements,
            groups=_edge_groups(manifest, "dependency-groups", _requirement),
            by_name=by_name,
            is_script=is_script,
            pyproject=pyproject,
        )
        find_roots(lock)
        return lock


def _check_version(document: Table) -> None:
    version = get(document, "version", int)
    if version != VERSION or "distribution" in document:
        raise Fault(
            "lock.unsupported", f"uv lock version {version} is not read, only version {VERSION}", hint=RELOCK
        )


def _is_script(path: Path, requirements: tuple[Edge, ...], packages: tuple[Package, ...]) -> bool:
    if path.name == "uv.lock":
        return False
    script = path.with_suffix("")
    return bool(requirements) or script.is_file() or not any(package.is_root for package in packages)


def _project(
    path: Path, pyproject: Pyproject, by_name: Mapping[NormalizedName, tuple[Package, ...]]
) -> Project:
    name, version = pyproject.name, pyproject.version
    if name is not None and version is None and name in by_name:
        version = by_name[name][0].version
    return Project(root=path.parent, name=name, version=version)


def _packages(document: Table) -> tuple[Package, ...]:
    counter = iter(range(1 << 30))
    return each(document, "package", lambda item: _package(next(counter), item))


def _package(index: int, item: Table) -> Package:
    name = package_name(require(item, "name", str))
    version = get(item, "version", str)
    source = table(item, "source")
    groups = "dev-dependencies" if "dev-dependencies" in item else "dependency-groups"
    return Package(
        index=index,
        name=name,
        version=None if version is None else package_version(version),
        kind=_kind(source),
        source=source,
        dependencies=each(item, "dependencies", _edge),
        extras=_edge_groups(item, "optional-dependencies", _edge),
        groups=_edge_groups(item, groups, _edge),
        forks=_markers(item, "resolution-markers"),
        table=item,
    )


def _kind(source: Table) -> SourceKind:
    for kind in _SOURCE_KINDS:
        if kind in source:
            require(source, kind, str)
            return kind
    raise Fault("lock.invalid", f"source: none of {', '.join(_SOURCE_KINDS)}")


def _edge(item: Table) -> Edge:
    source = item.get("source")
    if source is not None:
        _kind(table(item, "source"))
    return Edge(
        name=package_name(require(item, "name", str)),
        version=get(item, "version", str),
        source=source if isinstance(source, dict) else None,
        extras=tuple(map(package_name, strings(item, "extra"))) if "extra" in item else (),
        marker=parse_marker(get(item, "marker", str)),
    )


def _requirement(item: Table) -> Edge:
    """A requirement of the manifest names a package by its name; forks decide between versions."""
    return Edge(
        name=package_name(require(item, "name", str)),
        version=None,
        source=None,
        extras=tuple(map(package_name, strings(item, "extras"))),
        marker=parse_marker(get(item, "marker", str)),
    )


def _edge_groups(
    source: Table, key: str, build: Callable[[Table], Edge]
) -> Mapping[NormalizedName, tuple[Edge, ...]]:
    groups = table(source, key)
    if not groups:
        return _NO_EDGES
    with at(key):
        return {package_name(name): each(groups, name, build) for name in groups}


def _markers(source: Table, key: str) -> tuple[Marker, ...]:
    with at(key):
        return tuple(marker for text in strings(source, key) if (marker := parse_marker(text)) is not None)


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
