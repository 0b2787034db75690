"""Collection while others publish, lease and use things; and killed at every failpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sprawld.store import failpoints, gc
from sprawld.store.durability import Durability
from sprawld.store.state import State
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children, entries
from tests.support.world import DAY, NOW, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    failpoints.install(None)
    world.state.close()


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


def test_two_runs_at_once_are_refused(world: World) -> None:
    plan = world.plan()
    with world.store.holds.collecting(), pytest.raises(RuntimeError):
        gc.run(plan)


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
