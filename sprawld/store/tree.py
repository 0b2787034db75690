"""The store: one tree per user, in which everything appears by rename and is never edited.

    <cache>/virtual-sprawl/
      format                       number of this layout; a newer one is refused
      wheels/<sha256>/             an entry: one wheel unpacked, with its `manifest`; read-only
      bundles/<digest>/            entries merged in one tree of hard links, with `bundle.json` and `boot`
      sets/<digest>/               a path set; `boot` names the boot that made it, its users hold `lease`
      client/<digest>/             the client files that sets link to
      leases/<digest>              the pipe that processes on the set have open, where there can be one
      packs/<tag>/<sha256>.pack    bytecode and module index of an entry for one kind of interpreter
      durable/<kind>-<name>        a durable mark: a hard link to the entry's `manifest`, or to that `boot`
      roots/  first-use/           install roots and pins; hashes recorded at first use
      origins/  reserve            where each entry's wheel came from; room for a gc on a full disk
      projects/  writable/         links that editors and kernels follow; sets as a project's own files
      replies/  direct/            ready replies; records by which a start takes its set without asking
      tmp/  trash/  quarantine/    trees being filled; renamed away for deletion; damaged, kept a while
      state.sqlite                 lockfiles seen and last uses: can be rebuilt, never the truth

1. An entry or set is trusted if its durable mark is a link to the very file that it holds, or if this boot
   published it. So a mark can never vouch for another publication of the same digest.
2. Publishing never replaces what is trusted: the loser of a race throws its own copy away.
3. What is removed is first renamed to trash/, so a crash leaves it whole or gone.
4. Names are held while they are being used for something new; what is held is not discarded by the gc.
5. Every method that touches the disk blocks; callers on an event loop use an executor. All are thread-safe.
   The process holds the daemon's lock: nobody else changes the tree.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from typing import TYPE_CHECKING, Final, Literal

from sprawld.errors import StoreError
from sprawld.model import Digest

from . import files, layout, leases, manifest, publication
from .durability import boot_id
from .failpoints import failpoint
from .holds import Holds
from .packs import Packs
from .statistics import Statistics
from .trash import Trash, make_movable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .publication import Kind, Published

__all__ = ["Store"]

_READ_ONLY: Final = 0o555
_TAKEN: Final = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


class Store:
    """The tree below `root`; made by `Store.open`."""

    def __init__(self, root: Path, boot: str) -> None:
        self.root = root
        self.boot = boot
        """What names this boot of the machine."""
        self.holds = Holds()
        """What a realise in flight relies on; see there for the rule that makes gc safe beside it."""
        self.packs = Packs(root)
        self.trash = Trash(root / "trash")
        self.quarantine = Trash(root / "quarantine")
        """Damaged trees, under random names; gc deletes them after some days."""
        self._lock = threading.RLock()
        self._trusted: set[tuple[str, str]] = set()
        self._sizes: dict[str, int] | None = None

    @classmethod
    def open(cls, root: Path, *, boot: str | None = None) -> Store:
        """Create the tree or check it, and move what dead daemons left in tmp/ to the trash.

        `boot` names this boot; by default the system is asked. The caller empties the trash in the background
        (`empty_trash`). StoreError: `store.foreign-owner`, `store.newer-format`, `store.damaged`,
        `store.unwritable`, `disk.full`.
        """
        layout.prepare(root)
        store = cls(root, boot or boot_id())
        with files.writing(f"the store {root}"):
            for name in os.listdir(root / "tmp"):
                store.trash.take(root / "tmp" / name)
        leases.sweep(root)
        return store

    # What is there

    def entry_path(self, digest: str) -> Path:
        """Return where the entry of a wheel lies; ValueError for what is not a sha256 in lower-case hex."""
        return self._path("wheels", digest)

    def set_path(self, digest: str) -> Path:
        """Return where a set lies; ValueError for what is not a digest in lower-case hex."""
        return self._path("sets", digest)

    def bundle_path(self, digest: str) -> Path:
        """Return where a bundle lies; ValueError for what is not a digest in lower-case hex."""
        return self._path("bundles", digest)

    def client_path(self, digest: str) -> Path:
        """Return where a client copy lies; ValueError for what is not a digest in lower-case hex."""
        return self._path("client", digest)

    def has_entry(self, digest: str) -> bool:
        """Tell whether the entry is there and to be trusted; one lstat after the first time."""
        return self._has("wheels", digest)

    def has_set(self, digest: str) -> bool:
        """Tell whether the set is there and to be trusted; one lstat after the first time."""
        return self._has("sets", digest)

    def has_bundle(self, digest: str) -> bool:
        """Tell whether the bundle is there and to be trusted; one lstat after the first time."""
        return self._has("bundles", digest)

    def entries(self) -> Iterator[Digest]:
        """Yield the digests of all entries, trusted or not, in no order."""
        return map(Digest, self._names("wheels"))

    def bundles(self) -> Iterator[str]:
        """Yield the digests of all bundles, trusted or not, in no order."""
        return self._names("bundles")

    def sets(self) -> Iterator[str]:
        """Yield the digests of all sets, trusted or not, in no order."""
        return self._names("sets")

    def clients(self) -> Iterator[str]:
        """Yield the digests of all client copies, in no order."""
        return self._names("client")

    def entry_bytes(self, digest: str) -> int:
        """Return the size of an entry's content as its manifest tells; 0 when that cannot be read."""
        try:
            return manifest.read_summary(self.entry_path(digest) / manifest.NAME).bytes
        except StoreError:
            return 0

    def room_of(self, digest: str) -> int:
        """Return the size of an entry's content together with that of its packs, which go with it."""
        return self.entry_bytes(digest) + self.packs.bytes_of(digest)

    def statistics(self) -> Statistics:
        """Count what is there; reads every manifest's summary the first time, and no file afterwards."""
        with self._lock:
            if self._sizes is None:
                self._sizes = {digest: self.entry_bytes(digest) for digest in self.entries()}
            sizes = self._sizes.values()
            return Statistics(
                entries=len(sizes),
                bundles=sum(1 for _ in self.bundles()),
                sets=sum(1 for _ in self.sets()),
                bytes=sum(sizes),
                staged=len(os.listdir(self.root / "tmp")),
                trash=len(self.trash.names()),
            )

    # Staging and publishing

    def new_staging(self, prefix: str) -> Path:
        """Create a private directory in tmp/; the caller publishes it, or hands it to `remove`."""
        path = self.root / "tmp" / files.random_name(prefix)
        with files.writing(f"the store {self.root}", self.root):
            try:
                os.mkdir(path, 0o700)
            except FileNotFoundError:
                # The cache was removed under the running daemon, as its user may.
                layout.prepare(self.root)
                with self._lock:
                    self._trusted.clear()
                    self._sizes = None
                os.mkdir(path, 0o700)
        return path

    @contextlib.contextmanager
    def staging(self, prefix: str) -> Iterator[Path]:
        """Yield a private directory in tmp/ that is deleted at the end, unless it was published."""
        path = self.new_staging(prefix)
        try:
            yield path
        finally:
            self.remove(path)

    def publish_entry(self, staged: Path, digest: str) -> bool:
        """Make `staged`, a directory in tmp/, the entry `digest`; False if a trusted one is there already.

        Either way `staged` is gone; what lay there untrusted is moved to the trash. ValueError when the
        staged manifest is of another wheel or boot: the entry would never be trusted. StoreError
        `store.damaged` when there is no manifest; `disk.full`, `store.unwritable` leave `staged` where it is.
        """
        summary = manifest.read_summary(staged / manifest.NAME)
        if (summary.digest, summary.boot_id) != (digest, self.boot):
            raise ValueError(f"{staged.name}: the manifest is of another wheel or boot")
        return self._publish(staged, "wheels", digest)

    def publish_set(self, staged: Path, digest: str, kind: Literal["bundles", "sets"] = "sets") -> bool:
        """Make `staged`, a directory in tmp/, a set or bundle; everything else as in `publish_entry`."""
        with files.writing(f"the store {self.root}", self.root):
            publication.write_boot(staged, self.boot)
        return self._publish(staged, kind, digest)

    def publish_pack(self, staged: Path, tag: str, digest: str) -> bool:
        """Make the file `staged` the entry's pack for interpreters of `tag`; False if the entry has gone.

        It is durable already. StoreError `disk.full`, `store.unwritable`.
        """
        with self._lock, files.writing(f"the store {self.root}", self.root):
            if not self.has_entry(digest):
                return False
            failpoint("pack.made")
            self.packs.publish(staged, tag, digest)
            return True

    # Discarding

    def discard(self, path: Path) -> bool:
        """Move what is at `path` in the store to the trash; False when nothing is there.

        `empty_trash` deletes it. The caller makes sure that nobody uses it.
        """
        return self._take(path, self.trash)

    def set_apart(self, path: Path) -> bool:
        """Move what is at `path` in the store to the quarantine; everything else as in `discard`."""
        return self._take(path, self.quarantine)

    def _take(self, path: Path, where: Trash) -> bool:
        kind, name = path.parent.name, path.name
        with self._lock, files.writing(f"the store {self.root}", self.root):
            if where.take(path) is None:
                return False
            if kind in publication.WITNESS:
                self._trusted.discard((kind, name))
                publication.remove_mark(self.root, kind, name)
            if kind == "wheels":
                self.packs.remove(name)
                if self._sizes is not None:
                    self._sizes.pop(name, None)
            return True

    def discard_unheld(self, path: Path) -> bool:
        """Discard, unless the name is held or was since the running collection began."""
        with self.holds.unheld(path.name) as free:
            return free and self.discard(path)

    def discard_publication(self, item: Published) -> bool:
        """Discard exactly this publication; False if it is gone or another one has taken its place."""
        with self._lock:
            return publication.look(self.root, item.kind, item.name) == item and self.discard(
                item.path(self.root)
            )

    def remove(self, path: Path) -> None:
        """Delete a staging directory now, by way of the trash; what cannot be deleted waits there."""
        with files.writing(f"the store {self.root}", self.root):
            self.trash.destroy(path)

    def empty_trash(self) -> int:
        """Delete what is in the trash and return how many trees went; meant for the background."""
        return self.trash.empty()

    # Trust

    def is_of_this_boot(self, item: Published) -> bool:
        """Tell whether this boot published it, so that its files are whole whatever died since."""
        return publication.boot_of(item.path(self.root), item.kind) == self.boot

    def mark_durable(self, items: Iterable[Published]) -> int:
        """Mark publications whose content the caller knows to be on the disk; returns how many were marked.

        Sets are marked last, so that none is durable before its entries are. What was discarded or replaced
        in the meantime is passed over.
        """
        marked = 0
        with files.writing(f"the store {self.root}", self.root):
            for item in sorted(items, key=lambda item: item.kind == "sets"):
                with self._lock:
                    if publication.look(self.root, item.kind, item.name) == item:
                        marked += publication.make_mark(self.root, item)
            failpoint("durable.marked")
            files.sync_directory(self.root / "durable")
        return marked

    def _path(self, kind: str, name: str) -> Path:
        if not publication.is_name(kind, name):
            raise ValueError(f"not a digest: {name!r}")
        return self.root / kind / name

    def _names(self, kind: str) -> Iterator[str]:
        try:
            names = os.listdir(self.root / kind)
        except FileNotFoundError:  # the cache was removed under the running daemon
            return iter(())
        return (name for name in names if publication.is_name(kind, name))

    def _has(self, kind: Kind, name: str) -> bool:
        # A name that is trusted is one; a hundred are asked for with each request.
        known = (kind, name) in self._trusted
        path = f"{self.root}/{kind}/{name}" if known else self._path(kind, name)
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._trusted.discard((kind, name))
            return False
        if known:
            return True
        with self._lock:
            item = publication.look(self.root, kind, name)
            if item is None or not (publication.is_durable(self.root, item) or self.is_of_this_boot(item)):
                return False
            if status.st_mode & stat.S_IWUSR:  # a crash came between the rename and the chmod
                os.chmod(path, _READ_ONLY)
            self._trusted.add((kind, name))
        return True

    def _publish(self, staged: Path, kind: Kind, name: str) -> bool:
        target = self._path(kind, name)
        with files.writing(f"the store {self.root}", self.root), self._lock:
            published = not self._has(kind, name)
            if published:
                self._rename(staged, target)
                self._trusted.add((kind, name))
                if kind == "wheels" and self._sizes is not None:
                    self._sizes[name] = self.entry_bytes(name)
                if kind == "sets":
                    leases.offer(target)
        if not published:
            self.remove(staged)
        return published

    def _rename(self, staged: Path, target: Path) -> None:
        make_movable(staged)
        failpoint("publish.before-rename")
        try:
            os.rename(staged, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            self.discard(target)  # it is not trusted
            os.rename(staged, target)
        failpoint("publish.renamed")
        os.chmod(target, _READ_ONLY)
        failpoint("publish.done")
