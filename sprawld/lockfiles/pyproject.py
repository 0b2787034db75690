"""The project file beside a lock: static metadata and the settings that decide what a lock's tool would do.

Specifications: pyproject.toml ([project], [build-system]) and dependency groups. Nothing is trusted for it
beyond the choice of packages that the lock already holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprawld.errors import LockError

from ._toml import Fault, Table, get, invalid, read_toml, reading, shown, strings, table
from .artifacts import package_name

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["Pyproject", "group_requirements", "read_pyproject"]


@dataclass(frozen=True, slots=True)
class Pyproject:
    """A parsed pyproject.toml; the empty table stands for an absent one."""

    path: Path
    tables: Table

    @property
    def exists(self) -> bool:
        """True when there is such a file with anything in it."""
        return bool(self.tables)

    @property
    def project(self) -> Table:
        """The [project] table."""
        return table(self.tables, "project")

    @property
    def name(self) -> NormalizedName | None:
        """Normalised `project.name`."""
        name = get(self.project, "name", str)
        return package_name(name) if name else None

    @property
    def version(self) -> str | None:
        """`project.version` where it is static; for pdm in 2021 it could be a table that says it is not."""
        version = self.project.get("version")
        return (get(self.project, "version", str) or None) if not isinstance(version, dict) else None

    @property
    def groups(self) -> Table:
        """The [dependency-groups] table."""
        return table(self.tables, "dependency-groups")

    @property
    def backend(self) -> str:
        """`build-system.build-backend`, or an empty string."""
        return get(table(self.tables, "build-system"), "build-backend", str) or ""

    def tool(self, name: str) -> Table:
        """The [tool.NAME] table."""
        return table(table(self.tables, "tool"), name)

    def requirements(self) -> tuple[str, ...]:
        """`project.dependencies` and those of every extra."""
        optional = table(self.project, "optional-dependencies")
        listed = [strings(self.project, "dependencies"), *(strings(optional, extra) for extra in optional)]
        return tuple(requirement for group in listed for requirement in group)


def read_pyproject(directory: Path) -> Pyproject:
    """Read `directory`/pyproject.toml; an absent file gives an empty one.

    Raises LockError (`lock.unreadable`, `lock.syntax`, ...) that names the project file.
    """
    path = directory / "pyproject.toml"
    try:
        document = read_toml(path)
    except LockError as error:
        if error.code == "lock.not-found":
            return Pyproject(path, {})
        raise
    pyproject = Pyproject(path, document)
    with reading(path):
        # The values every reader asks for are checked once, so that an error names this file.
        _ = pyproject.name, pyproject.version, pyproject.groups, pyproject.backend, pyproject.tool("")
    return pyproject


def group_requirements(groups: Table, wanted: str) -> tuple[str, ...]:
    """Return the requirements of one dependency group with its includes; `wanted` is a normalised name.

    Raises Fault `lock.invalid` for an unknown or circular include.
    """
    by_name = {package_name(name): value for name, value in groups.items()}
    found: list[str] = []
    done: set[NormalizedName] = set()

    def visit(name: NormalizedName, above: tuple[str, ...]) -> None:
        if name in above or name not in by_name:
            raise Fault("lock.invalid", f"dependency group {shown(repr(name))} is unknown or includes itself")
        if name in done:
            return  # groups that include each other twice on every level would take for ever
        done.add(name)
        items = by_name[name]
        if not isinstance(items, list):
            invalid(f"dependency-groups.{name}: expected array, got {type(items).__name__}")
        for item in items:
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, dict) and isinstance(include := item.get("include-group"), str):
                visit(package_name(include), (*above, name))
            else:
                invalid(f"dependency-groups.{name}: neither a requirement nor an include")

    visit(package_name(wanted), ())
    return tuple(found)
