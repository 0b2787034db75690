"""Version constraints as poetry writes them, each turned into a test of one version.

Specification: poetry's documentation, "Version constraints", and PEP 440. Where the two differ poetry is
followed, because its locks were solved with its own rules:

1. `^`, `~`, `*` and bare versions exist; `||` (or `|`) parts alternatives; commas or spaces join.
2. Ranges admit pre-releases, yet `<2.0` does not admit those of 2.0 itself; `1.2.*` begins with its first.
3. A bound without a local part disregards the local part of what it is compared with.
4. A bare version or `==` is that version (and its local variants), never a series.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from packaging.version import InvalidVersion, Version

from ._toml import Fault, shown

__all__ = ["Constraint", "parse_constraint", "platform_matches", "python_matches"]

# The longest constraint of 40 real locks has 133 characters and 11 parts.
_MAXIMUM_CHARACTERS: Final = 2_048

_SPACED_OPERATOR: Final = re.compile(r"([=!<>~^])\s+")
_ANY: Final = re.compile(r"v?[xX*](?:\.[xX*])*")
_SINGLE: Final = re.compile(
    r"(?P<operator>~=|~|\^|<>|!=|>=|<=|>|<|={0,3})(?P<version>v?[0-9][^\s*]*?)(?P<wildcard>(?:\.\*)+)?"
)


@dataclass(frozen=True, slots=True)
class Range:
    """The versions between two bounds; an absent bound is open."""

    low: Version | None = None
    high: Version | None = None
    include_low: bool = False
    include_high: bool = False
    inverted: bool = False

    def allows(self, version: Version) -> bool:
        """Tell whether `version` lies in the range, or outside of an inverted one."""
        return self._contains(version) != self.inverted

    def _contains(self, version: Version) -> bool:
        """Apply rule 3, and to `>` that of PEP 440 for post-releases."""
        if self.low is not None:
            found = _comparable(version, self.low)
            if not self.include_low and self.low.post is None and found.post is not None:
                found = _cut(found)
            if found < self.low or (found == self.low and not self.include_low):
                return False
        if self.high is not None:
            found = _comparable(version, self.high)
            if found > self.high or (found == self.high and not self.include_high):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Constraint:
    """Any of the alternatives; in each, all ranges must hold."""

    text: str
    alternatives: tuple[tuple[Range, ...], ...]

    def allows(self, version: Version) -> bool:
        """Tell whether a package of `version` satisfies the constraint."""
        return any(all(part.allows(version) for part in parts) for parts in self.alternatives)


@functools.lru_cache(maxsize=16_384)
def parse_constraint(text: str) -> Constraint:
    """Parse a constraint; raises Fault `lock.invalid` for text that poetry does not understand either."""
    return Constraint(text, tuple(tuple(_single(text, part) for part in parts) for parts in _split(text)))


def python_matches(text: str, python: Version) -> bool:
    """Tell whether the `python` key of a dependency admits the interpreter's release.

    `python = "3.12"` is the 3.12 series here, where for any other package it is the one version 3.12.
    """
    return any(all(_python_part(text, part, python) for part in parts) for parts in _split(text))


def platform_matches(text: str, platform: str) -> bool:
    """Tell whether the `platform` key of a dependency (`win32`, `!=win32`, `linux || darwin`) admits it."""
    for alternative in re.split(r"\|\|?", _checked(text)):
        parts = [part.strip() for part in alternative.split(",")]
        if all(_platform_part(part, platform) for part in parts):
            return True
    return False


def _checked(text: str) -> str:
    if len(text) > _MAXIMUM_CHARACTERS:
        raise Fault("lock.invalid", f"constraint of {len(text)} characters")
    return text


def _split(text: str) -> list[list[str]]:
    joined = _SPACED_OPERATOR.sub(r"\1", _checked(text).strip())
    return [
        re.split(r"\s*,\s*|\s+", part.strip().rstrip(",").rstrip()) for part in re.split(r"\|\|?", joined)
    ]


def _platform_part(part: str, platform: str) -> bool:
    if part == "*":
        return True
    value = part.lstrip("=!").strip()
    return (value != platform) if part.startswith("!=") else (value == platform)


def _python_part(text: str, part: str, python: Version) -> bool:
    match = _SINGLE.fullmatch(part)
    if match is not None and match["operator"] in ("", "=", "==") and not match["wildcard"]:
        version = _version(text, match["version"])
        if len(version.release) < 3:
            return python.release[: len(version.release)] == version.release
    return _single(text, part).allows(python)


@functools.lru_cache(maxsize=16_384)
def _single(text: str, part: str) -> Range:
    """Return the range of one comparison; `text` is the whole constraint, for the message."""
    if _ANY.fullmatch(part):
        return Range()
    match = _SINGLE.fullmatch(part)
    if match is None:
        raise _not_a_constraint(text)
    operator, version = match["operator"], _version(text, match["version"])
    if match["wildcard"] and operator in ("", "=", "==", "!=", "<>"):
        return _wildcard(text, version, inverted=operator in ("!=", "<>"))
    match operator:
        case "^":
            return _half_open(version, _next_breaking(version))
        case "~":
            return _half_open(version, _bump(version, 0 if len(version.release) == 1 else 1))
        case "~=":
            return _half_open(version, _compatible(version))
        case ">=":
            return Range(low=version, include_low=True)
        case ">":
            return Range(low=version)
        case "<=":
            return Range(high=version, include_high=True)
        case "<":
            return Range(high=_before(version))
        case "!=" | "<>":
            return Range(version, version, include_low=True, include_high=True, inverted=True)
        case _:
            return Range(version, version, include_low=True, include_high=True)


def _wildcard(text: str, version: Version, *, inverted: bool) -> Range:
    if version.is_prerelease or version.is_postrelease or version.local:
        raise _not_a_constraint(text)
    *kept, last = version.release
    low = _first_development(version)
    high = _first_development(_release(version, (*kept, last + 1)))
    return Range(low, high, include_low=True, inverted=inverted)


def _half_open(low: Version, high: Version) -> Range:
    return Range(low, _before(high), include_low=True)


def _next_breaking(version: Version) -> Version:
    parts = version.release
    if parts[0] > 0 or len(parts) == 1:
        return _bump(version, 0)
    if parts[1] > 0 or len(parts) == 2:
        return _bump(version, 1)
    return _bump(version, 2)


def _bump(version: Version, position: int) -> Version:
    """Return the next release that differs at `position` (0 major, 1 minor, 2 patch)."""
    parts = (*version.release, 0, 0)[: position + 1]
    return _release(version, (*parts[:-1], parts[-1] + 1))


def _compatible(version: Version) -> Version:
    if len(version.release) < 2:
        return _bump(version, 0)
    *kept, second, _ = version.release
    return _release(version, (*kept, second + 1))


def _before(version: Version) -> Version:
    """Return the exclusive upper bound that `<version` means (rule 2)."""
    return version if version.is_prerelease else _first_development(version)


def _first_development(version: Version) -> Version:
    return Version(f"{version.public}.dev0")


def _release(like: Version, parts: tuple[int, ...]) -> Version:
    return Version(f"{like.epoch}!{'.'.join(map(str, parts))}")


def _comparable(version: Version, bound: Version) -> Version:
    return Version(version.public) if version.local and not bound.local else version


def _cut(version: Version) -> Version:
    """Return `version` without its post-release (and what hangs on it)."""
    return Version(re.split(r"\.post", str(version), maxsplit=1)[0])


def _version(text: str, version: str) -> Version:
    try:
        return Version(version)
    except (InvalidVersion, ValueError):  # ValueError: more digits than int() takes
        raise _not_a_constraint(text) from None


def _not_a_constraint(text: str) -> Fault:
    return Fault("lock.invalid", f"not a version constraint: {shown(repr(text))}")
