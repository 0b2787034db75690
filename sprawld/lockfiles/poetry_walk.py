"""Selection from poetry.lock before 2.1: the packages do not say when they apply, so the graph is walked.

Specification: what `poetry install` does with such a lock, which is to solve again with nothing but the
locked packages:

1. All dependencies of the wanted groups take part, the optional ones too: they constrain the versions.
2. Taken is what a dependency of the project that is not optional leads to. Of the solution's packages, so
   is one that the project names under a marker that does not hold here.
3. For wanted extras, so is everything that their packages need, and a package needs there what any of its
   extras in the whole solution need. (So an extra that nobody asked for can bring something in.)
4. Names that poetry before 1.2 never locked may be missing, and the project itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from ._toml import Fault, at, get, shown, strings, table
from .artifacts import package_name
from .markers import holds, parse_marker
from .poetry_constraints import parse_constraint
from .poetry_dependency import Dependency, from_value, mentioned_name
from .walk import Root, reach, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from sprawld.model import Environment

    from .poetry_package import Package
    from .poetry_project import PoetryProject
    from .walk import Need, Steps

__all__ = ["select"]

_NEVER_LOCKED: Final = frozenset({"setuptools", "pip", "wheel", "distribute"})
_NO_EXTRAS: Final[frozenset[NormalizedName]] = frozenset()


def select(
    packages: Mapping[NormalizedName, tuple[Package, ...]],
    project: PoetryProject,
    environment: Environment,
    *,
    groups: frozenset[NormalizedName],
    extras: frozenset[NormalizedName],
) -> list[tuple[Package, tuple[str, ...]]]:
    """Return the packages that apply, each with what brought it in."""
    graph = _Graph(packages, project.name, environment)
    roots: list[Root[Package]] = []
    firm: list[Root[Package]] = []
    for group, need in project.roots(groups):
        applies = need.applies(environment, extras)
        if applies:
            roots.append(Root(group, need))
        if not need.optional and (applies or not need.extras):
            firm.append(Root(group, need))
    chosen = settle(roots, graph)
    required = reach([root for root in firm if graph.has(root.need, chosen)], graph, chosen)
    everything = reach(roots, graph, chosen)
    taken = set(required.via) | _extra_names(project, extras, everything.edges, chosen)
    return [
        (package, required.via.get(name) or everything.via[name])
        for name, package in chosen.items()
        if name in taken and graph.applies(package)
    ]


def _extra_names(
    project: PoetryProject,
    extras: frozenset[NormalizedName],
    edges: Mapping[NormalizedName, frozenset[NormalizedName]],
    chosen: Mapping[NormalizedName, Package],
) -> set[NormalizedName]:
    found: set[NormalizedName] = set()
    stack = [name for extra in extras for name in project.extras.get(extra, ())]
    while stack:
        name = stack.pop()
        if name in chosen and name not in found:
            found.add(name)
            stack.extend(edges.get(name, ()))
    return found


@dataclass(slots=True)
class _Graph:
    """The locked packages in one environment; a `walk.Graph`."""

    packages: Mapping[NormalizedName, tuple[Package, ...]]
    project: NormalizedName | None
    environment: Environment
    _candidates: dict[NormalizedName, tuple[Package, ...]]

    def __init__(
        self,
        packages: Mapping[NormalizedName, tuple[Package, ...]],
        project: NormalizedName | None,
        environment: Environment,
    ) -> None:
        self.packages = packages
        self.project = project
        self.environment = environment
        self._candidates = {}

    def candidates(self, name: NormalizedName) -> Sequence[Package]:
        """Return the packages of that name that admit this Python, highest version first."""
        found = self._candidates.get(name)
        if found is None:
            python = Version(".".join(map(str, self.environment.version)))
            fitting = [p for p in self.packages.get(name, ()) if parse_constraint(p.python).allows(python)]
            fitting.sort(key=lambda package: package.parsed_version, reverse=True)
            found = self._candidates[name] = tuple(fitting)
        return found

    def needs(
        self, package: Package, extras: frozenset[NormalizedName], steps: Steps
    ) -> Iterator[Dependency]:
        """Yield the dependencies of a package that apply here, and those of its extras."""
        with at(f"package[{package.index}] ({package.name})"):
            items = table(package.table, "dependencies")
            steps.take(len(items) + len(table(package.table, "extras")))
            active, optional_names = self._extras(package, extras)
            for name in items:
                for need in from_value(name, items[name]):
                    if need.optional and need.name not in optional_names:
                        continue
                    if need.in_extras and not need.in_extras & active:
                        continue
                    if need.applies(self.environment, need.in_extras):
                        yield need

    def _extras(
        self, package: Package, extras: frozenset[NormalizedName]
    ) -> tuple[frozenset[NormalizedName], set[NormalizedName]]:
        """Follow extras that ask for further extras of the same package; return all, and their names."""
        if not extras:
            return _NO_EXTRAS, set()
        offered = table(package.table, "extras")
        by_name = {package_name(extra): strings(offered, extra) for extra in offered}
        active: set[NormalizedName] = set()
        names: set[NormalizedName] = set()
        stack = list(extras)
        while stack:
            extra = stack.pop()
            if extra in active:
                continue
            active.add(extra)
            for text in by_name.get(extra, ()):
                name, further = mentioned_name(text)
                if name == package.name:
                    stack.extend(further)
                else:
                    names.add(name)
        return frozenset(active), names

    def tolerates(self, need: Need[Package]) -> bool:
        """Tell whether a missing name may be left out (rule 4)."""
        if need.name in self.packages:
            python = ".".join(map(str, self.environment.version))
            raise Fault("lock.stale", f"no locked version of {need.name} allows Python {python}")
        if need.name in _NEVER_LOCKED or need.name == self.project:
            return True
        raise Fault(
            "lock.stale",
            f"{shown(repr(need.text))} is needed, and the lock has no {need.name}",
            hint="bring the lock up to date with `poetry lock`",
        )

    def has(self, need: Need[Package], chosen: Mapping[NormalizedName, Package]) -> bool:
        """Tell whether the solution holds what a dependency of the project names (rule 2)."""
        return need.name in chosen and need.admits(chosen[need.name])

    def applies(self, package: Package) -> bool:
        """Apply the conditions that locks before 1.0 attach to the package instead of the edge."""
        return holds(parse_marker(get(package.table, "marker", str)), self.environment)
