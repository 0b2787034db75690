"""Bundles: entries whose libraries look for each other, merged in one tree of real directories.

    bundles/<digest>/      bundle.json  boot
      lib/python/site-packages/...  lib/...  bin/  include/  share/ ...

1. A loader takes `..` in `$ORIGIN/../../nvidia/cublas/lib` for the parent of the directory that a link leads
   to. Between entries that path leads nowhere; inside a bundle, which has the depth of a venv, it is right.
2. What belongs together is read from the manifests: an entry with a binary that looks into a directory, and
   every entry that has shared libraries in that directory. What they have in common makes one bundle.
3. Directories are real, files are hard links to those of the entries, and so no bytes of their own. Where the
   file system refuses a link, the blocks are shared, or else copied.
4. Of equal paths the same entry wins as in a set. Metadata and start-up files stay where they are: a set
   links those of its entries, after it has judged them.
5. A bundle is named after its entries, so sets and interpreters share it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sprawld.store import bundles, files, libraries, manifest

from . import startup
from .merge import Source, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sprawld.store.tree import Store

    from .pathset import SetEntry

__all__ = ["BundlePlan", "build_bundle", "ensure_bundles", "is_bundled", "plan_bundles"]

LAYOUT: Final = 1
"""Part of every bundle's digest; raised when the same entries would be laid out differently."""

DIGEST_DIGITS: Final = 40

SITE_PACKAGES: Final = "lib/python/site-packages"

_NO_LINK: Final = frozenset({errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS})
_FICLONE: Final = 0x40049409
"""linux/fs.h; shares all blocks of one open file with another."""
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePlan:
    """Entries that have to lie in one tree."""

    digest: str
    entries: tuple[SetEntry, ...]
    """In the order of a set: the last one wins."""
    reasons: tuple[dict[str, Any], ...]
    """Who looks where, and whose libraries are there."""


def is_bundled(path: str) -> bool:
    """Tell whether a path of an entry lies in its bundle, too; it may name a directory."""
    below = path.removeprefix(f"{SITE_PACKAGES}/")
    if below == path:
        return path != manifest.NAME
    top = below.partition("/")[0]
    return not (top.endswith(".dist-info") or startup.is_startup(top))


def plan_bundles(entries: Iterable[SetEntry], store_root: Path) -> list[BundlePlan]:
    """Return the bundles that a set of these entries needs, in no order that matters; most need none.

    Reads nothing but summaries, except for entries that an older release has unpacked.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    known = {entry.digest: _libraries(entry, store_root) for entry in ordered}
    holders: dict[str, list[SetEntry]] = defaultdict(list)
    for entry in ordered:
        for directory in known[entry.digest][0]:
            holders[directory].append(entry)
    groups: dict[str, set[str]] = {entry.digest: {entry.digest} for entry in ordered}
    reasons: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in ordered:
        told: set[str] = set()
        for directory in known[entry.digest][1]:
            others = [holder for holder in holders.get(directory, ()) if holder.digest != entry.digest]
            new = [other.package for other in others if other.package not in told]
            if new:
                told.update(new)
                reasons[entry.digest].append(
                    {"package": entry.package, "looks_in": directory, "found_in": new}
                )
            for other in others:
                _join(groups, entry.digest, other.digest)
    return [
        _plan([entry for entry in ordered if entry.digest in group], reasons)
        for group in {id(group): group for group in groups.values()}.values()
        if len(group) > 1
    ]


def _join(groups: dict[str, set[str]], one: str, other: str) -> None:
    if groups[one] is not groups[other]:
        merged = groups[one] | groups[other]
        for digest in merged:
            groups[digest] = merged


def _plan(entries: Sequence[SetEntry], reasons: dict[str, list[dict[str, Any]]]) -> BundlePlan:
    parts = [LAYOUT, sorted(entry.digest for entry in entries)]
    return BundlePlan(
        digest=hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGEST_DIGITS],
        entries=tuple(entries),
        reasons=tuple(reason for entry in entries for reason in reasons.get(entry.digest, ())),
    )


def _libraries(entry: SetEntry, store_root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the directories with libraries, and those that are searched."""
    summary = entry.summary
    if summary.libraries is not None and summary.searched is not None:
        return summary.libraries, summary.searched
    path = store_root / "wheels" / entry.digest
    found = libraries.of_entry(
        str(path),
        (
            file.path
            for file in manifest.read_files(path / manifest.NAME)
            if ".so" in file.path or ".dylib" in file.path or file.mode & 0o111
        ),
    )
    return found.holding, found.searched


def ensure_bundles(store: Store, plans: Iterable[BundlePlan]) -> list[str]:
    """Make the bundles that are not there; return their names. The caller holds them and the entries.

    Blocks. StoreError `set.collision`, `disk.full`, `store.unwritable`, `store.damaged`.
    """
    names = []
    for plan in plans:
        names.append(plan.digest)
        if not store.has_bundle(plan.digest):
            with store.staging("bundle-") as staged:
                build_bundle(staged, plan, store.root)
                store.publish_set(staged, plan.digest, "bundles")
    return names


def build_bundle(staged: Path, plan: BundlePlan, store_root: Path) -> None:
    """Fill the empty directory `staged`; raises what `ensure_bundles` raises."""
    tree = _Merged(os.fspath(staged), os.fspath(store_root))
    with files.writing(f"the bundle {plan.digest}"):
        tree.fill(plan.entries)
        tree.write(bundles.DESCRIPTION, _description(plan, tree))
        tree.seal()


def _description(plan: BundlePlan, tree: _Merged) -> bytes:
    return json.dumps(
        {
            "bundle": LAYOUT,
            "name": plan.digest,
            "entries": [entry.digest for entry in plan.entries],
            "packages": [entry.package for entry in plan.entries],
            "reasons": plan.reasons,
            "owners": {place: path.split("/")[1] for place, path in sorted(tree.links.items())},
            "conflicts": [conflict.record() for conflict in sorted(tree.conflicts)],
            "files": tree.files,
            "copied": tree.copied,
            "copied_bytes": tree.copied_bytes,
        },
        indent=1,
    ).encode()


class _Merged(Tree):
    """A tree that takes files in, where a set links to them; `links` says whose each part is."""

    def __init__(self, staged: str, store_root: str) -> None:
        super().__init__(staged, staged, store_root)
        self.files = 0
        self.copied = 0
        self.copied_bytes = 0

    def fill(self, entries: Iterable[SetEntry]) -> None:
        """Lay in everything of these entries that belongs into a bundle."""
        children: dict[str, list[Source]] = {}
        for entry in entries:
            source = Source(entry.package, f"wheels/{entry.digest}")
            for name in os.listdir(self.locate(source)):
                children.setdefault(name, []).append(source.child(name))
        for name, sources in sorted(children.items()):
            self.place(name, sources)

    def place(self, relative: str, sources: Sequence[Source]) -> None:
        """Do as a set does, but for what is not to be in a bundle."""
        if is_bundled(relative):
            super().place(relative, sources)

    def link(self, relative: str, path: str) -> None:
        """Take in a file or a whole directory of an entry."""
        self.links[relative] = path
        source = f"{self._store}/{path}"
        if os.path.isdir(source):
            self._take_directory(source, relative)
        else:
            self._take_file(source, self.path(relative))

    def _take_directory(self, source: str, relative: str) -> None:
        self.make_directory(relative)
        target = self.path(relative)
        directories = []
        with os.scandir(source) as children:
            for child in children:
                if child.is_dir(follow_symlinks=False):
                    directories.append(child.name)
                else:
                    self._take_file(child.path, f"{target}/{child.name}")
        for name in directories:
            # Bytecode that root wrote into an entry belongs to no wheel.
            if name != "__pycache__":
                self._take_directory(f"{source}/{name}", f"{relative}/{name}")

    def _take_file(self, source: str, target: str) -> None:
        self.files += 1
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self.copied += 1
            self.copied_bytes += _copy(source, target)


def _copy(source: str, target: str) -> int:
    """Copy a file with its mode, if possible by sharing its blocks; return the bytes that it takes."""
    with open(os.open(source, files.READ), "rb", buffering=0) as original:
        status = os.fstat(original.fileno())
        with open(os.open(target, files.CREATE, 0o600), "wb", buffering=0) as copy:
            os.fchmod(copy.fileno(), status.st_mode & 0o555)
            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
            except OSError:
                shutil.copyfileobj(original, copy, _COPY_BYTES)
                return status.st_size
    return 0
