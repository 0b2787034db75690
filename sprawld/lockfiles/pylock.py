"""pylock.toml and pylock.NAME.toml.

Specification: pylock.toml, lock-version 1.x. `packaging.pylock` validates; the steps of the specification's
"Installation" are followed here with the markers of this wing, for they must hold for pre-releases too, and
the file is left to `choose`, for it heeds build tags.

Files of known writers that are not quite valid are read where that is safe, see `_soften`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError
from packaging.version import Version

from sprawld.model import Project

from ._toml import Fault, Table, at, get, read_toml, reading, shown, tables
from .advice import excluded_python
from .artifacts import package_name
from .markers import Marker, holds, parse_marker, python_allowed
from .pdm_project import is_package
from .pylock_files import ASK_INDEX, pin
from .pyproject import read_pyproject
from .remedies import earlier_release, warning
from .wanted import active_extras

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from packaging.pylock import Package
    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Pin, Wanted

__all__ = ["Entry", "PylockLock", "read"]

_SOURCES: Final = ("wheels", "sdist", "vcs", "directory", "archive")


@dataclass(frozen=True, slots=True)
class Entry:
    """One [[packages]]."""

    index: int
    marker: Marker | None
    version: str | None
    """As written; the parsed one is normalised."""
    package: Package | None
    """None for an entry without any source."""
    name: NormalizedName


@dataclass(frozen=True, slots=True, kw_only=True)
class PylockLock:
    """A pylock.toml; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    format: str
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool = True
    warnings: tuple[str, ...]
    requires_python: str | None
    environments: tuple[Marker, ...]
    extras: frozenset[NormalizedName]
    groups: frozenset[NormalizedName]
    default_groups: frozenset[NormalizedName]
    entries: tuple[Entry, ...]

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return the packages whose markers hold; see `sprawld.lockfiles.lock.Lock`."""
        with reading(self.path):
            self._check(environment)
            extras = active_extras(wanted, self.extras)
            groups = self._groups(wanted)
            chosen: dict[NormalizedName, Entry] = {}
            for entry in self.entries:
                if not holds(entry.marker, environment, extras=extras, groups=groups):
                    continue
                other = chosen.setdefault(entry.name, entry)
                if other is not entry:
                    raise Fault(
                        "lock.duplicate-package",
                        f"packages[{other.index}] and [{entry.index}] are both {entry.name} and both apply",
                    )
            root = self.path.parent
            return tuple(pin(chosen[name], environment, root) for name in sorted(chosen))

    def _check(self, environment: Environment) -> None:
        if self.requires_python is not None and not python_allowed(self.requires_python, environment):
            raise excluded_python("the lock", self.requires_python, environment)
        if self.environments and not any(holds(marker, environment) for marker in self.environments):
            raise Fault(
                "select.unsupported-environment", "the lock is for certain environments, this is none of them"
            )

    def _groups(self, wanted: Wanted) -> frozenset[NormalizedName]:
        """Default groups and those asked for: some writers put the project itself into a default group."""
        if wanted.only_groups:
            return self._known(wanted.only_groups)
        groups = self.groups if wanted.all_groups else self.default_groups
        groups |= self._known(wanted.groups)
        return groups - set(map(package_name, wanted.no_groups)) - ({"dev"} if wanted.no_dev else set())

    def _known(self, names: Iterable[str]) -> frozenset[NormalizedName]:
        wanted = _names(names)
        for name in sorted(wanted - self.groups):
            raise Fault("select.unknown-group", f"the lock has no group {name!r}")
        return wanted


def read(path: Path) -> PylockLock:
    """Read a pylock.toml; raises LockError (`lock.*`) naming the file and the place in it."""
    document = read_toml(path)
    with reading(path):
        softened = _soften(document)
        pylock = _validate(softened)
        project = _project(path, document)
        version = str(pylock.lock_version)
        newer = pylock.lock_version > Version("1.0")
        remedy = earlier_release("pylock")
        return PylockLock(
            path=path,
            format=f"pylock {version}",
            project=project,
            inputs=(path, path.parent / "pyproject.toml"),
            warnings=(warning("lock.newer", f"lock-version {version} is read as 1.0", remedy),)
            if newer
            else (),
            requires_python=get(document, "requires-python", str),
            environments=_markers(softened),
            extras=frozenset(pylock.extras or ()),
            groups=_names(pylock.dependency_groups) | _names(pylock.default_groups),
            default_groups=_names(pylock.default_groups),
            entries=_entries(document, pylock),
        )


def _soften(document: Table) -> dict[str, Any]:
    """Return a document that validates where the original has one of these known blemishes.

    - `environments = []` means the same as none.
    - An entry without any source can only be wrong if it is selected (uv, 2025-08).
    - A file without URL or path can be found by its name and hash in the index (pdm, before 2025-05).
    """
    softened = dict(document)
    if not document.get("environments", True):
        del softened["environments"]
    packages = []
    for item in tables(document, "packages"):
        package = dict(item)
        for key in ("sdist", "wheels"):
            if key in package:
                package[key] = _with_place(package[key])
        if any(package.get(key) for key in _SOURCES):
            packages.append(package)
    softened["packages"] = packages
    return softened


def _with_place(value: object) -> object:
    if isinstance(value, list):
        return [_with_place(item) for item in value]
    if isinstance(value, dict) and "url" not in value and "path" not in value and "name" in value:
        return {**value, "url": f"{ASK_INDEX}{value['name']}"}
    return value


def _validate(softened: dict[str, Any]) -> Pylock:
    try:
        return Pylock.from_dict(softened)
    except PylockUnsupportedVersionError as error:
        raise Fault("lock.unsupported", shown(error), hint=earlier_release("pylock")) from None
    except (PylockValidationError, ValueError) as error:
        hint = "pipenv's own lock is Pipfile.lock" if softened.get("created-by") == "pipenv" else ""
        raise Fault("lock.invalid", shown(error), hint=hint) from None


def _entries(document: Table, pylock: Pylock) -> tuple[Entry, ...]:
    validated = iter(pylock.packages)
    entries = []
    for index, item in enumerate(tables(document, "packages")):
        with at(f"packages[{index}]"):
            package = next(validated) if any(item.get(key) for key in _SOURCES) else None
            name = package_name(get(item, "name", str) or "")
            marker = parse_marker(get(item, "marker", str))
            entries.append(Entry(index, marker, get(item, "version", str), package, name))
    return tuple(entries)


def _markers(document: Mapping[str, Any]) -> tuple[Marker, ...]:
    markers = map(parse_marker, document.get("environments", ()))
    return tuple(marker for marker in markers if marker is not None)


def _names(names: Iterable[str] | None) -> frozenset[NormalizedName]:
    return frozenset(map(package_name, names or ()))


def _project(path: Path, document: Table) -> Project:
    pyproject = read_pyproject(path.parent)
    if pyproject.name is not None:
        # A pylock.toml of pdm is installed by pdm; the other writers list the project if it is to be there.
        installed = (
            document.get("created-by") == "pdm" and path.name == "pylock.toml" and is_package(pyproject)
        )
        return Project(
            root=path.parent, name=pyproject.name, version=pyproject.version, is_installed=installed
        )
    for item in tables(document, "packages"):
        directory = item.get("directory")
        if isinstance(directory, dict) and directory.get("path") in (".", "./"):
            return Project(root=path.parent, name=package_name(get(item, "name", str) or ""))
    return Project(root=path.parent)
