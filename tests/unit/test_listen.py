"""The socket and the daemon's lock."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from sprawld.daemon import watch_store
from sprawld.errors import StoreError
from sprawld.listen import Listener, daemon_lock, private_directory
from sprawld.server import Server

if TYPE_CHECKING:
    from pathlib import Path


def test_one_daemon_per_store(tmp_path: Path) -> None:
    store = tmp_path / "cache" / "virtual-sprawl"
    with daemon_lock(store) as first, daemon_lock(store) as second:
        assert first is not None
        assert second is None
    with daemon_lock(store) as again:
        assert again
    assert stat.S_IMODE(store.stat().st_mode) == 0o700


def test_a_lock_in_a_store_that_was_removed_is_lost(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with daemon_lock(store) as lock:
        assert lock is not None
        assert not lock.is_lost()
        shutil.rmtree(store)
        assert lock.is_lost()
        with daemon_lock(store) as other:
            assert other is not None
            assert lock.is_lost()
            assert not other.is_lost()
        tmp_path.chmod(0o700)


def test_an_idle_daemon_notices_that_its_store_was_removed(tmp_path: Path) -> None:
    async def watch() -> bool:
        with daemon_lock(tmp_path / "store") as lock:
            assert lock is not None
            server = Server()
            shutil.rmtree(tmp_path / "store")
            await watch_store(lock, server)
            return server.stopping

    assert asyncio.run(watch())


def test_the_socket_is_private_and_takes_a_dead_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "run" / "sock"
    path.parent.mkdir(mode=0o755)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    listener = Listener(path)
    try:
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        listener.close()
    assert not path.exists()


def test_only_its_own_file_is_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "run" / "sock"
    first = Listener(path)
    second = Listener(path)
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc: long socket paths are refused")
def test_a_path_too_long_for_a_socket_address_is_bound_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ("home" * 50) / "run" / "sock"
    listener = Listener(path)
    assert stat.S_ISSOCK(path.lstat().st_mode)
    listener.close()
    assert not path.exists()


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError) as refusal:
        private_directory(tmp_path / "run")
    assert refusal.value.code == "store.damaged"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(StoreError) as refusal:
        private_directory(tmp_path / "run")
    assert refusal.value.code == "store.foreign-owner"
