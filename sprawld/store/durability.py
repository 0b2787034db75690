"""Which entries and sets would survive a power cut, and how the others come to.

1. Publishing waits for no disk. What it publishes is volatile: whole as long as this boot lasts, because the
   page cache survives the death of any process, and unknown after a power cut.
2. `make_durable` runs in the background: one `syncfs` for everything that is volatile, and only then a
   durable mark for each. A mark made before that would vouch for empty files after a power cut.
3. After a reboot a volatile entry is compared with its manifest and marked, or discarded. Volatile sets and
   bundles are discarded: they cost little to make again.
4. Only what this boot published is ever marked by `make_durable`: after a reboot syncing proves nothing.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import stat
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprawld.model import Digest

from . import files, leases, publication, references
from .failpoints import failpoint
from .verify import restore_modes, verify_entry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .publication import Published
    from .tree import Store

__all__ = ["AfterBoot", "Durability", "boot_id", "syncfs"]

_LOG = logging.getLogger(__name__)


def boot_id() -> str:
    """Return what names this boot of the machine; where the system has no name for it, a new one each call.

    The fallback is safe: volatile entries are then compared with their manifests more often than needed.
    """
    try:
        if sys.platform == "darwin":
            return _sysctl("kern.bootsessionuuid").lower()
        return files.read_small("/proc/sys/kernel/random/boot_id", 64).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return str(uuid.uuid4())


def _sysctl(name: str) -> str:
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(128)
    size = ctypes.c_size_t(len(buffer))
    if library.sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        raise OSError(ctypes.get_errno(), f"sysctl {name}")
    return buffer.value.decode("ascii")


def syncfs(path: Path, trees: Iterable[Path]) -> None:
    """Make `trees`, which lie on the file system of the directory `path`, durable; OSError when that fails.

    Linux syncs the whole file system in one call. Elsewhere each file and directory is synced by itself, and
    the drive's own cache is flushed once at the end (macOS: F_FULLFSYNC).
    """
    with files.open_directory(path) as descriptor:
        if not _syncfs(descriptor):
            for tree in trees:
                _fsync_tree(tree)
        _flush_drive(descriptor)


def _syncfs(descriptor: int) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except AttributeError:
        return False
    if call(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True


def _fsync_tree(tree: Path) -> None:
    for _, _, names, descriptor in os.fwalk(tree):
        for name in names:
            if stat.S_ISREG(os.lstat(name, dir_fd=descriptor).st_mode):
                file = os.open(name, files.READ, dir_fd=descriptor)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
        os.fsync(descriptor)


def _flush_drive(descriptor: int) -> None:
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # a file system without it, as SMB: fsync is all there is
            os.fsync(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterBoot:
    """What became of the things an older boot left volatile."""

    marked: int = 0
    """Entries that are what their manifests say."""
    discarded: tuple[Digest, ...] = ()
    """Entries that are not; they have to be fetched again."""


class Durability:
    """Makes what a store has published survive a power cut. Every method blocks for the disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def volatile(self) -> tuple[Published, ...]:
        """Return what has no durable mark, of this boot and of older ones."""
        return tuple(
            item
            for item in publication.publications(self._store.root)
            if not publication.is_durable(self._store.root, item)
        )

    def make_durable(self) -> int:
        """Sync everything this boot left volatile and mark it; returns how many were marked.

        StoreError `disk.full` or `store.unwritable` when syncing fails: then nothing was marked.
        """
        batch = [item for item in self.volatile() if self._store.is_of_this_boot(item)]
        if not batch:
            return 0
        failpoint("durable.before-sync")
        with files.writing(f"the store {self._store.root}"):
            syncfs(self._store.root / "durable", [item.path(self._store.root) for item in batch])
        failpoint("durable.synced")
        return self._store.mark_durable(batch)

    def after_boot(self) -> AfterBoot:
        """Decide on everything that an older boot left volatile: mark it, or discard it.

        Reads every byte of those entries; until then `Store.has_entry` says that they are not there.
        """
        sound, torn = [], []
        for item in self.volatile():  # sets first, so that what they alone needed is not needed any more
            if self._store.is_of_this_boot(item):
                continue
            if item.kind == "wheels" and self._is_whole(item):
                sound.append(item)
            elif self._discard(item) and item.kind == "wheels":
                torn.append(Digest(item.name))
        marked = self._store.mark_durable(sound) if sound else 0
        publication.remove_stale_marks(self._store.root)
        return AfterBoot(marked=marked, discarded=tuple(torn))

    def _is_whole(self, item: Published) -> bool:
        digest = Digest(item.name)
        try:
            problems = verify_entry(self._store, digest)
            for problem in problems:
                _LOG.warning("wheels/%s/%s: %s after a reboot", digest, problem.path, problem.kind)
            return not problems or restore_modes(self._store, digest, problems)
        except OSError as error:
            _LOG.warning("wheels/%s: %s after a reboot", digest, error.strerror)
            return False

    def _discard(self, item: Published) -> bool:
        if item.kind == "wheels":
            return self._store.discard_publication(item)
        if item.kind == "bundles":
            users = references.users(self._store.root, item.name)
            return not any(users) and self._store.discard_publication(item)
        # A client that found no daemon may have started on the set meanwhile: then it is left to gc.
        with leases.exclusive(item.path(self._store.root)) as free:
            return free and self._store.discard_publication(item)
