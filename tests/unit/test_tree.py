"""The tree: publishing, discarding, holds; as root and as another user, whole and killed."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import failpoints
from sprawld.store.durability import Durability
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children, entries

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", boot="boot-1")


@pytest.fixture
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.install(None)


@pytest.fixture
def nobodys() -> Iterator[Path]:
    with children.nobodys_directory() as path:
        yield path


class TestPublish:
    def test_entry_appears_read_only(self, store: Store) -> None:
        digest = entries.digest_of("demo")
        assert not store.has_entry(digest)
        assert store.publish_entry(entries.stage_entry(store, "demo"), digest)
        assert store.has_entry(digest)
        assert stat.S_IMODE(store.entry_path(digest).stat().st_mode) == 0o555
        assert verify_entry(store, digest) == []
        assert os.listdir(store.root / "tmp") == []

    def test_loser_of_a_race_is_thrown_away(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        inode = store.entry_path(digest).stat().st_ino
        assert not store.publish_entry(entries.stage_entry(store, "demo"), digest)
        assert store.entry_path(digest).stat().st_ino == inode
        assert os.listdir(store.root / "tmp") == os.listdir(store.root / "trash") == []

    def test_many_threads_publish_one_entry(self, store: Store) -> None:
        digest = entries.digest_of("demo")
        staged = [entries.stage_entry(store, "demo") for _ in range(8)]
        won: list[bool] = []
        threads = [
            threading.Thread(target=lambda path=path: won.append(store.publish_entry(path, digest)))
            for path in staged
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == [False] * 7 + [True]
        assert os.listdir(store.root / "tmp") == []
        assert verify_entry(store, digest) == []

    def test_replaces_what_is_not_trusted(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo", {"lib/old": b"old"})
        rebooted = Store.open(store.root, boot="boot-2")
        assert not rebooted.has_entry(digest)
        assert rebooted.publish_entry(entries.stage_entry(rebooted, "demo"), digest)
        assert rebooted.has_entry(digest)
        assert not (store.entry_path(digest) / "lib" / "old").exists()
        assert rebooted.empty_trash() == 1

    @pytest.mark.parametrize("make", [os.mkdir, lambda path: path.write_text("x")])
    def test_replaces_what_is_no_entry(self, store: Store, make: object) -> None:
        digest = entries.digest_of("demo")
        make(store.entry_path(digest))  # type: ignore[operator]
        assert not store.has_entry(digest)
        assert store.publish_entry(entries.stage_entry(store, "demo"), digest)

    def test_refuses_a_manifest_of_another_boot_or_wheel(self, store: Store) -> None:
        with pytest.raises(ValueError, match="another wheel or boot"):
            store.publish_entry(entries.stage_entry(store, "demo", boot="b"), entries.digest_of("demo"))
        with pytest.raises(ValueError, match="another wheel or boot"):
            store.publish_entry(entries.stage_entry(store, "demo"), entries.digest_of("other"))
        with pytest.raises(StoreError) as refusal:
            store.publish_entry(store.new_staging("empty"), entries.digest_of("demo"))
        assert refusal.value.code == "store.damaged"

    @pytest.mark.parametrize("name", ["", "..", "../../etc", "A" * 64, "0" * 63, "0" * 64 + "\n"])
    def test_refuses_names_that_are_no_digests(self, store: Store, name: str) -> None:
        for method in (store.entry_path, store.has_entry):
            with pytest.raises(ValueError, match="not a digest"):
                method(name)

    def test_set_appears_with_its_boot(self, store: Store, tmp_path: Path) -> None:
        entries.publish_entry(store, "demo")
        digest = entries.publish_set(store, ["demo"], tmp_path / "uv.lock")
        assert store.has_set(digest)
        assert (store.set_path(digest) / "boot").read_text() == "boot-1"
        assert entries.read_set(store.set_path(digest)) > 0
        assert not Store.open(store.root, boot="boot-2").has_set(digest)

    @pytest.mark.parametrize("action", ["enospc", "eio"])
    def test_reports_a_disk_that_refuses(self, store: Store, no_failpoints: None, action: str) -> None:
        staged = entries.stage_entry(store, "demo")
        failpoints.install(failpoints.hook_from(f"publish.before-rename:{action}"))
        with pytest.raises(StoreError) as refusal:
            store.publish_entry(staged, entries.digest_of("demo"))
        assert refusal.value.code == ("disk.full" if action == "enospc" else "store.unwritable")
        failpoints.install(None)
        assert store.publish_entry(staged, entries.digest_of("demo"))


class TestStaging:
    def test_is_private_and_goes_away(self, store: Store) -> None:
        with pytest.raises(KeyError), store.staging("wheel") as path:  # noqa: PT012 - raised in the block
            assert path.parent == store.root / "tmp"
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            (path / "deep").mkdir()
            (path / "deep").chmod(0o555)
            raise KeyError
        assert os.listdir(store.root / "tmp") == os.listdir(store.root / "trash") == []

    def test_goes_where_it_lies_on_a_disk_too_full_for_the_trash(
        self, store: Store, no_failpoints: None
    ) -> None:
        path = store.new_staging("wheel")
        (path / "half").write_bytes(b"a wheel")
        failpoints.install(failpoints.hook_from("discard.before-rename:enospc"))
        store.remove(path)
        assert os.listdir(store.root / "tmp") == os.listdir(store.root / "trash") == []

    def test_published_whole_or_in_part(self, store: Store) -> None:
        with store.staging("wheel") as path:
            inner = path / "entry"
            entries.stage_entry(store, "demo").rename(inner)
            assert store.publish_entry(inner, entries.digest_of("demo"))
        assert store.has_entry(entries.digest_of("demo"))
        assert os.listdir(store.root / "tmp") == []

    def test_comes_back_after_the_cache_was_removed(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        shutil.rmtree(store.root)
        assert not store.has_entry(digest)
        assert list(store.entries()) == []
        assert store.empty_trash() == 0
        entries.publish_entry(store, "demo")
        assert store.has_entry(digest)
        assert store.statistics().entries == 1

    def test_removal_follows_no_link(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "file").write_text("x")
        with store.staging("wheel") as path:
            (path / "link").symlink_to(tmp_path / "precious")
        assert (tmp_path / "precious" / "file").exists()


class TestDiscard:
    def test_entry_goes_with_its_mark(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        assert Durability(store).make_durable() == 1
        assert store.discard(store.entry_path(digest))
        assert not store.has_entry(digest)
        assert os.listdir(store.root / "durable") == []
        assert not store.discard(store.entry_path(digest))
        assert store.empty_trash() == 1

    def test_publication_that_was_replaced_stays(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        (item,) = Durability(store).volatile()
        store.discard(store.entry_path(digest))
        entries.publish_entry(store, "demo")
        assert not store.discard_publication(item)
        assert store.mark_durable([item]) == 0
        assert store.has_entry(digest)

    def test_held_names_stay(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        with store.holds.hold([digest]), store.holds.hold([digest]):
            assert not store.discard_unheld(store.entry_path(digest))
        assert store.discard_unheld(store.entry_path(digest))

    def test_a_collection_remembers_holds(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        with store.holds.hold([digest]), store.holds.collecting():
            pass
        with store.holds.collecting():
            with store.holds.hold([digest]):
                pass
            assert not store.discard_unheld(store.entry_path(digest))
            with pytest.raises(RuntimeError), store.holds.collecting():
                pass
        assert store.discard_unheld(store.entry_path(digest))

    def test_trash_that_cannot_be_deleted_is_left(
        self, store: Store, caplog: pytest.LogCaptureFixture, no_failpoints: None
    ) -> None:
        store.discard(entries.stage_entry(store, "demo"))
        failpoints.install(failpoints.hook_from("trash.file-removed:eio"))
        assert store.empty_trash() == 0
        assert "cannot be deleted" in caplog.text


class TestStatistics:
    def test_counts_without_reading_again(self, store: Store, tmp_path: Path) -> None:
        one = entries.publish_entry(store, "one", {"lib/x": b"12345"})
        entries.publish_entry(store, "two", {"lib/x": b"1234567"})
        entries.publish_set(store, ["one"], tmp_path / "uv.lock")
        assert (store.statistics().entries, store.statistics().sets, store.statistics().bytes) == (2, 1, 12)
        store.discard(store.entry_path(one))
        entries.publish_entry(store, "three", {"lib/x": b"1"})
        counted = store.statistics()
        assert (counted.entries, counted.bytes, counted.trash) == (2, 8, 1)
        assert Store.open(store.root, boot="boot-1").statistics().bytes == 8


@needs_root
def test_everything_works_without_privileges(nobodys: Path) -> None:
    def work() -> None:
        store = Store.open(nobodys / "store")
        staged = entries.stage_entry(store, "demo")
        os.chmod(staged, 0o555)
        digest = entries.digest_of("demo")
        assert store.publish_entry(staged, digest)
        assert stat.S_IMODE(store.entry_path(digest).stat().st_mode) == 0o555
        assert Durability(store).make_durable() == 1
        assert not store.publish_entry(entries.stage_entry(store, "demo"), digest)
        set_digest = entries.publish_set(store, ["demo"], nobodys / "uv.lock")
        assert store.discard(store.set_path(set_digest))
        assert store.discard(store.entry_path(digest))
        left = entries.stage_entry(store, "left")
        os.chmod(left, 0o555)
        again = Store.open(store.root)
        assert os.listdir(store.root / "tmp") == []
        assert again.empty_trash() == 3
        assert os.listdir(store.root / "trash") == []

    children.run_as(children.NOBODY, work)


PUBLISHING = [
    name for name in failpoints.NAMES if name.startswith(("open.", "publish.", "discard.", "trash."))
]


@pytest.mark.parametrize("point", PUBLISHING)
def test_killed_while_opening_or_publishing(tmp_path: Path, point: str) -> None:
    """A second publication loses, so the trash is used as well."""
    digest = entries.digest_of("demo")

    def work() -> None:
        store = Store.open(tmp_path / "store", boot="boot-1")
        store.publish_entry(entries.stage_entry(store, "demo"), digest)
        store.publish_entry(entries.stage_entry(store, "demo"), digest)

    assert children.kill_at(point, work)
    store = Store.open(tmp_path / "store", boot="boot-1")
    assert os.listdir(store.root / "tmp") == []
    if store.has_entry(digest):
        assert verify_entry(store, digest) == []
        assert stat.S_IMODE(store.entry_path(digest).stat().st_mode) == 0o555
    else:
        assert point.startswith(("open.", "publish.before"))
        assert entries.publish_entry(store, "demo") == digest
    store.empty_trash()
    assert os.listdir(store.root / "trash") == []
