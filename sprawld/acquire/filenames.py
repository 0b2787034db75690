"""Whether a file listed by an index is one of a package version, told by its name.

Pages list thousands of files and one version is wanted, so names are cut with string operations and each
version text is compared once. Specifications: binary and source distribution formats (file names), version
specifiers (local versions).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["of_version", "version_rank"]

_SDIST_SUFFIXES: Final = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


class Named(Protocol):
    """A file that has a name."""

    @property
    def filename(self) -> str:
        """Its name, without a directory."""


F = TypeVar("F", bound=Named)


def of_version(files: Iterable[F], name: str, version: str) -> list[F]:
    """Return the wheels and sdists of this version; those of a local version of it if there are no others."""
    ranked = [(version_rank(file.filename, name, version), file) for file in files]
    best = max((rank for rank, _ in ranked), default=0)
    return [file for rank, file in ranked if rank == best and best]


def version_rank(filename: str, name: str, version: str) -> int:
    """Return 2 for a wheel or sdist of exactly this version, 1 for one of a local version of it, else 0.

    `name` is normalised.
    """
    if filename.endswith(".whl"):
        pieces = filename.split("-", 2)
        if len(pieces) < 3 or canonicalize_name(pieces[0]) != name:
            return 0
        rank = _rank(pieces[1], version)
        return rank if rank and _is_wheel_name(filename) else 0
    suffix = next((suffix for suffix in _SDIST_SUFFIXES if filename.endswith(suffix)), None)
    return 0 if suffix is None else _sdist_rank(filename.removesuffix(suffix), name, version)


def _sdist_rank(stem: str, name: str, version: str) -> int:
    """Old sdists have dashes in their names and versions: any cut that gives both will do."""
    pieces = stem.split("-")
    for cut in range(1, len(pieces)):
        if canonicalize_name("-".join(pieces[:cut])) == name:
            rank = _rank("-".join(pieces[cut:]), version)
            if rank:
                return rank
    return 0


def _is_wheel_name(filename: str) -> bool:
    try:
        parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return False
    return True


@functools.lru_cache(maxsize=8_192)
def _rank(found: str, wanted: str) -> int:
    if found == wanted:
        return 2
    try:
        listed, locked = Version(found), Version(wanted)
    except InvalidVersion:
        return 0
    if listed == locked:
        return 2
    return int(locked.local is None and listed.public == locked.public)
