"""Walking a lock's own dependency graph, for locks that do not say themselves which packages apply.

1. Nothing is resolved: every version comes from the lock. Where it has several of one name, the best that all
   needs met on the way admit is taken, and the walk starts again until those needs no longer change.
2. A name without any candidate is for the graph to judge: tolerated there, or a stale lock.
3. Steps are counted, so that a hostile graph ends in a refusal and not in an endless walk.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from ._toml import Fault, invalid, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

__all__ = ["Graph", "Need", "Reached", "Root", "Steps", "reach", "settle"]

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)

# Real locks settle in two or three passes of some thousand steps each.
_MAXIMUM_PASSES: Final = 20
_MAXIMUM_STEPS: Final = 300_000
_NO_EXTRAS: Final[frozenset[NormalizedName]] = frozenset()


class Need(Protocol[P_contra]):
    """One edge of the graph whose marker holds: a name, extras of it, and a test of its versions."""

    @property
    def name(self) -> NormalizedName:
        """Name of the package that is needed."""

    @property
    def extras(self) -> frozenset[NormalizedName]:
        """Extras asked of it."""

    @property
    def text(self) -> str:
        """The requirement as the lock has it: for messages, and the same for the same test."""

    def admits(self, package: P_contra) -> bool:
        """Tell whether a locked package satisfies the requirement."""


class Graph(Protocol[P]):
    """What a format knows of its packages in one environment."""

    def candidates(self, name: NormalizedName) -> Sequence[P]:
        """Return the locked packages of that name that this Python may use, best first."""

    def needs(self, package: P, extras: frozenset[NormalizedName], steps: Steps) -> Iterable[Need[P]]:
        """Return what `package` needs here: by itself, or for these extras of it.

        What it looks at on the way is to be counted in `steps`.
        """

    def tolerates(self, need: Need[P]) -> bool:
        """Tell whether a name without candidates may be left out; raises Fault if it may not."""


@dataclass(frozen=True, slots=True)
class Root(Generic[P]):
    """A need of the project itself."""

    label: str
    """The group or extra it belongs to."""
    need: Need[P]


@dataclass(frozen=True, slots=True)
class Reached:
    """The names a walk came by."""

    via: Mapping[NormalizedName, tuple[str, ...]]
    """Name -> what brought it in: labels of roots and names of packages."""
    edges: Mapping[NormalizedName, frozenset[NormalizedName]]
    """Name -> names it needs, for its own sake and for its extras."""


def settle(roots: Sequence[Root[P]], graph: Graph[P]) -> dict[NormalizedName, P]:
    """Choose one package for each name that the roots lead to, so that every need met is satisfied.

    Raises Fault `lock.stale` where no locked version satisfies the needs, `lock.invalid` where the choices
    chase each other.
    """
    steps = Steps()
    before: _Met[P] = {}
    for _ in range(_MAXIMUM_PASSES):
        attempt = _Attempt(graph, before, steps)
        for _, _, need in _visit(roots, graph, attempt.choose, steps):
            attempt.met.setdefault(need.name, {})[need.text] = need
        best = {name: attempt.best(name, attempt.met[name].values()) for name in attempt.chosen}
        if all(best[name] is package for name, package in attempt.chosen.items()):
            return attempt.chosen
        if attempt.met.keys() == before.keys() and all(
            attempt.met[name].keys() == before[name].keys() for name in before
        ):
            break
        before = attempt.met
    for name, package in best.items():
        if package is None:
            raise _unsatisfied(name, attempt.met[name])
    raise Fault("lock.invalid", "the locked versions do not settle")


def reach(roots: Iterable[Root[P]], graph: Graph[P], chosen: Mapping[NormalizedName, P]) -> Reached:
    """Walk once more with the versions that `settle` chose, and note who needs whom."""
    via: dict[NormalizedName, dict[str, None]] = {}
    edges: dict[NormalizedName, set[NormalizedName]] = {}
    for label, parent, need in _visit(roots, graph, lambda need: chosen.get(need.name), Steps()):
        if need.name in chosen and parent != need.name:
            via.setdefault(need.name, {})[label] = None
            if parent is not None:
                edges.setdefault(parent, set()).add(need.name)
    return Reached(
        {name: tuple(labels) for name, labels in via.items()},
        {name: frozenset(names) for name, names in edges.items()},
    )


_Met = dict["NormalizedName", dict[str, Need[P]]]
"""Name -> text of a need -> the need."""


@dataclass(slots=True)
class Steps:
    """How much has been looked at."""

    taken: int = 0

    def take(self, count: int = 1) -> None:
        """Count; raises Fault `lock.invalid` beyond what any honest lock takes."""
        self.taken += count
        if self.taken > _MAXIMUM_STEPS:
            invalid(f"walking the dependencies takes more than {_MAXIMUM_STEPS} steps")


@dataclass(slots=True)
class _Attempt(Generic[P]):
    """One pass: choices by the needs that the pass before met."""

    graph: Graph[P]
    before: _Met[P]
    steps: Steps
    chosen: dict[NormalizedName, P] = field(default_factory=dict)
    met: _Met[P] = field(default_factory=dict)

    def choose(self, need: Need[P]) -> P | None:
        name = need.name
        if name not in self.chosen:
            if not self.graph.candidates(name):
                if self.graph.tolerates(need):
                    return None
                raise _unsatisfied(name, {need.text: need})
            package = self.best(name, self.before.get(name, {}).values())
            package = self.best(name, (need,)) if package is None else package
            if package is None:
                raise _unsatisfied(name, {need.text: need})
            self.chosen[name] = package
        return self.chosen[name]

    def best(self, name: NormalizedName, needs: Iterable[Need[P]]) -> P | None:
        needs = tuple(needs)
        for package in self.graph.candidates(name):
            for need in needs:
                self.steps.take()
                if not need.admits(package):
                    break
            else:
                return package
        return None


def _visit(
    roots: Iterable[Root[P]], graph: Graph[P], choose: Callable[[Need[P]], P | None], steps: Steps
) -> Iterator[tuple[str, NormalizedName | None, Need[P]]]:
    """Yield every edge once: label of the parent, its name unless it is a root, and the need."""
    queue: deque[tuple[NormalizedName, frozenset[NormalizedName]]] = deque()
    seen: set[tuple[NormalizedName, frozenset[NormalizedName]]] = set()
    packages: dict[NormalizedName, P] = {}

    def enter(need: Need[P]) -> None:
        steps.take()
        package = choose(need)
        if package is None:
            return
        packages[need.name] = package
        for extras in (_NO_EXTRAS, need.extras):
            node = (need.name, extras)
            if node not in seen:
                seen.add(node)
                queue.append(node)

    for root in roots:
        enter(root.need)
        yield root.label, None, root.need
    while queue:
        name, extras = queue.popleft()
        for need in graph.needs(packages[name], extras, steps):
            enter(need)
            yield name, name, need


def _unsatisfied(name: NormalizedName, needs: Iterable[str]) -> Fault:
    wanted = ", ".join(sorted(needs)[:5])
    return Fault(
        "lock.stale", f"no locked version of {name} that this Python may use satisfies: {shown(wanted)}"
    )
