"""Collection: what is in use stays, what is not goes, and the moment in between is decided again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import failpoints, gc
from sprawld.store.durability import Durability
from sprawld.store.gc import GcPlan
from sprawld.store.state import State
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children, entries

DAY = 86400.0
NOW = time.time() + 100 * DAY  # Everything made by these tests is old by then.


class World:
    """A store, its state, and projects with lockfiles."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store.open(directory / "store", boot="boot-1")
        self.state = State.open(self.store.root)
        self.state.record_gc(now=NOW - DAY)

    def project(self, name: str, *packages: str, used: float = NOW - DAY, client: str = "") -> str:
        """Make a set of these packages, used by a lockfile that exists; return its digest."""
        lock = self.lock(name)
        lock.write_text("")
        for package in packages:
            entries.publish_entry(self.store, package)
        digest = entries.publish_set(self.store, packages, lock, client=client)
        self.state.touch(lock, digest, now=used)
        return digest

    def lock(self, name: str) -> Path:
        return self.directory / f"{name}.lock"

    def plan(self, **options: float | str | bool) -> GcPlan:
        return gc.plan(self.store, self.state, **({"now": NOW} | options))  # type: ignore[arg-type]

    def names(self) -> set[str]:
        return {*self.store.entries(), *self.store.sets(), *self.store.clients()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    failpoints.install(None)
    world.state.close()


def reasons(plan: GcPlan) -> dict[str, str]:
    return {dead.name: dead.reason for dead in plan.dead}


def test_what_is_in_use_stays(world: World) -> None:
    world.project("app", "one", "two")
    assert world.plan().dead == ()


def test_what_nothing_refers_to_goes(world: World) -> None:
    kept = world.project("app", "one")
    lonely = entries.publish_entry(world.store, "lonely")
    plan = world.plan()
    assert reasons(plan) == {lonely: "no set and no environment uses it"}
    assert plan.bytes == world.store.entry_bytes(lonely) > 0
    report = gc.run(plan)
    assert (report.removed, report.kept, report.bytes) == (plan.dead, (), plan.bytes)
    assert world.names() == {kept, entries.digest_of("one")}
    assert os.listdir(world.store.root / "trash") == []
    assert world.plan().dead == ()


def test_a_dry_run_removes_nothing(world: World) -> None:
    entries.publish_entry(world.store, "lonely")
    before = world.names()
    assert len(gc.run(world.plan(), dry_run=True).removed) == 1
    assert world.names() == before
    assert world.state.last_gc() == int(NOW - DAY)


def test_a_set_dies_with_its_lockfile(world: World) -> None:
    digest = world.project("app", "one")
    world.lock("app").unlink()
    assert reasons(world.plan())[digest] == "its lockfile is gone"
    gc.run(world.plan())
    assert world.names() == set()
    assert world.state.roots() == []


def test_a_set_lives_as_long_as_one_of_its_lockfiles(world: World) -> None:
    world.project("app", "one")
    world.project("copy", "one")
    world.lock("app").unlink()
    assert world.plan().dead == ()
    world.lock("copy").unlink()
    assert len(world.plan().dead) == 2


def test_a_set_dies_of_age(world: World) -> None:
    old = world.project("old", "one", "shared", used=NOW - 31 * DAY)
    world.project("new", "two", "shared", used=NOW - 29 * DAY)
    assert reasons(world.plan()) == {
        old: "not used for 31 days",
        entries.digest_of("one"): "no set and no environment uses it",
    }
    assert world.plan(max_age_seconds=32 * DAY).dead == ()
    assert len(world.plan(max_age_seconds=DAY).dead) == 5


@pytest.mark.parametrize("jump", [3650 * DAY, -3650 * DAY])
def test_ages_are_doubted_when_the_clock_jumps(world: World, jump: float) -> None:
    world.project("app", "one")
    plan = world.plan(now=NOW + jump)
    assert plan.dead == ()
    assert plan.ages_doubted == (jump > 0)
    if jump > 0:
        assert len(world.plan(now=NOW + jump, believe_ages=True).dead) == 2
        gc.run(plan)
        assert len(world.plan(now=NOW + jump + DAY).dead) == 2


def test_a_lost_database_makes_nothing_old(world: World) -> None:
    world.project("app", "one")
    world.state.close()
    (world.store.root / "state.sqlite").write_bytes(b"damaged")
    world.state = State.open(world.store.root)
    plan = world.plan()
    assert plan.ages_doubted
    assert plan.dead == ()
    world.lock("app").unlink()
    assert len(world.plan().dead) == 2


def test_a_leased_set_stays_with_its_entries(world: World) -> None:
    digest = world.project("app", "one")
    world.lock("app").unlink()
    with entries.leased(world.store.set_path(digest)):
        assert world.plan().dead == ()
    assert len(world.plan().dead) == 2


def test_a_lease_taken_after_the_plan_counts(world: World) -> None:
    digest = world.project("app", "one")
    world.lock("app").unlink()
    plan = world.plan()
    with entries.leased(world.store.set_path(digest)):
        report = gc.run(plan)
        assert report.removed == ()
        assert report.kept == plan.dead
        assert entries.read_set(world.store.set_path(digest)) > 0


def test_a_lease_that_comes_too_late_is_noticed_by_its_taker(world: World) -> None:
    """The client has the file open already when gc renames the set: lock, then check."""
    digest = world.project("app", "one")
    path = world.store.set_path(digest)
    world.lock("app").unlink()
    blocked: list[type[BaseException]] = []

    def take(point: str) -> None:
        if point in ("gc.set-checked", "gc.sets-done"):
            with pytest.raises((BlockingIOError, FileNotFoundError)) as failure:
                entries.take_lease(path)
            blocked.append(failure.type)

    failpoints.install(take)
    gc.run(world.plan())
    assert blocked == [BlockingIOError, FileNotFoundError]


def test_a_use_after_the_plan_counts(world: World) -> None:
    digest = world.project("app", "one", used=NOW - 40 * DAY)
    plan = world.plan()
    assert len(plan.dead) == 2
    world.state.touch(world.lock("app"), digest, now=NOW)
    assert gc.run(plan).removed == ()


def test_a_set_published_after_the_plan_keeps_its_entries(world: World) -> None:
    digest = entries.publish_entry(world.store, "one")
    plan = world.plan()
    world.project("app", "one")
    assert gc.run(plan).removed == ()
    assert world.store.has_entry(digest)


@pytest.mark.parametrize("point", ["gc.marked", "gc.sets-done", "gc.entry-checked"])
def test_a_realise_at_any_moment_keeps_what_it_found(world: World, point: str) -> None:
    """Hold, ask, publish, let go: whatever was found is there afterwards, or it was not found."""
    digests = [entries.publish_entry(world.store, name) for name in ("one", "two")]
    results: list[bool] = []

    def realise(passed: str) -> None:
        if passed != point or results:
            return
        with world.store.holds.hold(digests):
            present = [name for name in ("one", "two") if world.store.has_entry(entries.digest_of(name))]
            results.append(bool(present))
            world.lock("app").write_text("")
            results.append(entries.publish_set(world.store, present, world.lock("app")) != "")

    failpoints.install(realise)
    gc.run(world.plan())
    failpoints.install(None)
    assert results
    for name in world.store.sets():
        entries.read_set(world.store.set_path(name))


def test_realising_threads_and_gc_never_break_a_set(world: World) -> None:
    """The race that a snapshot of references would lose: publish, let go, while gc goes on."""
    ends = threading.Event()
    broken: list[BaseException] = []

    def realise(number: int) -> None:
        try:
            while not ends.is_set():
                names = [f"package{number}", "shared"]
                with world.store.holds.hold([entries.digest_of(name) for name in names]):
                    for name in names:
                        if not world.store.has_entry(entries.digest_of(name)):
                            entries.publish_entry(world.store, name)
                    world.lock(str(number)).write_text("")
                    digest = entries.publish_set(world.store, names, world.lock(str(number)))
                    world.state.touch(world.lock(str(number)), digest, now=NOW)
                entries.read_set(world.store.set_path(digest))
                world.lock(str(number)).unlink()
                world.state.forget_set(digest)
                while digest in set(world.store.sets()) and not ends.is_set():
                    os.sched_yield()
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=realise, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        gc.run(world.plan(grace_seconds=0))
    ends.set()
    for thread in threads:
        thread.join()
    assert broken == []


def test_what_is_held_stays(world: World) -> None:
    digest = world.project("app", "one")
    lonely = entries.publish_entry(world.store, "lonely")
    world.lock("app").unlink()
    with world.store.holds.hold([digest, lonely]):
        assert world.plan().dead == ()
    plan = world.plan()
    with world.store.holds.hold([digest, lonely]):
        assert gc.run(plan).removed == ()
    assert len(gc.run(plan).removed) == 3


def test_what_is_new_stays(world: World) -> None:
    entries.publish_entry(world.store, "lonely")
    world.project("app")
    world.lock("app").unlink()
    assert world.plan(now=time.time()).dead == ()
    assert len(world.plan(now=time.time(), grace_seconds=-1).dead) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"entries": "x"}', b'{"entries": [1]}', b'{"entries": [], "lock": 1}'],
)
def test_a_damaged_set_is_dead_unless_leased(world: World, content: bytes) -> None:
    digest = world.project("app", "one", "two")
    path = world.store.set_path(digest)
    (path / "set.json").write_bytes(content)
    with entries.leased(path):
        assert world.plan().dead == (), "its links say what it needs"
    assert reasons(world.plan())[digest] == "its set.json is damaged"
    gc.run(world.plan())
    assert world.names() == set()


class TestInstalls:
    def test_keep_their_entries_while_the_environment_exists(self, world: World, tmp_path: Path) -> None:
        digest = entries.publish_entry(world.store, "one")
        (tmp_path / "venv").mkdir()
        world.state.installs.record(tmp_path / "venv", [digest], now=NOW - 50 * DAY)
        assert world.plan().dead == ()
        (tmp_path / "venv").rmdir()
        assert len(gc.run(world.plan()).removed) == 1
        assert world.state.installs.all() == []

    def test_wait_for_a_disk_that_is_not_there(self, world: World, tmp_path: Path) -> None:
        digest = entries.publish_entry(world.store, "one")
        world.state.installs.record(tmp_path / "absent", [digest], now=NOW - 20 * DAY)
        assert world.plan().dead == ()

    def test_that_cannot_be_read_stop_everything(self, world: World) -> None:
        entries.publish_entry(world.store, "lonely")
        (world.store.root / "roots" / "x.json").write_bytes(b"?")
        with pytest.raises(StoreError) as refusal:
            world.plan()
        assert refusal.value.code == "store.damaged"


def test_client_copies_stay_while_a_set_or_the_daemon_needs_them(world: World) -> None:
    old, older, current = ("a" * 40, "b" * 40, "c" * 40)
    for name in (old, older, current):
        (world.store.client_path(name) / "_virtual_sprawl").mkdir(parents=True)
    world.project("app", "one", client=old)
    plan = world.plan(client=current)
    assert reasons(plan) == {older: "no set uses it"}
    gc.run(plan)
    assert set(world.store.clients()) == {old, current}


def test_two_runs_at_once_are_refused(world: World) -> None:
    plan = world.plan()
    with world.store.holds.collecting(), pytest.raises(RuntimeError):
        gc.run(plan)


def test_uses_are_written_and_entries_forgotten(world: World) -> None:
    lonely = entries.publish_entry(world.store, "lonely")
    world.state.touch_entries([lonely], now=1)
    gc.run(world.plan())
    assert world.state.entry_uses() == {}
    assert world.state.last_gc() == int(NOW)


def test_durable_things_go_with_their_marks(world: World) -> None:
    world.project("app", "one")
    Durability(world.store).make_durable()
    world.lock("app").unlink()
    gc.run(world.plan())
    assert os.listdir(world.store.root / "durable") == []


COLLECTING = [name for name in failpoints.NAMES if name.startswith(("gc.", "discard.", "trash."))]


@pytest.mark.parametrize("passes", [0, 1, 2])
@pytest.mark.parametrize("point", COLLECTING)
def test_killed_while_collecting(world: World, point: str, passes: int) -> None:
    live = world.project("live", "one", "shared")
    world.project("dead", "two", "shared")
    world.project("gone", "three")
    world.lock("dead").unlink()
    world.lock("gone").unlink()
    world.state.flush()
    Durability(world.store).make_durable()

    def work() -> None:
        store = Store.open(world.store.root, boot="boot-1")
        state = State.open(world.store.root)
        gc.run(gc.plan(store, state, now=NOW))

    world.state.close()  # A database connection must not be taken across a fork.
    children.kill_at(f"{point}:{passes}", work)
    world.state = State.open(world.store.root)
    world.store = Store.open(world.store.root, boot="boot-1")
    check_sound(world)
    assert gc.run(world.plan()).kept == ()
    check_sound(world)
    assert world.names() == {live, entries.digest_of("one"), entries.digest_of("shared")}
    assert os.listdir(world.store.root / "trash") == []
    assert world.plan().dead == ()


def check_sound(world: World) -> None:
    """Every set has all of its entries, and every entry is whole."""
    for name in world.store.sets():
        assert world.store.has_set(name)
        assert entries.read_set(world.store.set_path(name)) > 0
    for digest in world.store.entries():
        assert world.store.has_entry(digest)
        assert verify_entry(world.store, digest) == []


def test_every_collecting_failpoint_is_reached(world: World) -> None:
    world.project("dead", "one")
    world.lock("dead").unlink()
    seen: set[str] = set()
    note: Callable[[str], None] = seen.add
    failpoints.install(note)
    gc.run(world.plan())
    assert seen >= set(COLLECTING)
