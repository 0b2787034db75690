"""poetry.lock: without a version (2018 to 2020), 1.0, 1.1, 2.0 and 2.1.

Specification: poetry's `locker` and `installer`. From 2.1 on each package says to which groups it belongs and
under which markers; before, the graph is walked from pyproject.toml (`poetry_walk`). A later 2.x is read as
2.1 with a warning, as poetry does; 3 and above are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from sprawld.model import Pin, Project

from . import poetry_package, poetry_walk
from ._toml import Fault, Table, each, get, read_toml, reading, require, shown, strings, table
from .advice import python_within
from .artifacts import package_name
from .freshness import poetry_warnings
from .markers import holds
from .poetry_constraints import parse_constraint
from .poetry_project import MAIN, PoetryProject, from_pyproject
from .pyproject import read_pyproject
from .remedies import earlier_release, warning
from .wanted import active_extras, active_groups

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Wanted

    from .poetry_package import Package, SharedFiles

__all__ = ["PoetryLock", "read"]

_NEWEST: Final = (2, 1)
# Real locks have up to five versions of one package.
_MAXIMUM_VERSIONS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryLock:
    """A poetry.lock; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    format: str
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool = True
    version: tuple[int, int]
    """Of the format; (0, 0) for locks from before it had one."""
    python: str
    """Constraint on the interpreter, as poetry writes it."""
    shared: SharedFiles
    packages: Mapping[NormalizedName, tuple[Package, ...]]
    edges: Mapping[NormalizedName, tuple[NormalizedName, ...]]
    """Name -> names in its dependencies, to tell what brought a package in."""
    extras: frozenset[NormalizedName]
    settings: PoetryProject
    has_project_file: bool
    warnings: tuple[str, ...] = ()

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `poetry install` would install; see `sprawld.lockfiles.lock.Lock`.

        Default groups are `main` and every group that is not optional; `no_dev` leaves `main`.
        """
        with reading(self.path):
            self._check_python(environment)
            extras = active_extras(wanted, self.extras)
            groups = active_groups(
                wanted, known=self._known_groups(), default=self._default_groups(), base=MAIN
            )
            if self.version >= _NEWEST:
                found = self._marked(environment, groups, extras)
            else:
                if not self.has_project_file:
                    raise Fault(
                        "lock.stale",
                        "a poetry.lock from before version 2.1 needs the pyproject.toml it was made from",
                    )
                found = poetry_walk.select(
                    self.packages, self.settings, environment, groups=groups, extras=extras
                )
            found.sort(key=lambda item: item[0].name)
            _check_single([package for package, _ in found])
            return tuple(package.pin(self.path.parent, self.shared, via) for package, via in found)

    def _check_python(self, environment: Environment) -> None:
        release = ".".join(map(str, environment.version))
        constraint = parse_constraint(self.python)
        if not constraint.allows(Version(release)):
            raise Fault(
                "select.requires-python",
                f"the lock is for Python {shown(self.python)}, this is Python {release}",
                hint=python_within(constraint.allows, environment),
            )

    def _known_groups(self) -> list[NormalizedName]:
        if self.has_project_file:
            return list(self.settings.groups)
        recorded = {group for same in self.packages.values() for package in same for group in package.groups}
        return [MAIN, *sorted(recorded - {MAIN})]

    def _default_groups(self) -> list[NormalizedName]:
        """Without a project file nothing says which recorded groups are optional: all are taken."""
        return self.settings.default_groups if self.has_project_file else self._known_groups()

    def _marked(
        self, environment: Environment, groups: frozenset[NormalizedName], extras: frozenset[NormalizedName]
    ) -> list[tuple[Package, tuple[str, ...]]]:
        """Select what is in a wanted group whose marker holds."""
        found = [
            package
            for same in self.packages.values()
            for package in same
            if any(
                holds(package.markers.get(group, package.markers[None]), environment, extras=extras)
                for group in package.groups & groups
            )
        ]
        parents: dict[NormalizedName, list[str]] = {}
        for package in found:
            for name in self.edges[package.name]:
                parents.setdefault(name, []).append(package.name)
        return [
            (package, tuple(sorted(set(parents.get(package.name) or package.groups & groups))))
            for package in found
        ]


def _check_single(packages: list[Package]) -> None:
    for package, following in pairwise(packages):
        if package.name == following.name:
            raise Fault(
                "lock.duplicate-package",
                f"{package.name} {package.version} and {following.version} apply at the same time",
            )


def read(path: Path, root: Path | None = None) -> PoetryLock:
    """Read a poetry.lock and the pyproject.toml beside it; `root` is not used, poetry has no workspaces.

    Raises LockError (`lock.*`) naming the file and the place in it.
    """
    document = read_toml(path)
    with reading(path):
        metadata = require(document, "metadata", dict)
        version = _version(metadata)
        python = get(metadata, "python-versions", str) or "*"
        content_hash = get(metadata, "content-hash", str) or ""
        shared = poetry_package.shared_files(metadata)
        counter = iter(range(1 << 30))
        packages: dict[NormalizedName, list[Package]] = {}
        for package in each(document, "package", lambda item: poetry_package.from_table(next(counter), item)):
            same = packages.setdefault(package.name, [])
            same.append(package)
            if len(same) > _MAXIMUM_VERSIONS:
                raise Fault("lock.invalid", f"more than {_MAXIMUM_VERSIONS} versions of {package.name}")
        locked_extras = table(document, "extras")
        extras = frozenset(map(package_name, locked_extras))
        for extra in locked_extras:
            strings(locked_extras, extra)
    pyproject = read_pyproject(path.parent)
    with reading(pyproject.path):
        settings = from_pyproject(pyproject)
    newer = warning(
        "lock.newer", f"poetry.lock {version[0]}.{version[1]} is read as 2.1", earlier_release("poetry")
    )
    text = "without version" if version == (0, 0) else f"{version[0]}.{version[1]}"
    return PoetryLock(
        path=path,
        format=f"poetry {text}",
        project=Project(
            root=path.parent, name=settings.name, version=settings.version, is_installed=settings.is_package
        ),
        inputs=(path, pyproject.path),
        version=version,
        python=python,
        shared=shared,
        packages={name: tuple(same) for name, same in packages.items()},
        edges={name: _needed_names(same) for name, same in packages.items()},
        # Locks of 2018 do not list the extras.
        extras=extras if version >= (1, 0) else frozenset(settings.extras),
        settings=settings,
        has_project_file=pyproject.exists,
        warnings=((newer,) if version > _NEWEST else ()) + poetry_warnings(pyproject.tables, content_hash),
    )


def _needed_names(packages: list[Package]) -> tuple[NormalizedName, ...]:
    names = {package_name(name) for package in packages for name in table(package.table, "dependencies")}
    return tuple(sorted(names))


def _version(metadata: Table) -> tuple[int, int]:
    text = get(metadata, "lock-version", str)
    if text is None:
        return (0, 0)
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and major.isascii() and (minor or "0").isdecimal() and len(text) < 10):
        raise Fault("lock.invalid", f"metadata.lock-version: not a version: {shown(repr(text))}")
    version = (int(major), int(minor or "0"))
    if not (1, 0) <= version < (3, 0):
        raise Fault(
            "lock.unsupported",
            f"poetry.lock version {shown(text)} is not read, only 1.0 to 2.1",
            hint=earlier_release("poetry") if version > _NEWEST else "",
        )
    return version
