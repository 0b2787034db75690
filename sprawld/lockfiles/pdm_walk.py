"""Selection from pdm.lock without the strategy `inherit_metadata`: entries do not say when they apply.

Specification: pdm resolves the project's requirements again, with nothing but the locked entries. Entries for
extras (`name[a,b]`) depend on the bare package; where an entry for just these extras is missing, entries that
cover them are taken, and else the bare package has to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.version import Version

from ._toml import Fault, at, shown
from .markers import holds, python_allowed
from .pdm_need import Need, from_text
from .walk import Root, reach, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from sprawld.model import Environment

    from .pdm_entry import Entry
    from .pdm_project import PdmProject
    from .walk import Need as AnyNeed
    from .walk import Steps

__all__ = ["select"]


def select(
    entries: Mapping[NormalizedName, tuple[Entry, ...]],
    project: PdmProject,
    environment: Environment,
    groups: frozenset[NormalizedName],
) -> list[tuple[Entry, tuple[str, ...]]]:
    """Return the entries that apply, one per name, each with what brought it in."""
    graph = _Graph(entries, project, environment)
    roots: list[Root[Entry]] = [
        Root(group, need) for group in sorted(groups) for need in graph.applying(project.needs(group))
    ]
    chosen = settle(roots, graph)
    reached = reach(roots, graph, chosen)
    return [(entry, reached.via[name]) for name, entry in chosen.items()]


@dataclass(slots=True)
class _Graph:
    """The locked entries in one environment; a `walk.Graph`."""

    entries: Mapping[NormalizedName, tuple[Entry, ...]]
    project: PdmProject
    environment: Environment
    _candidates: dict[NormalizedName, tuple[Entry, ...]] = field(default_factory=dict)

    def applying(self, needs: Iterable[Need]) -> Iterator[Need]:
        """Yield the requirements that apply here; where the project overrides a name, any version will do."""
        for need in needs:
            if need.name not in self.project.excludes and holds(need.marker, self.environment):
                yield replace(need, any_version=True) if need.name in self.project.overrides else need

    def candidates(self, name: NormalizedName) -> Sequence[Entry]:
        """Return one entry per version of that name that admits this Python, highest first."""
        found = self._candidates.get(name)
        if found is None:
            by_version: dict[str | None, Entry] = {}
            # The bare entry stands for the version; an entry for extras does where there is none.
            for entry in sorted(self.entries.get(name, ()), key=lambda entry: bool(entry.extras)):
                if not entry.requires_python or python_allowed(entry.requires_python, self.environment):
                    by_version.setdefault(entry.version, entry)
            found = tuple(
                sorted(by_version.values(), key=lambda entry: entry.order or Version("0"), reverse=True)
            )
            self._candidates[name] = found
        return found

    def needs(self, package: Entry, extras: frozenset[NormalizedName], steps: Steps) -> Iterator[Need]:
        """Yield the dependencies of an entry that apply here, or of the entries for these extras."""
        steps.take(len(self.entries[package.name]))
        for entry in self._entries_for(package, extras) if extras else (package,):
            steps.take(len(entry.dependencies))
            with at(f"package[{entry.index}] ({entry.name})"):
                yield from self.applying(map(from_text, entry.dependencies))

    def _entries_for(self, package: Entry, extras: frozenset[NormalizedName]) -> list[Entry]:
        same = [
            entry
            for entry in self.entries[package.name]
            if entry.version == package.version and entry.extras and entry.extras <= extras
        ]
        return [entry for entry in same if entry.extras == extras] or same

    def tolerates(self, need: AnyNeed[Entry]) -> bool:
        """Tell whether a missing name may be left out: only the project itself may."""
        if need.name == self.project.name:
            return True
        if need.name in self.entries:
            python = ".".join(map(str, self.environment.version))
            raise Fault("lock.stale", f"no locked version of {need.name} allows Python {python}")
        raise Fault(
            "lock.stale",
            f"{shown(repr(need.text))} is needed, and the lock has no {need.name}",
            hint="bring the lock up to date with `pdm lock --update-reuse`",
        )
