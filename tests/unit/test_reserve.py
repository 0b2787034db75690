"""The reserve: made where there is plenty of room, given up where there is none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sprawld.store import reserve
from sprawld.store.reserve import RESERVE_BYTES, Reserve, free_bytes
from sprawld.store.tree import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Store.open(tmp_path / "store").root


def test_it_takes_real_room(root: Path) -> None:
    assert Reserve(root).make()
    status = os.lstat(root / "reserve")
    assert status.st_size == RESERVE_BYTES
    assert status.st_blocks * 512 >= RESERVE_BYTES
    assert Reserve(root).make()
    assert os.lstat(root / "reserve").st_ino == status.st_ino
    assert Reserve(root).drop()
    assert not Reserve(root).drop()
    assert os.listdir(root / "tmp") == []


def test_it_is_not_made_where_room_is_scarce(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "free_bytes", lambda path: 15 * RESERVE_BYTES)
    assert not Reserve(root).make()
    assert not (root / "reserve").exists()


def test_it_is_given_up_where_room_is_scarce(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reserve(root).make()
    assert not Reserve(root).drop_if_scarce()
    monkeypatch.setattr(reserve, "free_bytes", lambda path: 4096)
    assert Reserve(root).drop_if_scarce()
    assert not (root / "reserve").exists()


def test_a_file_system_without_fallocate(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert Reserve(root).make()
    assert os.lstat(root / "reserve").st_blocks * 512 >= RESERVE_BYTES


def test_a_disk_that_refuses_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert not Reserve(root).make()
    assert os.listdir(root / "tmp") == []


def test_free_bytes_is_what_statvfs_says(root: Path) -> None:
    assert free_bytes(root) > 0
