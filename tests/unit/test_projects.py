"""Project links and writable copies: what they keep alive, what gc takes, and what a damaged record means."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.store import gc
from sprawld.store.budget import Budget
from sprawld.store.projects import Follower, Projects
from sprawld.store.writable import WritableCopies
from tests.support.world import DAY, NOW, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def follower(world: World, digest: str, name: str = "app", kind: str = "ide") -> Follower:
    lock = world.lock(name)
    anchor = world.directory / name
    anchor.mkdir(exist_ok=True)
    if kind == "kernel":
        anchor = anchor / "kernel.json"
        anchor.touch()
    return Follower(
        kind="kernel" if kind == "kernel" else "ide",
        anchor=anchor,
        lock=lock,
        fields={"python": "/usr/bin/python3", "start": str(anchor), "index": "https://u:p@index.example/"},
        digest=digest,
        check=(str(lock), 1, 2, 3),
        updated=int(NOW),
    )


def test_a_link_leads_to_a_set_and_is_switched_at_once(world: World) -> None:
    one, two = world.project("one", "a"), world.project("two", "b")
    projects = world.state.projects
    found = follower(world, one)
    link = projects.link("ide", found.anchor)
    assert projects.lead(found)
    assert link.resolve() == world.store.set_path(one)
    assert not projects.lead(found)
    assert projects.lead(replace(found, digest=two))
    assert os.readlink(link) == f"../../sets/{two}", "relative: the store may move as a whole"
    again = projects.find("ide", found.anchor)
    assert again is not None
    assert (again.digest, again.lock) == (two, found.lock)
    assert "index" not in again.fields, "no password lies in the record"
    assert projects.find("kernel", found.anchor) is None
    assert projects.of_lock(found.lock) == [again]
    assert projects.remove("ide", found.anchor)
    assert not projects.remove("ide", found.anchor)
    assert projects.all() == []


@pytest.mark.parametrize("kind", ["ide", "kernel"])
def test_gc_keeps_what_a_link_leads_to_while_its_project_is_there(world: World, kind: str) -> None:
    digest = world.project("app", "a", used=NOW - 90 * DAY)
    found = follower(world, digest, kind=kind)
    world.state.projects.lead(found)
    assert world.plan().dead == ()
    assert world.plan(limits=Budget(max_bytes=0)).dead == ()
    if kind == "kernel":
        found.anchor.unlink()
    else:
        found.anchor.rmdir()
    report = gc.run(world.plan())
    assert {dead.kind for dead in report.removed} == {"sets", "wheels"}
    assert world.state.projects.find(found.kind, found.anchor) is not None, "its disk may be mounted again"
    gc.run(world.plan(now=NOW + 31 * DAY, believe_ages=True))
    assert world.state.projects.all() == []


def test_a_damaged_record_keeps_its_set_and_is_no_follower(world: World) -> None:
    digest = world.project("app", "a", used=NOW - 90 * DAY)
    projects = world.state.projects
    found = follower(world, digest)
    projects.lead(found)
    (projects.link("ide", found.anchor).parent / "follower.json").write_text("{")
    assert projects.all() == []
    assert projects.kept() == {digest}
    assert world.plan().dead == ()


def test_no_links_no_sets_kept(tmp_path: Path) -> None:
    projects = Projects(tmp_path)
    assert (projects.all(), projects.kept()) == ([], set())


def test_a_writable_copy_goes_when_its_lockfile_changes_and_nobody_runs_on_it(world: World) -> None:
    copies = WritableCopies(world.store.root)
    lock = world.lock("app")
    lock.write_text("one")
    path = copies.path(lock, "ab" * 20)
    path.mkdir(parents=True)
    (path / "lease").touch()
    (path / "data").write_text("x" * 100)
    copies.record(lock, "ab" * 20)
    assert copies.unused(now=NOW, grace=0) == []
    lock.write_text("two")
    assert copies.unused(now=path.stat().st_mtime, grace=600) == []
    (unused,) = copies.unused(now=NOW, grace=600)
    assert (unused.path, unused.lock, unused.bytes >= 100) == (path, lock, True)
    assert unused.reason == "its lockfile has changed"
    with open(path / "lease") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        assert copies.unused(now=NOW, grace=600) == []
        assert not copies.remove(unused)
    copies.record(lock, "ab" * 20)
    assert not copies.remove(unused), "it was used again in between"
    lock.unlink()
    (unused,) = copies.unused(now=NOW, grace=600)
    assert unused.reason == "its lockfile is gone"
    assert copies.remove(unused)
    assert os.listdir(path.parent) == []
