"""What poetry reads from pyproject.toml: groups, extras and the project's own dependencies.

Specification: poetry's documentation, "The pyproject.toml file" and "Managing dependencies"; [project] and
dependency groups as in the PyPA specifications. Where both tables name a package, [tool.poetry] only
enriches what [project] or [dependency-groups] lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName

from ._toml import Fault, Table, at, get, invalid, shown, strings, table
from .artifacts import package_name
from .poetry_dependency import Dependency, from_requirement, from_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .pyproject import Pyproject

__all__ = ["MAIN", "Group", "PoetryProject", "from_pyproject"]

MAIN: Final = NormalizedName("main")
_DEV: Final = NormalizedName("dev")


@dataclass(slots=True)
class Group:
    """One dependency group, while it is being put together."""

    optional: bool = False
    listed: list[Dependency] = field(default_factory=list)
    """From [project] or [dependency-groups]."""
    poetry: list[Dependency] = field(default_factory=list)
    """From [tool.poetry]."""
    includes: list[NormalizedName] = field(default_factory=list)
    mixed: bool = False
    """True where [project] leaves (optional) dependencies to [tool.poetry] as dynamic."""

    def dependencies(self) -> list[Dependency]:
        """Return what the group depends on by itself, without the groups it includes."""
        if not self.listed or not self.poetry:
            return self.listed or self.poetry
        enriching: dict[NormalizedName, list[Dependency]] = {}
        for dependency in self.poetry:
            enriching.setdefault(dependency.name, []).append(dependency)
        return [
            combined
            for dependency in [*self.listed, *self._dynamic()]
            for combined in (
                [_enrich(dependency, other) for other in enriching.get(dependency.name, ())] or [dependency]
            )
        ]

    def _dynamic(self) -> list[Dependency]:
        kinds = {dependency.optional for dependency in self.listed}
        if not self.mixed or len(kinds) != 1:
            return []
        return [dependency for dependency in self.poetry if dependency.optional not in kinds]


@dataclass(frozen=True, slots=True)
class PoetryProject:
    """The project as poetry sees it."""

    name: NormalizedName | None
    version: str | None
    groups: Mapping[NormalizedName, Group]
    """`main` and every other group."""
    extras: Mapping[NormalizedName, tuple[NormalizedName, ...]]
    """Extra -> names of the packages it brings in."""
    is_package: bool = False
    """True where `poetry install` installs the project itself."""

    @property
    def default_groups(self) -> list[NormalizedName]:
        """What `poetry install` takes: every group that is not optional."""
        return [name for name, group in self.groups.items() if not group.optional]

    def roots(self, wanted: frozenset[NormalizedName]) -> Iterator[tuple[NormalizedName, Dependency]]:
        """Yield the dependencies of the wanted groups, each with its group."""
        for group in self.groups:
            if group in wanted:
                for name in self._with_includes(group):
                    for dependency in self.groups[name].dependencies():
                        yield group, dependency

    def _with_includes(self, group: NormalizedName) -> list[NormalizedName]:
        """Return a group and all it includes, each once."""
        names = [group]
        for name in names:
            if name not in self.groups:
                raise Fault(
                    "lock.stale", f"dependency group {shown(repr(name))} is included and does not exist"
                )
            names.extend(other for other in self.groups[name].includes if other not in names)
        return names


def from_pyproject(pyproject: Pyproject) -> PoetryProject:
    """Read the tables poetry reads; an absent file gives a project without dependencies."""
    tool = pyproject.tool("poetry")
    optional = table(pyproject.project, "optional-dependencies")
    main = _main_group(pyproject.project, optional, table(tool, "dependencies"))
    groups = {MAIN: main, **_groups(pyproject.groups, table(tool, "group"))}
    if "dev-dependencies" in tool:
        groups.setdefault(_DEV, Group()).poetry.extend(_dependencies(table(tool, "dev-dependencies")))
    if "dependencies" in pyproject.project or optional:
        extras = {
            package_name(extra): tuple(from_requirement(text).name for text in strings(optional, extra))
            for extra in optional
        }
    else:
        names = {dependency.name for dependency in main.dependencies()}
        legacy = table(tool, "extras")
        extras = {
            package_name(extra): tuple(
                name for name in map(package_name, strings(legacy, extra)) if name in names
            )
            for extra in legacy
        }
    name = get(tool, "name", str)
    return PoetryProject(
        name=pyproject.name or (None if name is None else package_name(name)),
        version=pyproject.version or get(tool, "version", str),
        groups=groups,
        extras=extras,
        is_package=pyproject.exists and get(tool, "package-mode", bool) is not False,
    )


def _main_group(project: Table, optional: Table, poetry: Table) -> Group:
    dynamic = strings(project, "dynamic")
    group = Group(mixed="dependencies" in dynamic or "optional-dependencies" in dynamic)
    with at("project"):
        group.listed.extend(map(from_requirement, strings(project, "dependencies")))
        for extra in optional:
            name = package_name(extra)
            group.listed.extend(from_requirement(text, extra=name) for text in strings(optional, extra))
    with at("tool.poetry.dependencies"):
        group.poetry.extend(_dependencies(poetry))
    return group


def _groups(standard: Table, poetry: Table) -> dict[NormalizedName, Group]:
    settings = {package_name(name): table(poetry, name) for name in poetry}
    groups: dict[NormalizedName, Group] = {}
    for name, items in standard.items():
        group = groups.setdefault(package_name(name), Group())
        with at(f"dependency-groups.{shown(name)}"):
            if not isinstance(items, list):
                invalid(f"expected array, got {type(items).__name__}")
            for item in items:
                if isinstance(item, str):
                    group.listed.append(from_requirement(item))
                elif isinstance(item, dict) and isinstance(include := item.get("include-group"), str):
                    group.includes.append(package_name(include))
    for group_name, setting in settings.items():
        group = groups.setdefault(group_name, Group())
        with at(f"tool.poetry.group.{group_name}"):
            group.optional = bool(get(setting, "optional", bool))
            group.includes.extend(map(package_name, strings(setting, "include-groups")))
            group.poetry.extend(_dependencies(table(setting, "dependencies")))
    return groups


def _dependencies(items: Table) -> Iterator[Dependency]:
    for name, value in items.items():
        if name.lower() != "python":
            yield from from_value(name, value)


def _enrich(listed: Dependency, poetry: Dependency) -> Dependency:
    """Return the listed dependency with what [tool.poetry] adds: narrower versions, markers and an origin."""
    return replace(
        listed,
        text=f"{listed.text} {poetry.text}",
        constraints=(*listed.constraints, *poetry.constraints),
        markers=(*listed.markers, *poetry.markers),
        python=poetry.python,
        platform=poetry.platform,
        direct=listed.direct or poetry.direct,
        index=poetry.index,
    )
