"""Places that list files of any package: pip's `--find-links`, in a lock.

1. A directory counts with the wheels and sdists in it, not with those below it; a page with its links.
2. What pip finds there goes before the same file of an index, and both are looked at for the best wheel.
3. Files in a directory have no hash but that of the lock; without one they are held to what they were at
   their first use, like every file that no lock pins.

Specification: pip's documentation, "Finding Packages".
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from sprawld.errors import PackageIndexError
from sprawld.model import Artifact

from .filenames import of_version
from .hashes import may_be_one_of

if TYPE_CHECKING:
    from sprawld.model import IndexSettings, Pin

    from .index import IndexClient

__all__ = ["FileFinder"]

_MOST_FILES: Final = 100_000


@dataclass(frozen=True, slots=True)
class FileFinder:
    """Finds the files of pins without file names: where the lock points to, and on indexes."""

    index: IndexClient

    async def candidates(
        self, pin: Pin, settings: IndexSettings, *, refresh: bool = False
    ) -> tuple[Artifact, ...]:
        """Return the wheels and sdists of the pin's version, those of `find_links` first.

        Raises PackageIndexError; see `IndexClient.candidates` and `IndexClient.project`.
        """
        linked = await self.linked(pin, settings)
        if pin.source.no_index:
            if not linked:
                raise PackageIndexError(
                    "index.file-not-found",
                    f"{pin.name} {pin.version}: not among the files that the lock points to, and it allows"
                    " no index",
                )
            return linked
        try:
            return (*linked, *await self.index.candidates(pin, settings, refresh=refresh))
        except PackageIndexError as error:
            if not linked or error.code not in ("index.not-found", "index.file-not-found"):
                raise
            return linked

    async def linked(self, pin: Pin, settings: IndexSettings) -> tuple[Artifact, ...]:
        """Return those of `find_links` alone."""
        found: list[Artifact] = []
        for place in pin.source.find_links:
            if place.startswith("/"):
                listed = await asyncio.to_thread(_in_directory, Path(place), pin)
            else:
                self.index.refuse_plain_http((place,), pin.hashes, pin.name, settings)
                files = await self.index.page(place, pin.name, settings)
                listed = [file.artifact() for file in of_version(files, pin.name, pin.version or "")]
            found += [file for file in listed if not pin.hashes or may_be_one_of(file.hashes, pin.hashes)]
        return tuple(found)


def _in_directory(directory: Path, pin: Pin) -> list[Artifact]:
    """Return what lies in a directory; one that is not there, or no directory, has nothing."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are looked at before anything else
    except OSError:
        return []
    if len(names) > _MOST_FILES:
        raise PackageIndexError("index.malformed", f"{directory}: more than {_MOST_FILES} files")
    files = [
        Artifact(filename=name, path=directory / name)
        for name in sorted(names)
        if canonicalize_name(name).startswith(pin.name)
    ]
    return of_version(files, pin.name, pin.version or "")
