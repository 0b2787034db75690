"""Repair: whole entries change places, extras go, and nothing moves under a program or a realise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprawld.store import repair
from sprawld.store.durability import Durability
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import entries
from tests.unit.test_verify import DEEP, INIT, SITE, flip, put, remove


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def content(path: Path) -> dict[str, tuple[int, int]]:
    """Every file of an entry with its inode and mtime."""
    found = {}
    for file in sorted(path.rglob("*")):
        status = file.lstat()
        if not file.is_dir():
            found[str(file)] = (status.st_ino, status.st_mtime_ns)
    return found


def test_a_damaged_entry_is_set_apart_for_a_sound_one(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    other = entries.publish_entry(store, "other")
    before = content(store.entry_path(other))
    Durability(store).make_durable()
    flip(store.entry_path(digest) / INIT)
    assert repair.replace_entry(store, digest, entries.stage_entry(store, "demo")) == "repaired"
    assert verify_entry(store, digest) == []
    assert store.has_entry(digest)
    assert len(os.listdir(store.root / "quarantine")) == 1
    assert os.listdir(store.root / "tmp") == []
    assert f"wheels-{digest}" not in os.listdir(store.root / "durable")
    assert content(store.entry_path(other)) == before


def test_an_entry_that_is_gone_comes_back(store: Store) -> None:
    digest = entries.digest_of("demo")
    assert repair.replace_entry(store, digest, entries.stage_entry(store, "demo")) == "repaired"
    assert store.has_entry(digest)
    assert os.listdir(store.root / "quarantine") == []


@pytest.mark.parametrize("described", [True, False])
def test_nothing_moves_under_a_program(store: Store, tmp_path: Path, described: bool) -> None:
    digest = entries.publish_entry(store, "demo")
    used = store.set_path(entries.publish_set(store, ["demo"], tmp_path / "uv.lock"))
    entries.publish_set(store, [], tmp_path / "other.lock")
    if not described:
        (used / "set.json").write_text("?")
    put(store.entry_path(digest) / SITE / "x", Path.touch)
    before = content(store.entry_path(digest))
    staged = entries.stage_entry(store, "demo")
    with entries.leased(used):
        assert repair.replace_entry(store, digest, staged) == "in use"
        assert repair.remove_extras(store, digest) == "in use"
        assert repair.discard_set(store, used.name) == "in use"
    assert content(store.entry_path(digest)) == before
    assert staged.exists()
    assert repair.discard_set(store, used.name) == "repaired"
    assert repair.discard_set(store, used.name) == "repaired"
    assert not used.exists()


def test_nothing_moves_under_a_realise(store: Store, tmp_path: Path) -> None:
    digest = entries.publish_entry(store, "demo")
    name = entries.publish_set(store, ["demo"], tmp_path / "uv.lock")
    with store.holds.hold([digest, name]):
        assert repair.replace_entry(store, digest, entries.stage_entry(store, "demo")) == "in use"
        assert repair.remove_extras(store, digest) == "in use"
        assert repair.discard_set(store, name) == "in use"
    assert store.set_path(name).exists()


def test_leases_are_held_while_an_entry_is_replaced(store: Store, tmp_path: Path) -> None:
    digest = entries.publish_entry(store, "demo")
    path = store.set_path(entries.publish_set(store, ["demo"], tmp_path / "uv.lock"))
    with repair.unused(store, digest) as free:
        assert free
        with pytest.raises(BlockingIOError):
            entries.take_lease(path)
    os.close(entries.take_lease(path))


def test_extras_go_and_the_listed_files_keep_inode_and_time(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    path = store.entry_path(digest)
    before = content(path)
    put(path / SITE / "demo" / "__pycache__", lambda p: (p.mkdir(), (p / "a.pyc").touch()))
    put(path / SITE / "evil.pth", Path.touch)
    put(path / "top", lambda p: p.symlink_to("/etc"))
    put(path / DEEP / "empty", os.mkdir)
    os.chmod(path / DEEP / "empty", 0o555)
    assert repair.remove_extras(store, digest) == "repaired"
    assert verify_entry(store, digest) == []
    assert content(path) == before
    assert (path / DEEP / "empty").is_dir(), "wheels may have empty directories"
    assert not (path / SITE / "demo" / "__pycache__").exists()
    assert Path("/etc").is_dir()


def test_quick_looks_at_sizes_and_not_at_contents(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    flip(store.entry_path(digest) / INIT)
    assert verify_entry(store, digest, contents=False) == []
    remove(store.entry_path(digest) / INIT)
    assert [problem.kind for problem in verify_entry(store, digest, contents=False)] == ["missing"]
