"""Verification: every way in which an entry can differ from its manifest is found, with its path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sprawld.store.tree import Store
from sprawld.store.verify import restore_modes, verify_entry
from tests.support import entries

SITE = entries.SITE
INIT = f"{SITE}/demo/__init__.py"
DEEP = f"{SITE}/demo/deep/er"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def rewrite(path: Path, content: bytes) -> None:
    """Write as root does, or a user who gave himself the right."""
    os.chmod(path, 0o644)
    path.write_bytes(content)
    os.chmod(path, 0o444)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    rewrite(path, bytes(content))


def remove(path: Path) -> None:
    os.chmod(path.parent, 0o755)
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    os.chmod(path.parent, 0o555)


def put(path: Path, make: Callable[[Path], object]) -> None:
    os.chmod(path.parent, 0o755)
    make(path)
    os.chmod(path.parent, 0o555)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    remove(path)
    put(path, make)


def make_cache(path: Path) -> None:
    path.mkdir()
    (path / "a.pyc").touch()
    path.chmod(0o555)


def test_a_sound_entry_has_no_problems(store: Store) -> None:
    assert verify_entry(store, entries.publish_entry(store, "demo")) == []


DAMAGE: list[tuple[str, Callable[[Path], object], list[tuple[str, str]]]] = [
    ("bit flip", lambda e: flip(e / INIT), [("changed", INIT)]),
    ("truncated", lambda e: rewrite(e / INIT, b""), [("changed", INIT)]),
    ("longer", lambda e: rewrite(e / INIT, (e / INIT).read_bytes() + b"#"), [("changed", INIT)]),
    ("file gone", lambda e: remove(e / INIT), [("missing", INIT)]),
    ("directory gone", lambda e: remove(e / DEEP), [("missing", f"{DEEP}/data.txt")]),
    ("everything gone", shutil.rmtree, [("manifest", "manifest")]),
    ("extra file", lambda e: put(e / SITE / "evil.pth", Path.touch), [("extra", f"{SITE}/evil.pth")]),
    ("extra at the top", lambda e: put(e / "x", Path.touch), [("extra", "x")]),
    (
        "extra tree",
        lambda e: put(e / SITE / "__pycache__", make_cache),
        [("extra", f"{SITE}/__pycache__/a.pyc")],
    ),
    ("extra link", lambda e: put(e / SITE / "l", lambda p: p.symlink_to("/")), [("extra", f"{SITE}/l")]),
    ("extra fifo", lambda e: put(e / SITE / "f", os.mkfifo), [("extra", f"{SITE}/f")]),
    (
        "link for a file",
        lambda e: replace(e / INIT, lambda p: p.symlink_to("/etc/passwd")),
        [("changed", INIT)],
    ),
    ("directory for a file", lambda e: replace(e / INIT, os.mkdir), [("changed", INIT)]),
    (
        "link for a directory",
        lambda e: replace(e / DEEP, lambda p: p.symlink_to("/")),
        [("extra", DEEP), ("missing", f"{DEEP}/data.txt")],
    ),
    ("mode of a file", lambda e: (e / INIT).chmod(0o644), [("mode", INIT)]),
    ("lost x bit", lambda e: (e / "bin" / "demo").chmod(0o444), [("mode", "bin/demo")]),
    ("mode of a directory", lambda e: (e / SITE).chmod(0o755), [("mode", SITE)]),
    ("manifest gone", lambda e: remove(e / "manifest"), [("manifest", "manifest")]),
    (
        "manifest cut",
        lambda e: rewrite(e / "manifest", (e / "manifest").read_bytes()[:-4]),
        [("manifest", "manifest")],
    ),
    (
        "manifest a link",
        lambda e: replace(e / "manifest", lambda p: p.symlink_to("x")),
        [("manifest", "manifest")],
    ),
]


@pytest.mark.parametrize(("damage", "found"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_damage_is_found(
    store: Store, damage: Callable[[Path], object], found: list[tuple[str, str]]
) -> None:
    digest = entries.publish_entry(store, "demo")
    damage(store.entry_path(digest))
    assert [(problem.kind, problem.path) for problem in verify_entry(store, digest)] == found


def test_another_wheels_entry_is_not_taken(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    other = entries.digest_of("other")
    os.rename(store.entry_path(digest), store.entry_path(other))
    assert [problem.kind for problem in verify_entry(store, other)] == ["manifest"]


def test_two_files_with_their_contents_exchanged(store: Store) -> None:
    digest = entries.publish_entry(store, "demo", {"lib/a": b"1", "lib/b": b"2"})
    rewrite(store.entry_path(digest) / "lib" / "a", b"2")
    rewrite(store.entry_path(digest) / "lib" / "b", b"1")
    assert [problem.path for problem in verify_entry(store, digest)] == ["lib/a", "lib/b"]


def test_modes_are_restored_unless_something_else_is_wrong(store: Store) -> None:
    digest = entries.publish_entry(store, "demo")
    (store.entry_path(digest) / INIT).chmod(0o600)
    (store.entry_path(digest) / DEEP).chmod(0o700)
    problems = verify_entry(store, digest)
    assert restore_modes(store, digest, problems)
    assert verify_entry(store, digest) == []
    flip(store.entry_path(digest) / INIT)
    assert not restore_modes(store, digest, verify_entry(store, digest))
