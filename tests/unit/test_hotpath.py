"""Replies that are ready, and the stats that keep them true."""

from __future__ import annotations

import marshal
import os
import resource
from typing import TYPE_CHECKING

import pytest

from sprawld import hotpath
from sprawld.hotpath import Ready, ReadyTable, check_of
from sprawld.model import PathSet
from sprawld.pathsets import setindex
from virtual_sprawl import protocol, replies

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "uv.lock"
    path.parent.mkdir()
    path.write_text("version = 1\n")
    return path


def ready_for(lock: Path, *watched: Path) -> Ready:
    path_set = PathSet(digest="ab" * 32, path=lock.parent, index=b"index")
    return Ready.of_set(path_set, tuple(check_of(str(path)) for path in (lock, *watched)))


def test_a_ready_reply_is_a_whole_path_set_frame(lock: Path) -> None:
    ready = ready_for(lock)
    ((kind, payload),) = protocol.FrameReader(protocol.REPLY_LIMIT).feed(ready.frame)
    assert kind == protocol.PATH_SET
    assert protocol.decode_strings(payload) == [b"ab" * 32, os.fsencode(lock.parent), b"index"]
    assert ready.lock == str(lock)


def test_a_changed_lock_makes_the_reply_stale(lock: Path, tmp_path: Path) -> None:
    table = ReadyTable(tmp_path)
    table.put(b"question", ready_for(lock))
    assert table.get(b"question") is not None
    lock.write_text("version = 1\nrevision = 3\n")
    assert table.get(b"question") is None
    assert table.statistics() == {"ready": 0, "hits": 1, "stale": 1}


def test_a_nearer_lock_makes_the_reply_stale(lock: Path, tmp_path: Path) -> None:
    table = ReadyTable(tmp_path)
    nearer = lock.parent / "scripts" / "uv.lock"
    nearer.parent.mkdir()
    table.put(b"question", ready_for(lock, nearer))
    assert table.get(b"question") is not None
    nearer.write_text("version = 1\n")
    assert table.get(b"question") is None


def test_a_record_outlives_the_daemon(lock: Path, tmp_path: Path) -> None:
    ready = ready_for(lock)
    ReadyTable(tmp_path).record(b"question", ready)
    assert ReadyTable(tmp_path).recall(b"question") == ready
    assert ReadyTable(tmp_path).recall(b"another question") is None
    lock.unlink()
    assert ReadyTable(tmp_path).recall(b"question") is None


def test_a_lock_of_the_same_size_and_time_makes_the_reply_stale(lock: Path, tmp_path: Path) -> None:
    table = ReadyTable(tmp_path)
    found = lock.stat()
    table.put(b"question", ready_for(lock))
    while lock.stat().st_ctime_ns == found.st_ctime_ns:
        lock.write_text("version = 2\n")
        os.utime(lock, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (lock.stat().st_mtime_ns, lock.stat().st_size) == (found.st_mtime_ns, found.st_size)
    assert table.get(b"question") is None


def test_a_record_of_an_older_release_counts_as_absent(lock: Path, tmp_path: Path) -> None:
    records = tmp_path / "replies"
    records.mkdir()
    table = ReadyTable(records)
    table.record(b"question", ready_for(lock))
    (record,) = records.iterdir()
    _, *rest = marshal.loads(record.read_bytes())
    for older in (1, (2, setindex.FORMAT - 1)):
        record.write_bytes(marshal.dumps((older, *rest), 4))
        assert table.recall(b"question") is None


def test_client_and_daemon_agree_on_the_form_of_records() -> None:
    assert hotpath.RECORD_FORMAT == replies.RECORD_FORMAT


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xe9\x01\x00"])
def test_a_damaged_record_counts_as_absent(lock: Path, tmp_path: Path, damage: bytes) -> None:
    records = tmp_path / "replies"
    records.mkdir()
    table = ReadyTable(records)
    table.record(b"question", ready_for(lock))
    (record,) = records.iterdir()
    record.write_bytes(damage)
    assert table.recall(b"question") is None


def test_a_record_that_others_can_write_counts_as_absent(lock: Path, tmp_path: Path) -> None:
    records = tmp_path / "replies"
    records.mkdir()
    table = ReadyTable(records)
    table.record(b"question", ready_for(lock))
    (record,) = records.iterdir()
    record.chmod(0o666)
    assert table.recall(b"question") is None


def test_forgotten_sets_are_asked_for_again(lock: Path, tmp_path: Path) -> None:
    table = ReadyTable(tmp_path)
    table.put(b"question", ready_for(lock))
    table.forget_sets(["cd" * 32])
    assert table.get(b"question") is not None
    table.forget_sets(["ab" * 32])
    assert table.get(b"question") is None


@pytest.mark.parametrize("limit", [None, 10])
def test_a_reply_that_cannot_be_recorded_is_one_all_the_same(
    lock: Path, tmp_path: Path, limit: int | None
) -> None:
    """Its directory was removed; the disk is full (here: a limit on the size of files)."""
    records = tmp_path / "replies"
    table = ReadyTable(records)
    if limit is not None:
        records.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if limit is None else limit, before[1]))
    try:
        table.record(b"question", ready_for(lock))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert table.recall(b"question") is None
    assert limit is None or list(records.iterdir()) == []
