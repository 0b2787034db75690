"""One dependency as poetry writes it, in a lock or in a project file.

Specification: poetry's documentation, "Dependency specification", and dependency specifiers (PEP 508).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from ._toml import Fault, Table, get, invalid, shown, strings
from .artifacts import package_name
from .markers import Atom, Marker, holds, parse_marker
from .poetry_constraints import Constraint, parse_constraint, platform_matches, python_matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.utils import NormalizedName

    from sprawld.model import Environment

    from .poetry_package import Package

__all__ = ["Dependency", "from_requirement", "from_value", "mentioned_name"]

_DIRECT_KEYS: Final = ("git", "url", "path", "file")
# `[package.extras]` of old locks has entries that are not PEP 508, as `foo[bar] (^1.0)` or `foo (>=1.*)`.
_MENTION: Final = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?:[(;@<>=!~^*\s].*)?",
    re.DOTALL,
)
_FULL_PYTHON_VERSION: Final = re.compile(
    r"""python_version (?P<comparison>(?:[<>]=?|==|!=|~=) ["'][0-9]+\.[0-9]+\.[0-9.]+["'])"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """What a package or the project depends on; also a `walk.Need`."""

    name: NormalizedName
    text: str
    constraints: tuple[Constraint, ...] = ()
    """All must allow the version."""
    extras: frozenset[NormalizedName] = frozenset()
    """Extras asked of the package."""
    markers: tuple[Marker, ...] = ()
    python: str | None = None
    platform: str | None = None
    optional: bool = False
    in_extras: frozenset[NormalizedName] = frozenset()
    """Extras of the dependent package that bring this in, as far as the marker tells."""
    direct: str | None = None
    """`git`, `url`, `path` or `file` for a dependency with a place of its own."""
    index: str | None = None
    """Name of the index it must come from."""

    def applies(self, environment: Environment, extras: frozenset[NormalizedName]) -> bool:
        """Tell whether markers and the keys `python` and `platform` hold, with `extras` active."""
        python = _release(environment)
        return (
            all(holds(marker, environment, extras=extras) for marker in self.markers)
            and all(_admits_release(marker, python) for marker in self.markers)
            and (self.python is None or python_matches(self.python, python))
            and (
                self.platform is None or platform_matches(self.platform, environment.markers["sys_platform"])
            )
        )

    def admits(self, package: Package) -> bool:
        """Tell whether a locked package satisfies version and origin."""
        if not all(constraint.allows(package.parsed_version) for constraint in self.constraints):
            return False
        if self.direct is not None:
            return package.origin in _ORIGINS[self.direct]
        if self.index is None:
            return True
        if package.origin == "":
            return self.index.lower() == "pypi"
        return package.origin == "legacy" and package.reference.lower() == self.index.lower()


_ORIGINS: Final = {
    "git": ("git",),
    "url": ("url",),
    "path": ("directory", "file"),
    "file": ("file",),
}


def from_value(name: str, value: object) -> Iterator[Dependency]:
    """Yield the dependencies of one key of a table: a constraint, a table, or an array of either."""
    normalised = package_name(name)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield Dependency(name=normalised, text=f"{normalised} {item}", constraints=_constraints(item))
        elif isinstance(item, dict):
            yield _from_table(normalised, item)
        else:
            invalid(f"{shown(name)}: expected string, table or array, got {type(item).__name__}")


def _from_table(name: NormalizedName, item: Table) -> Dependency:
    marker = parse_marker(get(item, "markers", str))
    in_extras = frozenset() if marker is None else frozenset(_positive_extras(marker))
    version = get(item, "version", str)
    direct = next((key for key in _DIRECT_KEYS if key in item), None)
    index = get(item, "source", str)
    extras = frozenset(map(package_name, strings(item, "extras")))
    return Dependency(
        name=name,
        text=" ".join(filter(None, (name, version, direct, index, "[" + ",".join(sorted(extras)) + "]"))),
        constraints=() if direct is not None else _constraints(version or "*"),
        extras=extras,
        markers=() if marker is None else (marker,),
        python=get(item, "python", str),
        platform=get(item, "platform", str),
        optional=bool(get(item, "optional", bool)) or bool(in_extras),
        in_extras=in_extras,
        direct=direct,
        index=index,
    )


def from_requirement(text: str, *, extra: NormalizedName | None = None) -> Dependency:
    """Return the dependency of a PEP 508 string; `extra` is the optional one it is listed under."""
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError, ValueError):
        raise Fault("lock.stale", f"not a requirement: {shown(repr(text))}") from None
    marker = parse_marker(None if requirement.marker is None else str(requirement.marker))
    in_extras = frozenset() if marker is None else frozenset(_positive_extras(marker))
    direct = None
    if requirement.url is not None:
        scheme = requirement.url.lower()
        direct = "git" if scheme.startswith("git") else "path" if scheme.startswith("file:") else "url"
    return Dependency(
        name=package_name(requirement.name),
        text=text,
        constraints=_constraints(str(requirement.specifier) or "*"),
        extras=frozenset(map(package_name, requirement.extras)),
        markers=() if marker is None else (marker,),
        optional=extra is not None or bool(in_extras),
        in_extras=in_extras if extra is None else frozenset((extra,)),
        direct=direct,
    )


def mentioned_name(text: str) -> tuple[NormalizedName, frozenset[NormalizedName]]:
    """Return name and extras of an entry of `[package.extras]`."""
    match = _MENTION.fullmatch(text)
    if match is None:
        invalid(f"extras: not a dependency: {shown(repr(text))}")
    extras = (extra.strip() for extra in (match["extras"] or "").split(","))
    return package_name(match["name"]), frozenset(package_name(extra) for extra in extras if extra)


def _constraints(text: str) -> tuple[Constraint, ...]:
    return () if text == "*" else (parse_constraint(text),)


def _positive_extras(marker: Marker) -> Iterator[NormalizedName]:
    for terms in marker.alternatives:
        for term in terms:
            if isinstance(term, Marker):
                yield from _positive_extras(term)
            elif isinstance(term, Atom) and term.kind == "extra" and not term.negated:
                yield package_name(term.value)


def _admits_release(marker: Marker, python: Version) -> bool:
    """Compare `python_version` with a full release, as in `python_version <= "3.11.2"`, like poetry.

    By the letter 3.11.7 fulfils it, for its `python_version` is 3.11; poetry sees through that.
    """
    return any(
        all(
            _admits_release(term, python) if isinstance(term, Marker) else _atom_admits(term, python)
            for term in terms
        )
        for terms in marker.alternatives
    )


def _atom_admits(atom: Atom, python: Version) -> bool:
    match = _FULL_PYTHON_VERSION.fullmatch(atom.text) if atom.kind == "fact" else None
    return match is None or parse_constraint(match["comparison"].replace('"', "").replace("'", "")).allows(
        python
    )


def _release(environment: Environment) -> Version:
    return Version(".".join(map(str, environment.version)))
