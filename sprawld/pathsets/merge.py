"""The links of a path set: children of many entries laid into one tree, as deep as entries share directories.

1. What one entry alone contributes is one relative symbolic link, however much lies below it.
2. A directory that several contribute is a real directory with the same rule applied inside, at any depth:
   namespace packages, regular packages spread over wheels, `share/`.
3. Where several contribute the same file, the last source wins. Equal content is no conflict; different
   content is recorded.
4. A file of one entry against a directory of another has no answer: `set.collision`.
5. What entries have in a bundle is linked there, and a directory that only entries of one bundle share is one
   link: it is merged in the bundle already, with the same winners.
6. A link that an older set has in the same place, to the same target, is given one more name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Conflict", "Source", "Tree", "same_content"]

COMPARE_BYTES: Final = 1 << 20

DIRECTORY_MODE: Final = 0o555
"""Of the real directories of a set. The store's root keeps other users out, whatever the modes below it."""

SKIPPED: Final = "__pycache__"
"""Bytecode that root wrote into an entry belongs to no wheel."""


class Source(NamedTuple):
    """A file or directory of an entry that wants a place in the tree."""

    package: str
    """`name==version`, for the record of conflicts."""
    path: str
    """Relative to the store's root."""

    def child(self, name: str) -> Source:
        """Return the source of a child of this directory."""
        return Source(self.package, f"{self.path}/{name}")


class Conflict(NamedTuple):
    """Different contents for one path of the set."""

    path: str
    winner: str
    losers: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """Return the form it has in `set.json`."""
        return {"path": self.path, "winner": self.winner, "losers": list(self.losers)}


class Tree:
    """A staged directory that is filled with links for the place it will be renamed to.

    `staged` is written to, `final` is where the links must be right; both lie in the store `store_root`.
    `bundled` says of paths in the store, `wheels/<sha256>/...`, where they lie in a bundle. `older` says
    which older set may link to an entry.
    """

    def __init__(
        self,
        staged: str,
        final: str,
        store_root: str,
        bundled: Callable[[str], str] = lambda path: "",
        older: Callable[[str], str | None] = lambda linked: None,
    ) -> None:
        self.conflicts: list[Conflict] = []
        self.links: dict[str, str] = {}
        """Path of the tree -> path of the store that it leads to."""
        self._staged = staged
        self._store = store_root
        self._up = os.path.relpath(store_root, final)
        self._directories: list[str] = []
        self._bundled = bundled
        self._older = older
        self._open_directories: dict[str, int] = {}
        """Paths that would be walked some hundred times."""

    def path(self, relative: str) -> str:
        """Return where a path of the tree lies while it is staged."""
        return f"{self._staged}/{relative}"

    def make_directory(self, relative: str) -> None:
        """Make a real directory; its parent exists."""
        try:
            os.mkdir(f"{self._staged}/{relative}", 0o755)
        except FileExistsError:
            raise _collision(relative) from None
        self._directories.append(relative)

    def link(self, relative: str, path: str) -> None:
        """Link a path of the store, given relative to its root, to a place in the tree."""
        path = self._bundled(path) or path
        target = f"{'../' * relative.count('/')}{self._up}/{path}"
        self.link_to(relative, target, path.split("/", 2)[1])
        self.links[relative] = path

    def link_to(self, relative: str, target: str, linked: str) -> None:
        """Make a link; `linked` is what older sets are known by that have it, see `older`."""
        place = f"{self._staged}/{relative}"
        older = self._older(linked)
        try:
            if older is None or not self._share(older, relative, target):
                os.symlink(target, place)
        except FileExistsError:
            # Either one of this program's own files, or two names that this file system holds for equal.
            raise _collision(relative) from None

    def _share(self, older: str, relative: str, target: str) -> bool:
        """Give the link of an older set one more name, if it leads to `target`; FileExistsError."""
        try:
            there, here = self._open(older), self._open(self._staged)
            if os.readlink(relative, dir_fd=there) != target:
                return False
            os.link(relative, relative, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):
            return False  # gone, or no link, or a file system that has none of these or only so many
        return True

    def _open(self, directory: str) -> int:
        if directory not in self._open_directories:
            self._open_directories[directory] = os.open(
                directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        return self._open_directories[directory]

    def close(self) -> None:
        """Close the directories that links were shared between."""
        while self._open_directories:
            os.close(self._open_directories.popitem()[1])

    def write(self, relative: str, content: bytes, mode: int = 0o444) -> None:
        """Write a file of the set's own."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(f"{self._staged}/{relative}", flags, mode)
        except FileExistsError:
            raise _collision(relative) from None
        with open(descriptor, "wb") as stream:
            # The daemon runs with a umask of 077; the modes here are those of the layout.
            os.fchmod(descriptor, mode)
            stream.write(content)

    def place(self, relative: str, sources: Sequence[Source]) -> None:
        """Give one path of the tree to the sources that contribute it, the strongest last."""
        if len(sources) == 1:
            self.link(relative, sources[0].path)
            return
        directories = [os.path.isdir(self.locate(source)) for source in sources]
        if not any(directories):
            self._place_file(relative, sources)
        elif all(directories):
            bundles = {self._bundled(source.path) for source in sources}
            if len(bundles) == 1 and "" not in bundles:
                self.link(relative, sources[-1].path)
                return
            self.make_directory(relative)
            self.place_children(relative, sources)
        else:
            packages = ", ".join(source.package for source in sources)
            raise StoreError(
                "set.collision", f"{relative} is a directory in one and a file in another of {packages}"
            )

    def place_children(self, relative: str, sources: Iterable[Source]) -> None:
        """Place everything that lies in the source directories into a directory that exists."""
        children: dict[str, list[Source]] = {}
        for source in sources:
            for name in os.listdir(self.locate(source)):
                children.setdefault(name, []).append(source.child(name))
        for name, contributors in children.items():
            if name != SKIPPED:
                self.place(f"{relative}/{name}", contributors)

    def locate(self, source: Source) -> str:
        """Return the absolute path of a source."""
        return f"{self._store}/{source.path}"

    def seal(self) -> None:
        """Take the right to write from every real directory below the root, deepest first."""
        for relative in reversed(self._directories):
            os.chmod(f"{self._staged}/{relative}", DIRECTORY_MODE)

    def _place_file(self, relative: str, sources: Sequence[Source]) -> None:
        winner = sources[-1]
        losers = [
            source.package
            for source in sources[:-1]
            if not same_content(self.locate(source), self.locate(winner))
        ]
        if losers:
            self.conflicts.append(Conflict(relative, winner.package, tuple(losers)))
        self.link(relative, winner.path)


def _collision(relative: str) -> StoreError:
    return StoreError("set.collision", f"two things of the path set want to be {relative}")


def same_content(first: str, second: str) -> bool:
    """Tell whether two files hold the same bytes; OSError."""
    with open(first, "rb", buffering=0) as one, open(second, "rb", buffering=0) as other:
        if os.fstat(one.fileno()).st_size != os.fstat(other.fileno()).st_size:
            return False
        while True:
            left, right = one.read(COMPARE_BYTES), other.read(COMPARE_BYTES)
            if left != right:
                return False
            if not left:
                return True
