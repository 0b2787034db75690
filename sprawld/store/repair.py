"""Repair of entries and sets: damaged ones go by rename, sound ones come, and never under a program.

1. Nothing is repaired that a process leases, by any set, or that a realise holds: it is "in use". The leases
   of all sets that need an entry are held, exclusively, while it is replaced; who starts meanwhile waits.
2. The files of an entry are never edited. A damaged entry goes to quarantine/ as a whole, after a sound one
   has been staged: without a source nothing is moved.
3. What the manifest does not list is no content of the entry, so removing it is no edit of content: it was
   put there by somebody else (root, whose interpreter writes bytecode anywhere), and the listed files keep
   inode, time and bytes.
4. A bundle is links to the files of entries. When one of its entries goes, so does the bundle, and with it
   the sets that need it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final, Literal

from . import bundles, files, leases, manifest, references
from .failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sprawld.model import Digest

    from .tree import Store

__all__ = ["Outcome", "discard_bundle", "discard_set", "remove_extras", "replace_entry", "unused"]

Outcome = Literal["repaired", "in use"]

_OWNER_ALL: Final = stat.S_IRWXU


@contextlib.contextmanager
def unused(store: Store, digest: str) -> Iterator[bool]:
    """Yield whether no process and no realise relies on an entry or bundle.

    None can begin to before the block ends.
    """
    with contextlib.ExitStack() as stack:
        free = all(
            stack.enter_context(leases.exclusive(path))
            for path in sorted(references.users(store.root, digest))
        ) and stack.enter_context(store.holds.unheld(digest))
        yield free


def replace_entry(store: Store, digest: Digest, staged: Path) -> Outcome:
    """Put the entry that is staged in tmp/ in the place of a damaged or missing one.

    The damaged one goes to the quarantine. `staged` is gone afterwards, or still there if the entry is in
    use. StoreError as for `Store.publish_entry`.
    """
    with unused(store, digest) as free:
        if not free:
            return "in use"
        _discard_bundles(store, digest)
        store.set_apart(store.entry_path(digest))
        failpoint("repair.set-apart")
        store.publish_entry(staged, digest)
        failpoint("repair.published")
    return "repaired"


def _discard_bundles(store: Store, digest: str) -> None:
    """Discard the bundles that share files with an entry which nobody uses, and first the sets on them.

    All are made anew by the next request: sound files of an entry are other files than the damaged ones.
    """
    for name in list(bundles.with_entry(store, digest)):
        # Every one of these sets needs the entry, too: the caller has the leases.
        _discard_bundle(store, name)


def discard_bundle(store: Store, name: str) -> Outcome:
    """Discard a bundle with the sets on it; the next request for one of these makes both anew."""
    with unused(store, name) as free:
        if not free:
            return "in use"
        _discard_bundle(store, name)
    return "repaired"


def _discard_bundle(store: Store, name: str) -> None:
    for path in list(references.users(store.root, name)):
        store.discard(path)
    store.discard(store.bundle_path(name))


def remove_extras(store: Store, digest: Digest) -> Outcome:
    """Remove what the manifest of an entry does not list; directories go if they held such files only.

    OSError when something cannot be removed: root's files in root's directory. StoreError `store.damaged`
    without a sound manifest.
    """
    path = store.entry_path(digest)
    listed = {file.path for file in manifest.read_manifest(path / manifest.NAME).files}
    listed.add(manifest.NAME)
    parents = {parent for file in listed for parent in _parents(file)}
    with unused(store, digest) as free:
        if not free:
            return "in use"
        with files.open_directory(path) as descriptor:
            _clean(descriptor, "", listed, parents)
    return "repaired"


def discard_set(store: Store, name: str) -> Outcome:
    """Discard a damaged set; the next request for it makes it anew."""
    path = store.set_path(name)
    with leases.exclusive(path) as free:
        gone = free and (store.discard_unheld(path) or not os.path.lexists(path))
    return "repaired" if gone else "in use"


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _clean(descriptor: int, prefix: str, listed: set[str], parents: set[str]) -> None:
    extras = []
    for name in os.listdir(descriptor):
        path = prefix + name
        directory = stat.S_ISDIR(os.lstat(name, dir_fd=descriptor).st_mode)
        if directory and path in parents:
            with files.open_directory(name, dir_fd=descriptor) as child:
                _clean(child, path + "/", listed, parents)
        elif directory and path not in listed:
            # Wheels may have empty directories, which no manifest lists.
            if _holds_files(name, descriptor):
                extras.append(name)
        elif path not in listed:
            extras.append(name)
    if extras:
        _remove(extras, descriptor)


def _remove(names: list[str], descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    os.fchmod(descriptor, mode | _OWNER_ALL)
    try:
        for name in names:
            files.remove_tree(name, descriptor)
    finally:
        os.fchmod(descriptor, mode)


def _holds_files(name: str, dir_fd: int) -> bool:
    with files.open_directory(name, dir_fd=dir_fd) as descriptor:
        return any(
            not stat.S_ISDIR(os.lstat(child, dir_fd=descriptor).st_mode) or _holds_files(child, descriptor)
            for child in os.listdir(descriptor)
        )
