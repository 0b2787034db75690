"""Where the walk through a uv.lock begins: the project that is run, its extras, its groups.

Specification: uv's documentation of projects, workspaces and dependency groups.

1. The root is the workspace member whose project file is nearest; a workspace root without a [project] stands
   for all members and for its own groups; a script stands for its requirements.
2. Default groups are those of the project that is run. A group of the workspace root that the member does not
   define itself counts only when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._toml import Fault, strings, table
from .artifacts import package_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.utils import NormalizedName

    from sprawld.model import Wanted

    from .uv import UvLock
    from .uv_package import Edge, Package

__all__ = ["Start", "conflict_item", "default_groups", "find_roots", "start"]


@dataclass(frozen=True, slots=True)
class Start:
    """What is installed before any dependency is followed."""

    packages: tuple[Package, ...]
    """Roots, installed themselves."""
    extras: tuple[tuple[Package, NormalizedName], ...]
    """Extras of roots."""
    edges: tuple[tuple[str, Edge], ...]
    """Members of groups and requirements of a script, each with what brings it in."""
    groups: frozenset[NormalizedName]
    active: frozenset[str]
    """Projects, extras and groups, written as in conflict markers."""


def conflict_item(kind: str, package: NormalizedName, name: NormalizedName | None = None) -> str:
    """Return an extra, group or project in the form conflict markers have: `extra-3-pkg-name`."""
    return f"{kind}-{len(package)}-{package}" + ("" if name is None else f"-{name}")


def find_roots(lock: UvLock) -> tuple[Package, ...]:
    """Return the packages that are run; Fault `lock.stale` if the lock does not have them."""
    if lock.is_script:
        return ()
    if lock.pyproject.name is not None:
        return (_local(lock, lock.pyproject.name),)
    if lock.members:
        return tuple(_local(lock, member) for member in lock.members)
    return _workspace_root(lock)


def start(lock: UvLock, wanted: Wanted) -> Start:
    """Return where to begin for these options; Fault `select.unknown-extra`, `select.unknown-group`."""
    roots = find_roots(lock)
    groups = _groups(lock, roots, wanted)
    edges = [(f"group {name}", edge) for owner, name in groups for edge in _members(lock, owner, name)]
    active = {conflict_item("group", owner.name, name) for owner, name in groups if owner is not None}
    names = frozenset(name for _, name in groups)
    if wanted.only_groups:
        return Start((), (), tuple(edges), names, frozenset(active))
    extras = _extras(lock, roots, wanted)
    edges += (("", edge) for edge in lock.requirements)
    active.update(conflict_item("project", package.name) for package in roots)
    active.update(conflict_item("extra", package.name, extra) for package, extra in extras)
    return Start(roots, extras, tuple(edges), names, frozenset(active))


def _local(lock: UvLock, name: NormalizedName) -> Package:
    for package in lock.by_name.get(name, ()):
        if package.is_local:
            return package
    raise Fault("lock.stale", f"project {name} is not in the lock")


def _workspace_root(lock: UvLock) -> tuple[Package, ...]:
    return tuple(package for group in lock.by_name.values() for package in group if package.is_root)


def _members(lock: UvLock, owner: Package | None, name: NormalizedName) -> tuple[Edge, ...]:
    return (lock.groups if owner is None else owner.groups).get(name, ())


def _names(lock: UvLock, owner: Package | None) -> set[NormalizedName]:
    """Groups of a package, or of a workspace root without a project; empty ones are in the metadata only."""
    if owner is None:
        return set(lock.groups)
    return {*owner.groups, *map(package_name, table(table(owner.table, "metadata"), "requires-dev"))}


def _groups(
    lock: UvLock, roots: tuple[Package, ...], wanted: Wanted
) -> list[tuple[Package | None, NormalizedName]]:
    """Return the groups to install, each with its owner: a package, or None for the workspace itself."""
    named = set(map(package_name, (*wanted.groups, *wanted.only_groups)))
    excluded = {*wanted.no_groups, "dev"} if wanted.no_dev else set(wanted.no_groups)
    excluded = set(map(package_name, excluded))
    everything = wanted.all_groups and not wanted.only_groups
    defaults = set() if wanted.only_groups else default_groups(lock, roots)
    # With one member chosen, the groups of the workspace around it are inherited.
    member = roots[0] if lock.pyproject.name is not None and roots else None
    own: list[Package | None] = [*roots] if member else [*roots, None]
    around: list[Package | None] = [*_workspace_root(lock), None] if member else []
    found: list[tuple[Package | None, NormalizedName]] = []
    known: set[NormalizedName] = set()
    for owner in own:
        names = _names(lock, owner)
        known |= names
        found += ((owner, name) for name in sorted(names) if everything or name in named | defaults)
    for owner in around:
        names = set() if owner in roots else _names(lock, owner) - _names(lock, member)
        known |= names
        found += ((owner, name) for name in sorted(names) if everything or name in named)
    _refuse_unknown(lock, "group", named - known, _declared_groups(lock))
    return [(owner, name) for owner, name in found if name not in excluded]


def default_groups(lock: UvLock, roots: tuple[Package, ...]) -> set[NormalizedName]:
    """Return the groups that are installed without being asked for."""
    settings = lock.pyproject.tool("uv")
    if not lock.pyproject.exists and len(roots) == 1:
        settings = roots[0].table  # from revision 5 on the lock repeats them
    if settings.get("default-groups") == "all":
        return {name for owner in (*roots, None) for name in _names(lock, owner)}
    if "default-groups" not in settings:
        return {package_name("dev")}
    return set(map(package_name, strings(settings, "default-groups")))


def _extras(
    lock: UvLock, roots: tuple[Package, ...], wanted: Wanted
) -> tuple[tuple[Package, NormalizedName], ...]:
    known: set[NormalizedName] = set()
    for package in roots:
        known |= package.extras.keys()
        known |= set(map(package_name, strings(table(package.table, "metadata"), "provides-extras")))
    named = known if wanted.all_extras else set(map(package_name, wanted.extras))
    declared = table(lock.pyproject.project, "optional-dependencies")
    _refuse_unknown(lock, "extra", named - known, ((name, bool(declared[name])) for name in declared))
    return tuple((package, extra) for package in roots for extra in sorted(named & package.extras.keys()))


def _declared_groups(lock: UvLock) -> Iterator[tuple[str, bool]]:
    groups = {} if lock.is_script else lock.pyproject.groups
    return ((name, bool(members)) for name, members in groups.items())


def _refuse_unknown(
    lock: UvLock, kind: str, missing: set[NormalizedName], declared: Iterable[tuple[str, bool]]
) -> None:
    """An extra or group without members need not be in the lock; one with members must be."""
    in_project = {package_name(name): filled for name, filled in declared}
    for name in sorted(missing):
        if in_project.get(name):
            raise Fault("lock.stale", f"{kind} {name!r} of {lock.pyproject.path} is not locked")
        if name not in in_project:
            raise Fault(f"select.unknown-{kind}", f"there is no {kind} {name!r}")
