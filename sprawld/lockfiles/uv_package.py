"""Packages of a uv.lock and the edges between them, as the file has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

from ._toml import Fault, Table, at, each, get, require, strings, table, tables
from .artifacts import package_name, package_version
from .markers import Marker, parse_marker
from .pieces import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packaging.utils import NormalizedName

    from sprawld.model import Artifact, Source, SourceKind

__all__ = ["Edge", "Package", "edge_groups", "markers", "packages", "requirement"]

_SOURCE_KINDS: Final[tuple[SourceKind, ...]] = (
    "registry",
    "git",
    "url",
    "path",
    "directory",
    "editable",
    "virtual",
)
# A workspace of a hundred projects has some thousand packages.
_MAXIMUM_PACKAGES: Final = 20_000
# Forks of a universal lock; real ones have up to six versions of a package.
_MAXIMUM_VERSIONS: Final = 200
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
    files: list[tuple[Source, tuple[Artifact, ...]]] = field(default_factory=list, compare=False, repr=False)
    """Source and artifacts once they were checked, where they do not depend on the lock's place."""

    @property
    def is_local(self) -> bool:
        """True for source trees: workspace members and local directories."""
        return self.kind in _LOCAL_KINDS

    @property
    def is_root(self) -> bool:
        """True for the package whose source tree is the lock's own directory."""
        return self.is_local and self.source[self.kind] in (".", "")


def packages(document: Table) -> dict[NormalizedName, tuple[Package, ...]]:
    """Return every package by its name, in the order of the file; raises Fault."""
    if len(tables(document, "package")) > _MAXIMUM_PACKAGES:
        raise Fault("lock.too-large", f"more than {_MAXIMUM_PACKAGES} packages")
    counter = count()
    by_name: dict[NormalizedName, list[Package]] = {}
    for package in each(document, "package", lambda item: _remembered(next(counter), item)):
        others = by_name.setdefault(package.name, [])
        if any(other.version == package.version and other.source == package.source for other in others):
            raise Fault("lock.duplicate-package", f"{package.name} {package.version} is there twice")
        others.append(package)
        if len(others) > _MAXIMUM_VERSIONS:
            raise Fault("lock.invalid", f"more than {_MAXIMUM_VERSIONS} versions of {package.name}")
    return {name: tuple(group) for name, group in by_name.items()}


def _remembered(index: int, item: Table) -> Package:
    package = PACKAGES.built(item, lambda: _package(index, item))
    return package if package.index == index else replace(package, index=index)


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
        extras=edge_groups(item, "optional-dependencies", _edge),
        groups=edge_groups(item, groups, _edge),
        forks=markers(item, "resolution-markers"),
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


def requirement(item: Table) -> Edge:
    """A requirement of the manifest names a package by its name; forks decide between versions."""
    return Edge(
        name=package_name(require(item, "name", str)),
        version=None,
        source=None,
        extras=tuple(map(package_name, strings(item, "extras"))),
        marker=parse_marker(get(item, "marker", str)),
    )


def edge_groups(
    source: Table, key: str, build: Callable[[Table], Edge]
) -> Mapping[NormalizedName, tuple[Edge, ...]]:
    """Return the edges of each extra or group in the table at `key`, by normalised name."""
    groups = table(source, key)
    if not groups:
        return _NO_EDGES
    with at(key):
        return {package_name(name): each(groups, name, build) for name in groups}


def markers(source: Table, key: str) -> tuple[Marker, ...]:
    """Return the markers in the array at `key`."""
    with at(key):
        return tuple(marker for text in strings(source, key) if (marker := parse_marker(text)) is not None)
