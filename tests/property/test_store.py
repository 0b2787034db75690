"""The store as a machine: publishing, leasing, collecting, dying and rebooting in any order.

Promises, checked after every step:
- a set that somebody leases can be read to its last file;
- an entry that is trusted is what its manifest says, and a set that is trusted has all of its entries;
- what is held and was found stays;
- after opening, tmp/ is empty; after a collection, nothing is left to collect.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sprawld.store import failpoints, gc, publication
from sprawld.store.durability import Durability
from sprawld.store.state import State
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children, entries

pytestmark = pytest.mark.property

DAY = 86400.0
NAMES = ("a", "b", "c", "d")
PROJECTS = ("x", "y", "z")
names = st.sampled_from(NAMES)
some_names = st.lists(names, unique=True, max_size=3)
projects = st.sampled_from(PROJECTS)
collecting = st.sampled_from(
    [name for name in failpoints.NAMES if name.startswith(("gc.", "discard.", "trash."))]
)
publishing = st.sampled_from([name for name in failpoints.NAMES if name.startswith("publish.")])


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.boots = 0
        self.now = time.time() + DAY  # past every grace period
        self.leases: dict[int, Path] = {}
        self.holds = contextlib.ExitStack()
        self.found: set[str] = set()
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.directory / "store", boot=f"boot-{self.boots}")
        self.state = State.open(self.store.root)
        self.holds = contextlib.ExitStack()
        self.found = set()
        assert os.listdir(self.store.root / "tmp") == []

    def die(self) -> None:
        """End the daemon as SIGKILL does: whatever is only in memory is lost."""
        self.state._database.close()

    def lock(self, project: str) -> Path:
        return self.directory / f"{project}.lock"

    # What a daemon does

    @rule(name=names)
    def publish(self, name: str) -> None:
        won = not self.store.has_entry(entries.digest_of(name))
        assert self.store.publish_entry(entries.stage_entry(self.store, name), entries.digest_of(name)) == won

    @rule(wanted=some_names, project=projects)
    def realise(self, wanted: list[str], project: str) -> None:
        digest = entries.set_digest(wanted)
        with self.store.holds.hold([digest, *map(entries.digest_of, wanted)]):
            for name in wanted:
                if not self.store.has_entry(entries.digest_of(name)):
                    entries.publish_entry(self.store, name)
            self.lock(project).write_text("")
            if not self.store.has_set(digest):
                entries.publish_set(self.store, wanted, self.lock(project))
            self.state.touch(self.lock(project), digest, now=self.now)
        assert self.store.has_set(digest)

    @rule()
    def make_durable(self) -> None:
        Durability(self.store).make_durable()

    @rule()
    def after_boot(self) -> None:
        Durability(self.store).after_boot()
        for digest in self.store.entries():
            assert self.store.has_entry(digest)

    @rule()
    def flush(self) -> None:
        self.state.flush()

    @rule(name=names)
    def hold(self, name: str) -> None:
        digest = entries.digest_of(name)
        self.holds.enter_context(self.store.holds.hold([digest]))
        if self.store.has_entry(digest):
            self.found.add(digest)

    @rule()
    def let_go(self) -> None:
        self.holds.close()
        self.found = set()

    @rule(days=st.sampled_from([0, 0, 31]))
    def collect(self, days: int) -> None:
        self.now += days * DAY
        gc.run(gc.plan(self.store, self.state, now=self.now))
        again = gc.plan(self.store, self.state, now=self.now, believe_ages=days == 0)
        assert days or again.ages_doubted or again.dead == ()
        gc.run(again)
        assert gc.plan(self.store, self.state, now=self.now).dead == ()

    # What users do

    @rule(which=st.integers(min_value=0))
    @precondition(lambda self: any(map(self.store.has_set, self.store.sets())))
    def lease(self, which: int) -> None:
        trusted = sorted(filter(self.store.has_set, self.store.sets()))
        path = self.store.set_path(trusted[which % len(trusted)])
        self.leases[entries.take_lease(path)] = path

    @rule()
    @precondition(lambda self: self.leases)
    def unlease(self) -> None:
        descriptor, _ = self.leases.popitem()
        os.close(descriptor)

    @rule(project=projects)
    def remove_lockfile(self, project: str) -> None:
        self.lock(project).unlink(missing_ok=True)

    # What goes wrong

    @rule(left=some_names)
    def kill(self, left: list[str]) -> None:
        for name in left:
            entries.stage_entry(self.store, name)
        self.die()
        self.open()

    @rule(point=collecting, passes=st.integers(0, 3))
    def kill_while_collecting(self, point: str, passes: int) -> None:
        def work() -> None:
            store = Store.open(self.store.root, boot=self.store.boot)
            state = State.open(self.store.root)
            gc.run(gc.plan(store, state, now=self.now))

        self.die()
        children.kill_at(f"{point}:{passes}", work)
        self.open()

    @rule(point=publishing, name=names)
    def kill_while_publishing(self, point: str, name: str) -> None:
        def work() -> None:
            store = Store.open(self.store.root, boot=self.store.boot)
            entries.publish_entry(store, name)

        self.die()
        children.kill_at(point, work)
        self.open()

    @rule(torn=st.sets(names), where=st.sampled_from(["manifest", f"{entries.SITE}/{{}}/__init__.py"]))
    def cut_power(self, torn: set[str], where: str) -> None:
        """Reboot; what was not durable may have lost its content."""
        self.die()
        for descriptor in self.leases:
            os.close(descriptor)
        self.leases.clear()
        for name in torn:
            item = publication.look(self.store.root, "wheels", entries.digest_of(name))
            if item is not None and not publication.is_durable(self.store.root, item):
                path = item.path(self.store.root) / where.format(name)
                os.chmod(path, 0o644)
                os.truncate(path, 0)
        self.boots += 1
        self.open()

    @rule(which=st.integers(min_value=0))
    @precondition(lambda self: any(self.store.sets()))
    def damage_description(self, which: int) -> None:
        known = sorted(self.store.sets())
        (self.store.set_path(known[which % len(known)]) / "set.json").write_bytes(b"")

    # What is promised

    @invariant()
    def leased_sets_can_be_read(self) -> None:
        for path in self.leases.values():
            entries.read_set(path)

    @invariant()
    def trusted_entries_are_true(self) -> None:
        for digest in self.store.entries():
            if self.store.has_entry(digest):
                assert verify_entry(self.store, digest) == []

    @invariant()
    def trusted_sets_are_whole(self) -> None:
        for name in self.store.sets():
            if self.store.has_set(name):
                entries.read_set(self.store.set_path(name))

    @invariant()
    def what_is_held_and_was_found_stays(self) -> None:
        assert all(map(self.store.has_entry, self.found))

    @invariant()
    def counters_are_right(self) -> None:
        fresh = Store(self.store.root, self.store.boot)
        assert self.store.statistics() == fresh.statistics()

    def teardown(self) -> None:
        self.die()
        for descriptor in self.leases:
            os.close(descriptor)
        shutil.rmtree(self.directory)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
