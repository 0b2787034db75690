"""The file helpers: no link is followed, nothing is left half written, removal takes whatever modes."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store import files


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_remove_tree_takes_everything_and_follows_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    tree = tmp_path / "tree"
    (tree / "sealed" / "deeper").mkdir(parents=True)
    (tree / "sealed" / "deeper" / "file").touch()
    (tree / "sealed" / "link").symlink_to(tmp_path / "kept")
    (tree / "sealed" / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    (tree / "sealed" / "deeper").chmod(0)
    (tree / "sealed").chmod(0o555)
    with files.open_directory(tmp_path) as descriptor:
        files.remove_tree("tree", descriptor)
        files.remove_tree("tree", descriptor)
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["file"]


def test_read_small_reads_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert files.read_small(tmp_path / "file", 5) == b"12345"
    found = {}
    for name, limit in (("file", 4), ("link", 9), ("fifo", 9), ("absent", 9), (".", 9)):
        with pytest.raises(OSError, match=r"\w") as failure:
            files.read_small(tmp_path / name, limit)
        found[name] = failure.value.errno
    assert found == {
        "file": errno.EFBIG,
        "link": errno.ELOOP,
        "fifo": errno.EINVAL,
        "absent": errno.ENOENT,
        ".": errno.EISDIR,
    }


def test_write_atomic_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    staging = tmp_path / "tmp"
    staging.mkdir()
    target = tmp_path / "target"
    files.write_atomic(target, b"one", staging)
    files.write_atomic(target, b"two", staging)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_atomic(tmp_path / "directory", b"three", staging)
    assert names(staging) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk.full"), (errno.EDQUOT, "disk.full"), (errno.EROFS, "store.unwritable")],
)
def test_writing_names_the_cause(number: int, code: str) -> None:
    with pytest.raises(StoreError) as refusal, files.writing("the thing"):
        raise OSError(number, os.strerror(number))
    assert refusal.value.code == code
    assert "the thing" in refusal.value.message


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://user:pass@files.example/a.whl?token=1#sha256=0", "https://files.example/a.whl"),
        ("https://files.example/a@b/c.whl", "https://files.example/a@b/c.whl"),
        ("https://a@b:c@files.example", "https://files.example"),
        ("https://files.example?x=//user@host", "https://files.example"),
        ("not a url", "not a url"),
    ],
)
def test_without_secrets(url: str, bare: str) -> None:
    assert files.without_secrets(url) == bare


def test_random_names_are_long_and_differ() -> None:
    one, two = files.random_name("wheel"), files.random_name("wheel")
    assert one != two
    assert one.startswith("wheel-")
    assert len(one) == len("wheel-") + 32


def test_a_full_disk_is_told_with_what_is_left(tmp_path: Path) -> None:
    error = OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    told = files.describe(error, "the store", tmp_path)
    assert told.code == "disk.full"
    assert re.search(r"; \d+ bytes are free$", told.message)
    assert "bytes" not in files.describe(error, "the store", tmp_path / "absent").message
