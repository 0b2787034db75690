"""Opening a store: made private, refused when it is not ours, not writable, too new or damaged."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store.tree import Store
from tests.support import children, entries

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", boot="boot-1")


@pytest.fixture
def nobodys() -> Iterator[Path]:
    with children.nobodys_directory() as path:
        yield path


class TestOpen:
    def test_makes_a_private_tree(self, tmp_path: Path) -> None:
        root = tmp_path / "cache" / "virtual-sprawl"
        Store.open(root)
        assert (root / "format").read_bytes() == b"1\n"
        for path in (root.parent, root, *(child for child in root.iterdir() if child.is_dir())):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert {"wheels", "sets", "client", "durable", "tmp", "trash"} <= set(os.listdir(root))

    def test_opens_again(self, store: Store) -> None:
        digest = entries.publish_entry(store, "demo")
        assert Store.open(store.root, boot="boot-1").has_entry(digest)

    def test_refuses_a_newer_format(self, store: Store) -> None:
        (store.root / "format").write_bytes(b"2\n")
        with pytest.raises(StoreError) as refusal:
            Store.open(store.root)
        assert refusal.value.code == "store.newer-format"

    @pytest.mark.parametrize("content", [b"", b"0\n", b"-1\n", b"one\n", b"1" * 100])
    def test_refuses_a_damaged_format(self, store: Store, content: bytes) -> None:
        (store.root / "format").write_bytes(content)
        with pytest.raises(StoreError) as refusal:
            Store.open(store.root)
        assert refusal.value.code == "store.damaged"

    @pytest.mark.parametrize("child", ["tmp", "wheels", "durable"])
    def test_refuses_a_link_in_the_place_of_a_directory(
        self, store: Store, tmp_path: Path, child: str
    ) -> None:
        (store.root / child).rmdir()
        (tmp_path / "elsewhere").mkdir()
        (store.root / child).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError) as refusal:
            Store.open(store.root)
        assert refusal.value.code == "store.damaged"

    def test_takes_a_root_that_is_the_users_own_link(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "disk")
        entries.publish_entry(Store.open(tmp_path / "link"), "demo")
        assert (tmp_path / "disk" / "wheels" / entries.digest_of("demo")).is_dir()

    def test_refuses_a_file_in_the_place_of_the_root(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("")
        with pytest.raises(StoreError) as refusal:
            Store.open(tmp_path / "store")
        assert refusal.value.code == "store.unwritable"

    def test_closes_what_others_could_read_or_write(self, store: Store) -> None:
        os.chmod(store.root, 0o777)
        os.chmod(store.root / "wheels", 0o755)
        Store.open(store.root)
        assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
        assert stat.S_IMODE((store.root / "wheels").stat().st_mode) == 0o700

    @needs_root
    def test_refuses_a_store_of_another_user(self, store: Store) -> None:
        os.chown(store.root, children.NOBODY, children.NOBODY)
        with pytest.raises(StoreError) as refusal:
            Store.open(store.root)
        assert refusal.value.code == "store.foreign-owner"

    @needs_root
    def test_refuses_what_another_user_put_into_an_open_root(self, store: Store) -> None:
        os.chmod(store.root, 0o777)
        os.mkdir(store.root / "planted")
        os.chown(store.root / "planted", children.NOBODY, children.NOBODY)
        with pytest.raises(StoreError) as refusal:
            Store.open(store.root)
        assert refusal.value.code == "store.foreign-owner"

    @needs_root
    def test_refuses_a_link_that_another_user_put_there(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "mine")
        os.lchown(tmp_path / "link", children.NOBODY, children.NOBODY)
        with pytest.raises(StoreError) as refusal:
            Store.open(tmp_path / "link")
        assert refusal.value.code == "store.foreign-owner"
        assert os.listdir(tmp_path / "mine") == []

    @needs_root
    def test_refuses_a_read_only_store(self, nobodys: Path) -> None:
        def work() -> None:
            store = Store.open(nobodys / "store")
            os.chmod(store.root, 0o500)
            with pytest.raises(StoreError) as refusal:
                Store.open(store.root)
            assert refusal.value.code == "store.unwritable"
            with pytest.raises(StoreError) as refusal:
                Store.open(Path("/proc/virtual-sprawl"))
            assert refusal.value.code == "store.unwritable"

        children.run_as(children.NOBODY, work)

    def test_moves_leftovers_to_the_trash(self, store: Store) -> None:
        entries.stage_entry(store, "left")
        (store.root / "tmp" / "file").write_bytes(b"partial")
        again = Store.open(store.root, boot="boot-1")
        assert os.listdir(store.root / "tmp") == []
        assert again.statistics().trash == 2
        assert again.empty_trash() == 2
        assert os.listdir(store.root / "trash") == []
