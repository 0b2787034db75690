"""Where comparisons take place: interpreters of this machine on the platforms that uv knows by name."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprawld.acquire.environment import probe
from sprawld.acquire.platforms import describe
from tests.support.interpreters import interpreters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sprawld.model import Environment

__all__ = ["HERE", "PLATFORMS", "PYTHONS", "Place", "places"]

PYTHONS = ("3.9", "3.12", "3.13")
HERE = "here"
"""This machine itself, its interpreter asked and not described."""
PLATFORMS = (
    HERE,
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
    "x86_64-unknown-linux-musl",
)


@dataclass(frozen=True, slots=True)
class Place:
    """One interpreter and one platform."""

    version: str
    """`3.12`."""
    python: Path
    platform: str
    """A name of uv's, or HERE."""

    def __str__(self) -> str:
        return f"{self.version} {self.platform}"

    @property
    def environment(self) -> Environment:
        """What we know of it."""
        return _environment(str(self.python), self.platform)


@functools.cache
def _environment(python: str, platform: str) -> Environment:
    probed = probe(python)
    return probed if platform == HERE else describe(".".join(map(str, probed.version)), platform)


def places(
    versions: Sequence[str] = PYTHONS, platforms: Sequence[str] = PLATFORMS
) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Return every place that can be asked about, and the versions that this machine lacks."""
    found = interpreters()
    here = [version for version in versions if version in found]
    lacking = tuple(version for version in versions if version not in found)
    return tuple(
        Place(version, found[version], platform) for version in here for platform in platforms
    ), lacking
