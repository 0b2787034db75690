"""Collection: what is in use stays, what is not goes, and the moment in between is decided again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import failpoints, gc
from sprawld.store.durability import Durability
from sprawld.store.gc import GcPlan
from sprawld.store.state import State
from tests.support import entries
from tests.support.world import DAY, NOW, World


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


def test_an_age_of_less_than_a_day_is_told(world: World) -> None:
    digest = world.project("app", "one", used=NOW - 2 * 3600)
    assert reasons(world.plan(max_age_seconds=3600))[digest] == "not used in the last hours"


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


def test_a_start_that_asked_nobody_counts_as_use(world: World) -> None:
    digest = world.project("app", "one", used=NOW - 90 * DAY)
    lease = world.store.set_path(digest) / "lease"
    os.utime(lease, (NOW - DAY, NOW - DAY))
    assert world.plan().dead == ()
    # Decided again when its turn comes.
    os.utime(lease, (0, 0))
    plan = world.plan()
    os.utime(lease, (NOW - 60, NOW - 60))
    assert digest in reasons(plan)
    assert gc.run(plan).removed == ()
    # A time that is yet to come was never right.
    os.utime(lease, (NOW + DAY, NOW + DAY))
    assert digest in reasons(world.plan())


def test_a_bundle_goes_after_its_last_set_and_counts_nothing(world: World) -> None:
    world.project("kept", "a", used=NOW - DAY)
    name = "ab" * 20
    with world.store.staging("bundle-") as staged:
        record = {"bundle": 1, "name": name, "entries": [], "packages": [], "reasons": [], "owners": {}}
        counts = {"conflicts": [], "files": 3, "copied": 1, "copied_bytes": 7}
        (staged / "bundle.json").write_text(json.dumps(record | counts))
        assert world.store.publish_set(staged, name, "bundles")
    assert world.store.has_bundle(name)
    assert world.store.statistics().bundles == 1
    (path_set,) = [world.store.set_path(digest) for digest in world.store.sets()]
    content = json.loads((path_set / "set.json").read_text())
    path_set.chmod(0o755)
    (path_set / "set.json").unlink()
    (path_set / "set.json").write_text(json.dumps(content | {"bundles": [name]}))
    assert world.plan().dead == ()
    with world.store.holds.hold([name]):
        held = world.plan(now=NOW + 60 * DAY, believe_ages=True).dead
        assert [item.kind for item in held] == ["sets", "wheels"]
    dead = world.plan(now=NOW + 60 * DAY, believe_ages=True).dead
    assert [(item.kind, item.bytes) for item in dead if item.kind == "bundles"] == [("bundles", 7)]
    assert [item.kind for item in dead] == ["sets", "bundles", "wheels"]


def test_what_goes_has_a_title_that_its_user_knows(world: World) -> None:
    old = world.project("old", "one", used=NOW - 31 * DAY)
    titles = {dead.name: dead.title for dead in world.plan().dead}
    assert titles[old] == str(world.lock("old"))
    assert titles[entries.digest_of("one")].startswith("one ")
