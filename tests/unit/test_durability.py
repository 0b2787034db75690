"""Durability: boot ids, syncing, marks, and what happens to volatile things after a reboot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import durability, failpoints
from sprawld.store.durability import Durability, boot_id, syncfs
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children, entries

SITE = entries.SITE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store.open(tmp_path / "store", boot="boot-1")
    failpoints.install(None)


def reboot(store: Store, boot: str = "boot-2") -> Store:
    return Store.open(store.root, boot=boot)


def test_boot_id_is_the_same_for_every_process() -> None:
    code = "from sprawld.store.durability import boot_id; print(boot_id())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == boot_id()
    assert len(boot_id()) >= 32


@pytest.mark.parametrize("whole", [True, False])
def test_syncfs_reaches_every_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """What reaches the disk cannot be seen from here; that the fallback syncs each file can."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    if not whole:
        monkeypatch.setattr(durability, "_syncfs", lambda descriptor: False)
    staged = entries.stage_entry(store, "demo")
    (staged / "link").symlink_to("/")
    syncfs(store.root, [staged])
    wanted = {path.lstat().st_ino for path in staged.rglob("*") if not path.is_symlink()}
    assert set(synced) == (set() if whole else wanted | {staged.stat().st_ino})


def test_marks_only_after_the_sync(store: Store, tmp_path: Path) -> None:
    digest = entries.publish_entry(store, "demo")
    name = entries.publish_set(store, ["demo"], tmp_path / "uv.lock")
    order: list[str] = []

    def watch(point: str) -> None:
        order.append(f"{point} {len(os.listdir(store.root / 'durable'))}")

    failpoints.install(watch)
    assert Durability(store).make_durable() == 2
    assert order == ["durable.before-sync 0", "durable.synced 0", "durable.marked 2"]
    assert set(os.listdir(store.root / "durable")) == {f"wheels-{digest}", f"sets-{name}"}
    assert Durability(store).volatile() == ()
    assert Durability(store).make_durable() == 0


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_nothing_is_marked_when_the_sync_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    entries.publish_entry(store, "demo")
    hook = failpoints.hook_from(f"durable.synced:{action}")
    monkeypatch.setattr(durability, "syncfs", lambda path, trees: hook("durable.synced"))
    with pytest.raises(StoreError) as refusal:
        Durability(store).make_durable()
    assert refusal.value.code == ("disk.full" if action == "enospc" else "store.unwritable")
    assert os.listdir(store.root / "durable") == []


def test_durable_things_are_trusted_after_a_reboot(store: Store, tmp_path: Path) -> None:
    digest = entries.publish_entry(store, "demo")
    name = entries.publish_set(store, ["demo"], tmp_path / "uv.lock")
    Durability(store).make_durable()
    rebooted = reboot(store)
    assert rebooted.has_entry(digest)
    assert rebooted.has_set(name)
    assert Durability(rebooted).after_boot() == durability.AfterBoot()


def test_volatile_things_are_decided_on_after_a_reboot(store: Store, tmp_path: Path) -> None:
    sound = entries.publish_entry(store, "sound")
    torn = entries.publish_entry(store, "torn")
    name = entries.publish_set(store, ["sound"], tmp_path / "uv.lock")
    (store.entry_path(torn) / SITE / "torn" / "__init__.py").write_bytes(b"")
    rebooted = reboot(store)
    assert not any((rebooted.has_entry(sound), rebooted.has_entry(torn), rebooted.has_set(name)))
    fresh = entries.publish_entry(rebooted, "fresh")
    done = Durability(rebooted).after_boot()
    assert (done.marked, done.discarded) == (1, (torn,))
    assert rebooted.has_entry(sound)
    assert list(rebooted.sets()) == []
    assert set(rebooted.entries()) == {sound, fresh}
    assert [item.name for item in Durability(rebooted).volatile()] == [fresh]


@pytest.mark.parametrize("left", [0, 100, -4])
def test_a_torn_manifest_is_not_believed(store: Store, left: int) -> None:
    digest = entries.publish_entry(store, "demo")
    manifest = store.entry_path(digest) / "manifest"
    os.chmod(manifest, 0o644)
    os.truncate(manifest, left if left >= 0 else manifest.stat().st_size + left)
    rebooted = reboot(store)
    assert not rebooted.has_entry(digest)
    assert Durability(rebooted).after_boot().discarded == (digest,)


def test_lost_modes_are_set_right(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    os.chmod(store.entry_path(digest) / SITE / "demo" / "__init__.py", 0o600)
    os.chmod(store.entry_path(digest) / SITE, 0o700)
    rebooted = reboot(store)
    assert Durability(rebooted).after_boot().marked == 1
    assert rebooted.has_entry(digest)
    assert verify_entry(rebooted, digest) == []


def test_a_torn_boot_file_makes_a_set_untrusted(store: Store, tmp_path: Path) -> None:
    name = entries.publish_set(store, [], tmp_path / "uv.lock")
    os.chmod(store.set_path(name) / "boot", 0o644)
    (store.set_path(name) / "boot").write_bytes(b"")
    assert not reboot(store, "boot-1").has_set(name)


def test_making_durable_passes_over_an_older_boot(store: Store) -> None:
    entries.publish_entry(store, "demo")
    rebooted = reboot(store)
    assert Durability(rebooted).make_durable() == 0
    assert os.listdir(store.root / "durable") == []


def test_a_mark_vouches_for_one_publication_only(store: Store) -> None:
    """The mark survives a power cut that took its removal back, and says nothing for the new entry."""
    digest = entries.publish_entry(store, "demo")
    Durability(store).make_durable()
    mark = store.root / "durable" / f"wheels-{digest}"
    os.link(mark, store.root / "kept")
    store.discard(store.entry_path(digest))
    entries.publish_entry(store, "demo")
    os.rename(store.root / "kept", mark)
    rebooted = reboot(store)
    assert not rebooted.has_entry(digest)
    assert Durability(rebooted).after_boot().marked == 1
    assert rebooted.has_entry(digest)


def test_stale_marks_go(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    Durability(store).make_durable()
    os.rename(store.entry_path(digest), store.root / "trash" / "x")
    (store.root / "durable" / "what-ever").write_text("")
    Durability(store).after_boot()
    assert os.listdir(store.root / "durable") == []


def test_a_store_without_hard_links_stays_volatile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    digest = entries.publish_entry(store, "demo")
    monkeypatch.setattr(os, "link", refuse)
    assert Durability(store).make_durable() == 0
    assert store.has_entry(digest)
    assert Durability(reboot(store)).after_boot().discarded == ()


def test_what_is_replaced_during_a_sync_is_not_marked(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")

    def replace(point: str) -> None:
        if point == "durable.synced":
            failpoints.install(None)
            store.discard(store.entry_path(digest))
            entries.publish_entry(store, "demo")

    failpoints.install(replace)
    assert Durability(store).make_durable() == 0
    assert len(Durability(store).volatile()) == 1


@pytest.mark.parametrize("point", [name for name in failpoints.NAMES if name.startswith("durable.")])
def test_killed_while_making_durable(store: Store, point: str) -> None:
    digest = entries.publish_entry(store, "demo")
    assert children.kill_at(point, lambda: Durability(store).make_durable())
    again = reboot(store, "boot-1")
    assert again.has_entry(digest)
    assert Durability(again).make_durable() == (0 if point == "durable.marked" else 1)
