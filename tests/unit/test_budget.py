"""Budgets and pins: the least recently used goes first, and never what is in use, new or pinned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.store import gc
from sprawld.store.budget import Budget, choose
from sprawld.store.gc import GcPlan
from tests.support import entries
from tests.support.world import DAY, NOW, World

REASON = "the least recently used, and the store is over its budget"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.state.close()


@pytest.fixture
def sets(world: World) -> dict[str, str]:
    """Three sets of 1000-byte entries of their own and one that all share, oldest use first."""
    for name in ("old", "middle", "new", "shared"):
        entries.publish_entry(world.store, name, {"lib/x": b"x" * 1000})
    ages = {"old": 9, "middle": 5, "new": 1}
    return {name: world.project(name, name, "shared", used=NOW - age * DAY) for name, age in ages.items()}


def over(plan: GcPlan) -> list[str]:
    return [dead.name for dead in plan.dead if dead.reason == REASON]


def limited(world: World, size: int, **options: float) -> GcPlan:
    return world.plan(limits=Budget(max_bytes=size), **options)  # type: ignore[arg-type]


def test_what_fits_stays(world: World, sets: dict[str, str]) -> None:
    assert limited(world, 4000).dead == ()
    assert world.plan(limits=Budget(min_free=10, free=10)).dead == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "gone"),
    [(3999, ["old"]), (3000, ["old"]), (2999, ["old", "middle"]), (1, ["old", "middle", "new"])],
)
def test_the_least_recently_used_goes_first(
    world: World, sets: dict[str, str], size: int, gone: list[str]
) -> None:
    plan = limited(world, size)
    assert over(plan) == [sets[name] for name in gone]
    gc.run(plan)
    assert world.names() >= {sets[name] for name in sets if name not in gone}
    assert world.store.statistics().bytes <= max(size, 0)
    assert limited(world, size).dead == ()


def test_packs_count_and_go_with_their_entries(world: World, sets: dict[str, str]) -> None:
    place = world.store.root / "packs/cpython-311-x86_64-linux-gnu"
    place.mkdir(parents=True)
    pack = place / f"{entries.digest_of('old')}.pack"
    pack.write_bytes(bytes(500))
    plan = limited(world, 4499)
    assert over(plan) == [sets["old"]]
    assert plan.bytes >= 1500
    gc.run(plan)
    assert not pack.exists()


def test_room_on_the_disk_counts_as_well(world: World, sets: dict[str, str]) -> None:
    plan = world.plan(limits=Budget(min_free=5000, free=4500))  # type: ignore[arg-type]
    assert over(plan) == [sets["old"]]


def test_what_goes_anyway_counts_first(world: World, sets: dict[str, str]) -> None:
    entries.publish_entry(world.store, "lonely", {"lib/x": b"x" * 1000})
    assert over(limited(world, 4000)) == []
    assert len(limited(world, 4000).dead) == 1


def test_leased_held_new_and_pinned_sets_stay(world: World, sets: dict[str, str]) -> None:
    world.state.pins.pin(world.lock("middle"), now=NOW)
    with entries.leased(world.store.set_path(sets["old"])), world.store.holds.hold([sets["new"]]):
        assert limited(world, 0).dead == ()
    assert over(limited(world, 0)) == [sets["old"], sets["new"]]
    assert limited(world, 0, now=time.time()).dead == ()


def test_installed_entries_free_no_room(world: World, sets: dict[str, str], tmp_path: Path) -> None:
    world.state.installs.record(tmp_path, [entries.digest_of("old")], now=NOW)
    plan = limited(world, 3000)
    assert over(plan) == [sets["middle"]], "without the installed entry the oldest set frees nothing"
    gc.run(plan)
    assert entries.digest_of("old") in world.names()


def test_a_set_used_since_it_was_chosen_stays(world: World, sets: dict[str, str]) -> None:
    plan = limited(world, 3000)
    world.state.touch(world.lock("old"), sets["old"], now=NOW)
    assert gc.run(plan).removed == ()


def test_a_pin_keeps_a_set_of_any_age_and_without_its_lockfile(world: World) -> None:
    digest = world.project("app", "one", used=NOW - 300 * DAY)
    world.lock("app").unlink()
    world.state.pins.pin(world.directory, now=NOW)
    assert world.plan().dead == ()
    plan = world.plan()
    world.state.pins.unpin(world.directory)
    assert {dead.name for dead in world.plan().dead} == {digest, entries.digest_of("one")}
    assert plan.dead == ()


def test_a_pin_made_after_the_plan_counts(world: World) -> None:
    world.project("app", "one", used=NOW - 300 * DAY)
    plan = world.plan()
    assert len(plan.dead) == 2
    world.state.pins.pin(world.lock("app"), now=NOW)
    assert gc.run(plan).removed == ()


def test_a_budget_is_none_where_nothing_is_limited(tmp_path: Path) -> None:
    assert Budget.of(tmp_path, None, None) is None
    found = Budget.of(tmp_path, None, 1)
    assert found is not None
    assert found.free > 1
    assert found.excess(0) <= 0


def test_entries_shared_by_what_stays_are_no_gain() -> None:
    sizes = {"a": 10, "b": 10}
    chosen = choose(
        Budget(max_bytes=10),
        sizes,
        (),
        {"one": ["a"], "two": ["a", "b"], "three": ["a"]},
        {"one": 1, "two": 2},
    )
    assert chosen == ["two"], "the other one would free nothing"
