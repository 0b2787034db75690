"""One requirement as pdm writes it, in a lock or in a project file.

Specification: dependency specifiers (PEP 508), and `-e URL#egg=NAME` for editable ones.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from ._toml import Fault, shown
from .artifacts import package_name
from .markers import Marker, parse_marker

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName

    from .pdm_entry import Entry

__all__ = ["Need", "from_text", "loosened"]

# `>=3.5.*` was never a specifier, but indexes and locks of before 2023 have it.
_ORDERED_WILDCARD: Final = re.compile(r"([<>]=?|~=)(\s*[0-9][0-9.]*?)\.\*")


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement; also a `walk.Need`."""

    name: NormalizedName
    extras: frozenset[NormalizedName]
    text: str
    specifier: SpecifierSet
    marker: Marker | None
    any_version: bool
    """True for a requirement with a URL: what the lock has under that name will do."""

    def admits(self, package: Entry) -> bool:
        """Tell whether a locked package satisfies the requirement; pre-releases do, for they were locked."""
        return (
            self.any_version
            or package.version is None
            or self.specifier.contains(package.version, prereleases=True)
        )


@functools.lru_cache(maxsize=16_384)
def from_text(text: str) -> Need:
    """Parse one requirement; raises Fault `lock.stale` for text that is none."""
    line = text.strip()
    if line.startswith("-e "):
        line = _from_editable(line.removeprefix("-e ").strip())
    try:
        requirement = Requirement(loosened(line))
    except (InvalidRequirement, RecursionError, ValueError):
        raise Fault("lock.stale", f"not a requirement: {shown(repr(text))}") from None
    return Need(
        name=package_name(requirement.name),
        extras=frozenset(map(package_name, requirement.extras)),
        text=text,
        specifier=requirement.specifier,
        marker=parse_marker(None if requirement.marker is None else str(requirement.marker)),
        any_version=requirement.url is not None,
    )


def loosened(text: str) -> str:
    """Return specifiers (alone or in a requirement) without wildcards where none are allowed."""
    return _ORDERED_WILDCARD.sub(r"\1\2", text)


def _from_editable(line: str) -> str:
    """Rewrite `URL#egg=name[extra]` as `name[extra] @ URL`."""
    try:
        eggs = parse_qs(urlsplit(line).fragment).get("egg", [])
    except ValueError:
        eggs = []
    return f"{eggs[0]} @ {line}" if len(eggs) == 1 else line
