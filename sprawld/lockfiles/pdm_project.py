"""What pdm reads from pyproject.toml: groups, their requirements, and settings that bear on selection.

Specifications: [project] and dependency groups of the PyPA; pdm's documentation, "Managing dependencies"
and "Resolution". Extras and dependency groups are one thing to pdm: groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.utils import NormalizedName

from ._toml import Fault, Table, at, get, invalid, shown, strings, table, tables
from .artifacts import package_name
from .pdm_need import Need, from_text
from .sources import index_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .pyproject import Pyproject

__all__ = ["DEFAULT", "DEV", "PdmProject", "from_pyproject", "is_package"]

DEFAULT: Final = NormalizedName("default")
DEV: Final = NormalizedName("dev")
_DEFAULT_INDEX: Final = "pypi"
_INCLUDE: Final = "include-group"


@dataclass(frozen=True, slots=True)
class PdmProject:
    """The project as pdm sees it; requirements are parsed when a group is walked."""

    exists: bool
    name: NormalizedName | None
    version: str | None
    requires_python: str
    optional: Mapping[NormalizedName, tuple[object, ...]]
    """`default`, and the groups of [project.optional-dependencies]."""
    development: Mapping[NormalizedName, tuple[object, ...]]
    """[dependency-groups] and [tool.pdm.dev-dependencies]."""
    excludes: frozenset[NormalizedName]
    overrides: frozenset[NormalizedName]
    """Names whose locked version counts, whatever is asked of them."""
    index: str | None
    """URL of the source named `pypi`, which replaces the default index."""
    extra_indexes: tuple[str, ...]
    """URLs of the other sources."""
    is_package: bool = False
    """True where `pdm install` installs the project itself."""

    @property
    def groups(self) -> frozenset[NormalizedName]:
        """Every group the project has now."""
        return frozenset((*self.optional, *self.development))

    def needs(self, group: NormalizedName) -> Iterator[Need]:
        """Yield the requirements of a group, with those of the groups it refers to."""
        seen: set[NormalizedName] = set()
        stack = [group]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            items = self.optional.get(name, self.development.get(name))
            if items is None:
                raise Fault("lock.stale", f"group {shown(repr(name))} is included and does not exist")
            for item in items:
                if isinstance(item, dict) and isinstance(included := item.get(_INCLUDE), str):
                    stack.append(package_name(included))
                elif isinstance(item, str):
                    need = from_text(item)
                    if need.name == self.name:
                        # `project[tests]` inside a group stands for the group `tests`.
                        stack.extend(need.extras)
                    else:
                        yield need
                else:
                    invalid(f"group {name}: neither a requirement nor an include")


def from_pyproject(pyproject: Pyproject) -> PdmProject:
    """Read the tables pdm reads; an absent file gives a project with the group `default` alone."""
    tool = pyproject.tool("pdm")
    resolution = table(tool, "resolution")
    sources = list(_sources(tool))
    project = pyproject.project
    optional: dict[NormalizedName, tuple[object, ...]] = {DEFAULT: strings(project, "dependencies")}
    with at("project.optional-dependencies"):
        listed = table(project, "optional-dependencies")
        optional.update((package_name(name), strings(listed, name)) for name in listed)
    development = _lists("dependency-groups", pyproject.groups)
    for name, items in _lists("tool.pdm.dev-dependencies", table(tool, "dev-dependencies")).items():
        development[name] = (*development.get(name, ()), *items)
    if DEFAULT in development:
        invalid("'default' is the project's own dependencies, and no name for a dependency group")
    return PdmProject(
        exists=pyproject.exists,
        name=pyproject.name,
        version=pyproject.version,
        requires_python=get(project, "requires-python", str) or "",
        optional=optional,
        development=development,
        excludes=frozenset(map(package_name, strings(resolution, "excludes"))),
        overrides=frozenset(package_name(name) for name in table(resolution, "overrides")),
        index=next((url for name, url in sources if name == _DEFAULT_INDEX), None),
        extra_indexes=tuple(url for name, url in sources if name != _DEFAULT_INDEX),
        is_package=is_package(pyproject),
    )


def is_package(pyproject: Pyproject) -> bool:
    """Tell whether pdm installs the project itself; the older key is `package-type`."""
    tool = pyproject.tool("pdm")
    if "package-type" in tool:
        return tool["package-type"] == "library"
    return pyproject.name is not None and get(tool, "distribution", bool) is not False


def _sources(tool: Table) -> Iterator[tuple[str, str]]:
    """Yield name and URL of the project's own indexes; pages of links are not indexes."""
    for item in tables(tool, "source"):
        if get(item, "type", str) in (None, "index") and (url := get(item, "url", str)) is not None:
            yield get(item, "name", str) or "", index_url(url)


def _lists(where: str, groups: Table) -> dict[NormalizedName, tuple[object, ...]]:
    found: dict[NormalizedName, tuple[object, ...]] = {}
    for name, items in groups.items():
        if not isinstance(items, list):
            invalid(f"{where}.{shown(name)}: expected array, got {type(items).__name__}")
        found[package_name(name)] = tuple(items)
    return found
