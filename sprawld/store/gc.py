"""Garbage collection: which sets, entries and client copies nobody needs any more, and their removal.

1. A set is in use while a process leases it, while a project link leads to it, or while its lockfile is
   pinned, or exists and used it in the last 30 days. Where a budget is set, the least recently used sets go
   before that (`budget`). An entry, bundle or client copy is in use while a set or an install root refers
   to it, or a realise holds it.
2. `plan` only looks. `run` decides again about each thing, right before it moves it to the trash: about a set
   under its exclusive lease, about an entry under the lock of the holds. What came to life in between stays.
3. Sets go first, then what no remaining set refers to. So a crash at any point leaves every set with all of
   its entries, and whatever was on its way out whole or in the trash.
4. Ages are doubted when gc did not run for a long time: either the clock jumped, or nobody was here to use
   anything. Then nothing goes for its age alone until the next run.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from sprawld.model import Digest

from . import budget, bundles, leases, manifest, pins, references
from .failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path

    from .budget import Budget
    from .references import References
    from .state import State
    from .tree import Store

__all__ = ["MAX_AGE_SECONDS", "Dead", "GcPlan", "GcReport", "plan", "run"]

_Shared = Literal["bundles", "wheels", "client"]
"""What several sets may need."""
_SHARED: Final[tuple[_Shared, ...]] = ("bundles", "wheels", "client")

MAX_AGE_SECONDS: Final = 30 * 86400.0
"""A project that nobody ran for a month may take a moment to start again."""
GRACE_SECONDS: Final = 600.0
"""Longer than an entry waits, once published, for the set that needs it, should nobody hold it."""
CLOCK_GAP_SECONDS: Final = 30 * 86400.0
"""A longer time since the last gc is no reason to believe ages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """One thing that nobody needs."""

    kind: Literal["sets", "bundles", "wheels", "client"]
    name: str
    bytes: int
    reason: str
    title: str = field(default="", compare=False)
    """What its user knows it by: the lockfile of a set, name and version of an entry; or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPlan:
    """What a gc would remove, in the order in which it would."""

    dead: tuple[Dead, ...]
    ages_doubted: bool
    """True when nothing is dead for its age alone, because the clock is not to be believed this time."""
    judge: _Judge = field(repr=False, compare=False)

    @property
    def bytes(self) -> int:
        """Return the size of everything dead."""
        return sum(dead.bytes for dead in self.dead)


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What a gc removed."""

    removed: tuple[Dead, ...]
    kept: tuple[Dead, ...]
    """Planned, and in use again when their turn came."""

    @property
    def bytes(self) -> int:
        """Return the size of everything removed."""
        return sum(dead.bytes for dead in self.removed)


def plan(
    store: Store,
    state: State,
    *,
    now: float,
    max_age_seconds: float = MAX_AGE_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    client: str = "",
    believe_ages: bool = False,
    limits: Budget | None = None,
) -> GcPlan:
    """Find what nobody needs at the time `now` (seconds since the epoch); changes nothing.

    client: digest of the copy that new sets link to, which stays without any. believe_ages: expire by age
    even if the clock looks wrong, because the user asked. limits: what the store may take, if not all there
    is. StoreError `store.damaged` when an install root or pin cannot be read, for then nobody knows what it
    needs.
    """
    judge = _Judge(
        store=store,
        state=state,
        now=now,
        max_age=max_age_seconds,
        grace=grace_seconds,
        client=client,
        ages_doubted=not believe_ages and _doubt_ages(state, now),
    )
    sets = judge.dead_sets()
    if limits is not None:
        sets += judge.over_budget(limits, {dead.name for dead in sets})
    used = judge.used(without={dead.name for dead in sets})
    dead = (*sets, *(dead for kind in _SHARED for dead in judge.unused(kind, used)))
    failpoint("gc.marked")
    return GcPlan(dead=dead, ages_doubted=judge.ages_doubted, judge=judge)


def run(plan: GcPlan, *, dry_run: bool = False) -> GcReport:
    """Remove what the plan says, as far as it still holds; a dry run removes nothing and reports the plan.

    StoreError when the disk refuses; what is done by then is done. RuntimeError if another run is going on.
    """
    if dry_run:
        return GcReport(removed=plan.dead, kept=())
    judge = plan.judge
    removed: list[Dead] = []
    with judge.store.holds.collecting():
        removed += [dead for dead in plan.dead if dead.kind == "sets" and judge.remove_set(dead)]
        failpoint("gc.sets-done")
        used = judge.used()
        removed += [dead for dead in plan.dead if dead.kind != "sets" and judge.remove_unused(dead, used)]
    judge.forget_installs()
    failpoint("gc.done")
    judge.state.flush()
    judge.state.record_gc(now=judge.now)
    judge.store.empty_trash()
    gone = {(dead.kind, dead.name) for dead in removed}
    kept = tuple(dead for dead in plan.dead if (dead.kind, dead.name) not in gone)
    return GcReport(removed=tuple(removed), kept=kept)


def _doubt_ages(state: State, now: float) -> bool:
    last = state.last_gc()
    return last is None or now - last > CLOCK_GAP_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Decides what is dead; the same questions are asked when planning and again when removing."""

    store: Store
    state: State
    now: float
    max_age: float
    grace: float
    client: str
    ages_doubted: bool
    condemned: dict[str, int] = field(default_factory=dict)
    """Sets that have to go for the budget -> last use when that was decided."""

    def dead_sets(self) -> list[Dead]:
        dead = []
        for name in self.store.sets():
            path = self.store.set_path(name)
            if leases.is_leased(path) or name in self.store.holds:
                continue
            reason = self._why_dead(name, path)
            if reason:
                found = references.read_references(path)
                lock = "" if found is None or found.lock is None else str(found.lock)
                dead.append(Dead(kind="sets", name=name, bytes=_set_bytes(path), reason=reason, title=lock))
        return sorted(dead, key=lambda item: item.name)

    def _why_dead(self, name: str, path: Path) -> str:
        """Return why a set that nobody leases is dead, or the empty string."""
        found = references.read_references(path)
        if found is None:
            return "its set.json is damaged"
        if self._is_new(path):
            return ""
        uses = self._uses(name, found)
        if self._is_pinned(uses) or name in self.state.projects.kept():
            return ""
        present = [used for lock, used in uses if _exists(lock)]
        if not present:
            return "its lockfile is gone"
        if self._is_old(max(present)):
            days = int(self.now - max(present)) // 86400
            return f"not used for {days} days" if days else "not used in the last hours"
        if max(present) <= self.condemned.get(name, -1):
            return "the least recently used, and the store is over its budget"
        return ""

    def over_budget(self, limits: Budget, dead: set[str]) -> list[Dead]:
        """Condemn the least recently used sets until what stays fits; `dead` are those that go anyway."""
        entries_of: dict[str, frozenset[str]] = {
            os.fspath(install.target): install.entries
            for install in self.state.installs.all()
            if self._is_installed(install.target, install.installed)
        }
        last_use = {}
        linked = self.state.projects.kept()
        for name in self.store.sets():
            path = self.store.set_path(name)
            found = references.read_references(path)
            if name in dead or found is None:
                continue
            entries_of[name] = found.names
            uses = self._uses(name, found)
            if not (
                leases.is_leased(path)
                or name in self.store.holds
                or name in linked
                or self._is_new(path)
                or self._is_pinned(uses)
            ):
                last_use[name] = max((used for _, used in uses), default=found.made)
        sizes: dict[str, int] = {digest: self.store.room_of(digest) for digest in self.store.entries()}
        going = {item.name for item in self.unused("wheels", self.used(without=dead))}
        for name in budget.choose(limits, sizes, going, entries_of, last_use):
            self.condemned[name] = last_use[name]
        found_dead = [item for item in self.dead_sets() if item.name in self.condemned]
        return sorted(found_dead, key=lambda item: (last_use[item.name], item.name))

    def _uses(self, name: str, found: References) -> list[tuple[Path, int]]:
        uses = [(root.lock, root.used) for root in self.state.roots_of(name)]
        if found.lock is not None and found.lock not in dict(uses):
            uses.append((found.lock, found.made))
        # Starts that ask no daemon leave their time at the lease; one that is yet to come was never right.
        stamp = leases.last_use(self.store.set_path(name))
        stamp = stamp if stamp <= self.now else 0
        return [(lock, max(used, stamp)) for lock, used in uses]

    def _is_pinned(self, uses: list[tuple[Path, int]]) -> bool:
        kept = self.state.pins.all()
        return any(pins.covers(kept, lock) for lock, _ in uses)

    def used(self, *, without: frozenset[str] | set[str] = frozenset()) -> set[str]:
        """Return the names that the sets on disk, but for some, and the install roots refer to."""
        names = {self.client}
        for name in self.store.sets():
            if name not in without:
                path = self.store.set_path(name)
                found = references.read_references(path)
                names |= references.of_links(path) if found is None else found.names
        for install in self.state.installs.all():
            if self._is_installed(install.target, install.installed):
                names |= install.entries
        return names

    def unused(self, kind: _Shared, used: set[str]) -> list[Dead]:
        """Return the entries, bundles or client copies that are neither used nor held nor new."""
        store = self.store
        names = {"wheels": store.entries, "bundles": store.bundles, "client": store.clients}[kind]()
        reason = "no set and no environment uses it" if kind == "wheels" else "no set uses it"
        return [
            Dead(
                kind=kind,
                name=name,
                bytes=self._bytes(kind, name),
                reason=reason,
                title=manifest.title_of(store.root / kind / name / manifest.NAME) if kind == "wheels" else "",
            )
            for name in sorted(names)
            if name not in used
            and name not in self.store.holds
            and not self._is_new(self.store.root / kind / name)
        ]

    def _bytes(self, kind: _Shared, name: str) -> int:
        if kind == "wheels":
            return self.store.room_of(name)
        return bundles.own_bytes(self.store.root, name) if kind == "bundles" else 0

    def remove_set(self, dead: Dead) -> bool:
        path = self.store.set_path(dead.name)
        with leases.exclusive(path) as free:
            if not free or not self._why_dead(dead.name, path):
                return False
            failpoint("gc.set-checked")
            removed = self.store.discard_unheld(path)
        if removed:
            self.state.forget_set(dead.name)
        return removed

    def remove_unused(self, dead: Dead, used: set[str]) -> bool:
        path = self.store.root / dead.kind / dead.name
        if dead.name in used or self._is_new(path):
            return False
        failpoint("gc.entry-checked")
        removed = self.store.discard_unheld(path)
        if removed and dead.kind == "wheels":
            self.state.forget_entry(Digest(dead.name))
        return removed

    def forget_installs(self) -> None:
        for install in self.state.installs.all():
            if not self._is_installed(install.target, install.installed):
                self.state.installs.forget(install.target)
        for follower in self.state.projects.all():
            # Its set may go at once; the link may be wanted again when the disk of the project is mounted.
            if not follower.is_alive() and self._is_old(follower.updated):
                self.state.projects.remove(follower.kind, follower.anchor)

    def _is_installed(self, target: Path, installed: int) -> bool:
        # An environment on a disk that is not mounted now must find its entries when it is.
        return _exists(target) or not self._is_old(installed)

    def _is_new(self, path: Path) -> bool:
        """Tell whether something was published so recently that what needs it may still be on its way."""
        try:
            return self.now - os.lstat(path).st_ctime < self.grace
        except FileNotFoundError:
            return False

    def _is_old(self, used: int) -> bool:
        return not self.ages_doubted and self.now - used > self.max_age


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR)
    return True


def _set_bytes(path: Path) -> int:
    try:
        with os.scandir(path) as found:
            return sum(
                item.stat(follow_symlinks=False).st_size
                for item in found
                if item.is_file(follow_symlinks=False)
            )
    except OSError:
        return 0
