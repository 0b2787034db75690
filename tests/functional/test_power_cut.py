"""A power cut, simulated: the file system is stopped without writing its log, and mounted again.

What is durable must be whole. What is not may be torn, and must then not be trusted. A control shows that
the simulation tears what a careless order of steps leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.store.durability import Durability
from sprawld.store.files import sync_directory
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import entries
from tests.support.disk import Disk, NoDisk

pytestmark = pytest.mark.functional


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = Disk(tmp_path)
        disk.mount()
    except NoDisk as reason:
        pytest.skip(str(reason))
    yield disk
    disk.unmount()


def test_the_simulation_tears_what_was_not_synced(disk: Disk) -> None:
    """The control: publish by rename, make only the name durable."""
    store = Store.open(disk.path / "store", boot="boot-1")
    digest = entries.publish_entry(store, "demo")
    sync_directory(store.root / "wheels")
    disk.cut_power()
    assert verify_entry(Store.open(disk.path / "store", boot="boot-2"), digest) != []


def test_what_is_durable_is_whole_and_the_rest_is_not_trusted(disk: Disk) -> None:
    store = Store.open(disk.path / "store", boot="boot-1")
    lock = disk.path / "uv.lock"
    durable = [entries.publish_entry(store, f"durable{number}") for number in range(20)]
    kept = entries.publish_set(store, ["durable0"], lock)
    assert Durability(store).make_durable() == 21
    volatile = [entries.publish_entry(store, f"volatile{number}") for number in range(20)]
    entries.publish_set(store, ["volatile0"], lock)
    sync_directory(store.root / "wheels")
    sync_directory(store.root / "sets")
    disk.cut_power()
    rebooted = Store.open(disk.path / "store", boot="boot-2")
    assert all(rebooted.has_entry(digest) and verify_entry(rebooted, digest) == [] for digest in durable)
    assert rebooted.has_set(kept)
    assert not any(map(rebooted.has_entry, volatile))
    done = Durability(rebooted).after_boot()
    assert done.marked + len(done.discarded) <= 20
    assert done.discarded, "the control says that something was torn"
    for digest in rebooted.entries():
        assert rebooted.has_entry(digest)
        assert verify_entry(rebooted, digest) == []
    assert list(rebooted.sets()) == [kept]


def test_what_is_marked_after_a_recheck_stays_whole(disk: Disk) -> None:
    """A process dies, the machine restarts in order, the recheck marks; then the power goes."""
    store = Store.open(disk.path / "store", boot="boot-1")
    digest = entries.publish_entry(store, "demo")
    disk.unmount()
    disk.mount()
    rebooted = Store.open(disk.path / "store", boot="boot-2")
    assert Durability(rebooted).after_boot().marked == 1
    disk.cut_power()
    again = Store.open(disk.path / "store", boot="boot-3")
    assert again.has_entry(digest)
    assert verify_entry(again, digest) == []


@pytest.mark.parametrize("synced", [False, True])
def test_an_entry_published_again_does_not_inherit_its_mark(disk: Disk, synced: bool) -> None:
    store = Store.open(disk.path / "store", boot="boot-1")
    digest = entries.publish_entry(store, "demo")
    Durability(store).make_durable()
    store.discard(store.entry_path(digest))
    store.empty_trash()
    entries.publish_entry(store, "demo")
    if synced:
        sync_directory(store.root / "wheels")
    disk.cut_power()
    rebooted = Store.open(disk.path / "store", boot="boot-2")
    if rebooted.has_entry(digest):
        assert verify_entry(rebooted, digest) == []
    else:
        assert synced
