"""Project links: stable places that lead to the set a project's lockfile gives now, for editors and kernels.

    projects/<digest>/follower.json   {"kind", "anchor", "lock", "fields", "check", "updated"}
    projects/<digest>/venv            -> ../../sets/<digest of the set>

1. What a link leads to is a root: gc keeps the set for as long as the project (or the kernelspec) exists.
2. A link is switched by rename: who opens it finds the old set or the new one. Processes that run on the old
   one hold its lease and go on.
3. A record that cannot be read is no follower any more; its link still keeps its set, as nobody can tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from . import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["INDEX_FIELDS", "Follower", "FollowerKind", "Projects"]

FollowerKind = Literal["ide", "kernel"]

_NAME: Final = "projects"
_RECORD: Final = "follower.json"
_LINK: Final = "venv"
_FILE_BYTES: Final = 1 << 20
_DIGITS: Final = 40

INDEX_FIELDS: Final = ("index", "pip-index", "pip-extra", "uv-index", "uv-extra")
"""Of a question: URLs that may hold passwords; not recorded, the next request brings them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Something outside the store that stands for the set of a lockfile."""

    kind: FollowerKind
    anchor: Path
    """What it is for, absolute: the project's directory, a script, or a kernelspec's kernel.json."""
    lock: Path
    fields: Mapping[str, str]
    """The question that gives its set, without index settings."""
    digest: str
    """The set that it leads to now; empty when the link is gone."""
    check: tuple[str, int, int, int]
    """Of the lockfile, when the link was set."""
    updated: int
    """When the link was set, seconds since the epoch."""
    told_indexes: bool = False
    """Whether the question came with indexes of its own."""

    def is_alive(self) -> bool:
        """Tell whether what it is for is there; blocks."""
        needed = [self.anchor] if self.kind == "ide" else [self.anchor, self.lock]
        return all(os.path.lexists(path) for path in needed)


class Projects:
    """The directory `projects/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / _NAME

    def link(self, kind: FollowerKind, anchor: Path) -> Path:
        """Return the stable path for an anchor, there or not."""
        return self._directory(kind, anchor) / _LINK

    def lead(self, follower: Follower) -> bool:
        """Lead the link to the follower's set; False when it led there already.

        StoreError `disk.full` or `store.unwritable`: then the link leads where it led before.
        """
        directory = self._directory(follower.kind, follower.anchor)
        fields = {name: text for name, text in follower.fields.items() if name not in INDEX_FIELDS}
        content = {
            "kind": follower.kind,
            "anchor": os.fspath(follower.anchor),
            "lock": os.fspath(follower.lock),
            "fields": fields,
            "check": list(follower.check),
            "updated": follower.updated,
            "told_indexes": follower.told_indexes or fields != dict(follower.fields),
        }
        target = f"../../sets/{follower.digest}"
        with files.writing(f"the project link {directory}"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging = self._root / "tmp"
            files.write_atomic(directory / _RECORD, json.dumps(content).encode("ascii"), staging)
            if _read_link(directory / _LINK) == target:
                return False
            staged = staging / files.random_name("link")
            os.symlink(target, staged)
            os.rename(staged, directory / _LINK)
        return True

    def find(self, kind: FollowerKind, anchor: Path) -> Follower | None:
        """Return the follower for an anchor, if there is one."""
        return _read(self._directory(kind, anchor))

    def remove(self, kind: FollowerKind, anchor: Path) -> bool:
        """Drop the link and its record; False when there is none."""
        directory = self._directory(kind, anchor)
        if not directory.is_dir():
            return False
        with files.writing(f"the project link {directory}"), files.open_directory(self._path) as parent:
            files.remove_tree(directory.name, parent)
        return True

    def all(self) -> list[Follower]:
        """Return every follower whose record can be read."""
        return [found for directory in self._directories() if (found := _read(directory)) is not None]

    def of_lock(self, lock: Path) -> list[Follower]:
        """Return the followers of one lockfile."""
        return [follower for follower in self.all() if follower.lock == lock]

    def kept(self) -> set[str]:
        """Return the digests of the sets that gc has to leave alone."""
        kept = set()
        for directory in self._directories():
            digest = os.path.basename(_read_link(directory / _LINK))
            follower = _read(directory)
            if digest and (follower is None or follower.is_alive()):
                kept.add(digest)
        return kept

    def _directories(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            yield from (self._path / name for name in sorted(os.listdir(self._path)))

    def _directory(self, kind: FollowerKind, anchor: Path) -> Path:
        text = os.fsencode(f"{kind}\n{anchor}")
        return self._path / hashlib.sha256(text).hexdigest()[:_DIGITS]


def _read(directory: Path) -> Follower | None:
    try:
        content = json.loads(files.read_small(directory / _RECORD, _FILE_BYTES))
        path, ctime, size, inode = content["check"]
        found = Follower(
            kind="kernel" if content["kind"] == "kernel" else "ide",
            anchor=Path(content["anchor"]),
            lock=Path(content["lock"]),
            fields={str(name): str(text) for name, text in content["fields"].items()},
            digest="",
            check=(str(path), int(ctime), int(size), int(inode)),
            updated=int(content["updated"]),
            told_indexes=bool(content.get("told_indexes", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return replace(found, digest=os.path.basename(_read_link(directory / _LINK)))


def _read_link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
