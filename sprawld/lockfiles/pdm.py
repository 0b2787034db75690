"""pdm.lock, versions 2 to 4.5.

Specification: pdm's lock file. A version with the same major number and no higher minor number than 4.5 is
read, and so are 2 and 3, which have the same shape. With the strategy `inherit_metadata` each entry has its
groups and marker; without it the requirements are walked (`pdm_walk`).

Default groups are `default` and the development groups. (`pdm sync` without options installs every group that
was locked, the extras too; that is `all_groups` here.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from sprawld.model import Pin, Project, Source

from . import pdm_entry, pdm_walk
from ._toml import Fault, Table, each, get, read_toml, reading, require, shown, strings, table, tables
from .advice import excluded_python
from .artifacts import package_name
from .freshness import pdm_warnings
from .markers import holds, python_allowed
from .pdm_project import DEFAULT, DEV, PdmProject, from_pyproject
from .pdm_targets import check_targets
from .pyproject import read_pyproject
from .remedies import earlier_release
from .wanted import active_extras, active_groups

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Wanted

    from .pdm_entry import Entry

__all__ = ["PdmLock", "read"]

_OLDEST: Final = (2, 0)
_NEWEST: Final = (4, 5)
# Real locks have up to five entries of one package, versions and sets of extras together.
_MAXIMUM_ENTRIES: Final = 1_000
_LEADING_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_INHERIT: Final = "inherit_metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class PdmLock:
    """A pdm.lock; see `sprawld.lockfiles.lock.Lock`."""

    path: Path
    format: str
    project: Project
    inputs: tuple[Path, ...]
    hashed: bool = True
    inherits: bool
    """True when the entries carry groups and markers."""
    locked_groups: frozenset[NormalizedName]
    """Empty in locks that do not record them."""
    targets: tuple[Table, ...]
    files: Table
    """`metadata.files` of versions before 4.3."""
    entries: Mapping[NormalizedName, tuple[Entry, ...]]
    settings: PdmProject
    warnings: tuple[str, ...] = ()

    def select(self, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what `pdm sync` with these groups would install; see `sprawld.lockfiles.lock.Lock`."""
        with reading(self.path):
            self._check_python(environment)
            check_targets(self.targets, environment)
            groups = self._groups(wanted)
            if self.inherits:
                found = self._marked(environment, groups)
            elif self.settings.exists:
                found = pdm_walk.select(self.entries, self.settings, environment, groups)
            else:
                raise Fault(
                    "lock.stale",
                    f"a pdm.lock without the strategy {_INHERIT} needs the pyproject.toml it was made from",
                )
            found.sort(key=lambda item: item[0].name)
            default = Source(
                kind="registry", index=self.settings.index, extra_indexes=self.settings.extra_indexes
            )
            return tuple(entry.pin(self.path.parent, default, self.files, via) for entry, via in found)

    def _check_python(self, environment: Environment) -> None:
        if not python_allowed(self.settings.requires_python, environment):
            raise excluded_python("the project", self.settings.requires_python, environment)

    def _groups(self, wanted: Wanted) -> frozenset[NormalizedName]:
        """Extras are groups like any other; groups that only one of lock and project has do not exist."""
        project, locked = self.settings, self.locked_groups
        if not project.exists:
            known = locked | {DEFAULT}
            extras, default = known - {DEFAULT, DEV}, known & {DEV}
        else:
            known = project.groups & locked if locked else project.groups
            extras, default = known & project.optional.keys() - {DEFAULT}, known & project.development.keys()
        # A lock that does not record its groups holds those that were the default when it was made.
        every = known if locked else default
        chosen = active_groups(wanted, known=known, default=default, base=DEFAULT, every=every)
        return chosen | active_extras(wanted, extras)

    def _marked(
        self, environment: Environment, groups: frozenset[NormalizedName]
    ) -> list[tuple[Entry, tuple[str, ...]]]:
        chosen: dict[NormalizedName, Entry] = {}
        parents: dict[str, set[str]] = {}
        for name, same in self.entries.items():
            if name in self.settings.excludes:
                continue
            for entry in same:
                if entry.groups and not entry.groups & groups:
                    continue
                if not holds(entry.marker, environment):
                    continue
                other = chosen.get(name)
                if other is None or other.extras:
                    chosen[name] = entry
                if other is not None and other.version != entry.version:
                    raise Fault(
                        "lock.duplicate-package",
                        f"{name} {other.version} and {entry.version} apply at the same time",
                    )
                for text in entry.dependencies:
                    parents.setdefault(_leading_name(text), set()).add(name)
        return [
            (
                entry,
                tuple(sorted(parents.get(name, set()) - {name})) or tuple(sorted(entry.groups & groups)),
            )
            for name, entry in chosen.items()
        ]


def read(path: Path, root: Path | None = None) -> PdmLock:
    """Read a pdm.lock and the pyproject.toml beside it; `root` is not used.

    Raises LockError (`lock.*`) naming the file and the place in it.
    """
    document = read_toml(path)
    with reading(path):
        metadata = require(document, "metadata", dict)
        version = _version(metadata)
        counter = iter(range(1 << 30))
        entries: dict[NormalizedName, list[Entry]] = {}
        for entry in each(document, "package", lambda item: pdm_entry.from_table(next(counter), item)):
            same = entries.setdefault(entry.name, [])
            same.append(entry)
            if len(same) > _MAXIMUM_ENTRIES:
                raise Fault("lock.invalid", f"more than {_MAXIMUM_ENTRIES} entries of {entry.name}")
        inherits = _INHERIT in strings(metadata, "strategy")
        groups = frozenset(map(package_name, strings(metadata, "groups")))
        targets = tuple(tables(metadata, "targets"))
        files = table(metadata, "files")
        content_hash = get(metadata, "content_hash", str) or ""
    pyproject = read_pyproject(path.parent)
    with reading(pyproject.path):
        settings = from_pyproject(pyproject)
    return PdmLock(
        path=path,
        format=f"pdm {version}",
        project=Project(
            root=path.parent, name=settings.name, version=settings.version, is_installed=settings.is_package
        ),
        inputs=(path, pyproject.path),
        inherits=inherits,
        locked_groups=groups,
        targets=targets,
        files=files,
        entries={name: tuple(same) for name, same in entries.items()},
        settings=settings,
        warnings=pdm_warnings(pyproject.tables, content_hash),
    )


def _leading_name(requirement: str) -> str:
    """Return the name a requirement begins with; it only serves to tell who needs whom."""
    match = _LEADING_NAME.match(requirement)
    return canonicalize_name(match[0]) if match else ""


def _version(metadata: Table) -> str:
    text = get(metadata, "lock_version", str)
    if text is None:
        raise Fault("lock.unsupported", "a pdm.lock without lock_version (2020) is not read")
    parts = text.split(".")
    if not (len(parts) <= 4 and all(part.isdecimal() and part.isascii() and len(part) < 5 for part in parts)):
        raise Fault("lock.invalid", f"metadata.lock_version: not a version: {shown(repr(text))}")
    version = (int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)
    if not _OLDEST <= version <= _NEWEST:
        hint = earlier_release("pdm") if version > _NEWEST else ""
        raise Fault("lock.unsupported", f"pdm.lock version {text} is not read, only 2 to 4.5", hint=hint)
    return text
