"""What a uv.lock selects: from the roots along the edges whose markers hold.

Specification: uv's answers, which the conformance tests hold.

1. Markers of edges are simplified under the conditions of their parent: they mean something only while
   walking from the roots. Packages that no walk reaches are not looked at.
2. Conflict markers speak of active projects, extras and groups. Members of groups are settled first, in
   order. Extras become active along edges, so a walk collects them: whenever it finds an extra that a
   conflict set names it starts again, and what only seemed reachable is gone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from ._toml import Fault, shown
from .markers import holds
from .uv_files import pin
from .uv_python import check_groups, check_lock
from .uv_roots import Start, conflict_item, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.utils import NormalizedName

    from sprawld.model import Environment, Pin, Wanted

    from .uv import UvLock
    from .uv_package import Edge, Package

__all__ = ["select"]


def select(lock: UvLock, environment: Environment, wanted: Wanted) -> tuple[Pin, ...]:
    """Return the pins that apply, sorted by name; raises Fault."""
    _check_environment(lock, environment)
    begin = start(lock, wanted)
    check_groups(lock, begin.groups, environment)
    begin, active = _first_edges(lock, environment, begin)
    active = _activate(lock, environment, begin, active)
    selected: dict[NormalizedName, Package] = {}
    via: dict[NormalizedName, set[str]] = {}
    for parent, package, _ in _walk(lock, environment, begin, active):
        known = selected.setdefault(package.name, package)
        if known is not package:
            raise Fault(
                "lock.duplicate-package",
                f"{package.name} {known.version} and {package.version} apply at the same time",
            )
        via.setdefault(package.name, set()).add(parent)
    root = lock.path.parent
    return tuple(pin(selected[name], root, tuple(sorted(via[name] - {""}))) for name in sorted(selected))


def _check_environment(lock: UvLock, environment: Environment) -> None:
    check_lock(lock, environment)
    if lock.supported and not any(holds(marker, environment) for marker in lock.supported):
        raise Fault(
            "select.unsupported-environment",
            "the lock supports certain environments only, and this is none of them",
            hint="extend `environments` in [tool.uv] and lock again",
        )


def _first_edges(lock: UvLock, environment: Environment, begin: Start) -> tuple[Start, frozenset[str]]:
    """Settle which edges of groups and scripts hold, each with what the ones before it made active."""
    named = frozenset().union(*lock.conflicts)
    active = begin.active & named
    held = []
    for parent, edge in begin.edges:
        extras = _extras_of(edge) & named
        if edge.marker is None or holds(edge.marker, environment, extras=active | extras):
            held.append((parent, edge))
            active |= extras
    return replace(begin, edges=tuple(held)), active


def _activate(lock: UvLock, environment: Environment, begin: Start, active: frozenset[str]) -> frozenset[str]:
    """Return the active items of conflict sets; Fault `select.conflict` if two of one set are active."""
    if not lock.conflicts:
        return active
    named = frozenset().union(*lock.conflicts)
    while True:
        for _, _, edge in _walk(lock, environment, begin, active, collecting=True):
            found = (_extras_of(edge) & named) - active if edge is not None else frozenset()
            if found:
                active |= found
                break
        else:
            break
    for conflict in lock.conflicts:
        asked = conflict & begin.active
        extras = {item for item in conflict & active if item.startswith("extra-")}
        # As in uv: what was asked for must not conflict, nor may extras that came along. An extra that a
        # group brings in may stand beside a group that it conflicts with; versions still may not.
        together = max(asked, extras, key=len)
        if len(together) > 1:
            raise Fault(
                "select.conflict",
                f"locked as mutually exclusive: {', '.join(sorted(together))}",
                hint="ask for one of them at a time",
            )
    return active


def _walk(
    lock: UvLock, environment: Environment, begin: Start, active: frozenset[str], *, collecting: bool = False
) -> Iterator[tuple[str, Package, Edge | None]]:
    """Yield (what brings it in, package, edge) for every edge that holds; a package may come many times.

    While collecting, the extras that an edge itself asks for count as active for its own marker.
    """
    queue: deque[tuple[Package, NormalizedName | None]] = deque()
    seen: set[tuple[int, NormalizedName | None]] = set()

    def push(package: Package, extras: Iterable[NormalizedName]) -> None:
        for extra in (None, *extras):
            if (package.index, extra) not in seen:
                seen.add((package.index, extra))
                queue.append((package, extra))

    for package in begin.packages:
        yield "", package, None
        push(package, (extra for owner, extra in begin.extras if owner is package))
    for parent, edge in begin.edges:
        target = _target(lock, edge, environment)
        yield parent, target, edge
        push(target, edge.extras)
    while queue:
        package, extra = queue.popleft()
        for edge in package.dependencies if extra is None else package.extras.get(extra, ()):
            if edge.marker is not None:
                extras = active | _extras_of(edge) if collecting else active
                if not holds(edge.marker, environment, extras=extras):
                    continue
            target = _target(lock, edge, environment)
            yield package.name, target, edge
            push(target, edge.extras)


def _extras_of(edge: Edge) -> frozenset[str]:
    return frozenset(conflict_item("extra", edge.name, extra) for extra in edge.extras)


def _target(lock: UvLock, edge: Edge, environment: Environment) -> Package:
    """Return the package an edge leads to; where the edge leaves a choice, the forks decide."""
    locked = lock.by_name.get(edge.name, ())
    if len(locked) == 1 and edge.version is None and edge.source is None:
        return locked[0]
    found = [
        package
        for package in locked
        if (edge.version is None or edge.version == package.version)
        and (edge.source is None or edge.source == package.source)
    ]
    if len(found) > 1:
        found = [
            package
            for package in found
            if not package.forks or any(holds(fork, environment) for fork in package.forks)
        ]
    if len(found) == 1:
        return found[0]
    if not locked:
        raise Fault("lock.stale", f"{edge.name} is depended on and not in the lock")
    raise Fault(
        "lock.invalid", f"{edge.name} {shown(edge.version or '')}: names {len(found)} packages of the lock"
    )
