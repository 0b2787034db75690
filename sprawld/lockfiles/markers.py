"""Environment markers of lockfiles, evaluated for another interpreter.

Specification: dependency specifiers (markers) and pylock.toml, with the meaning that lockfiles give them:

1. `extra` is a set: `extra == "x"` holds when x is active, `extra != "x"` when it is not.
2. `extras` and `dependency_groups` are allowed everywhere (`"x" in extras`).
3. `python_full_version` is compared by its release alone: locks split versions into ranges that leave no gap
   for pre-releases, PEP 440 comparison would.

A marker is cut into its comparisons here; each comparison is checked and evaluated by `packaging`. A lock of
thousands of markers has some dozens of different comparisons, so their truth is kept per environment.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from packaging.markers import InvalidMarker, UndefinedComparison
from packaging.markers import Marker as Comparison
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from ._derived import Derived
from ._toml import Fault, invalid, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sprawld.model import Environment

__all__ = ["Marker", "holds", "parse_marker", "python_allowed", "specifier_set"]

# The longest marker of 100 real locks has 463 characters and 14 comparisons, and uv's conflict markers
# of large projects some kB. Beyond these limits a marker is a bomb.
_MAXIMUM_CHARACTERS: Final = 32_768
_MAXIMUM_COMPARISONS: Final = 1_000
_MAXIMUM_DEPTH: Final = 50

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<word>and|or)(?![\w.])
      | (?P<left>"[^"]*"|'[^']*'|[A-Za-z_][\w.]*)
        \s*(?P<operator>===|[=!<>~]=|[<>]|\bnot\s+in\b|\bin\b)\s*
        (?P<right>"[^"]*"|'[^']*'|[A-Za-z_][\w.]*)
    )""",
    re.VERBOSE | re.ASCII,
)

_ENVIRONMENT_NAMES: Final = (
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "platform_python_implementation",
    "python_version",
    "sys_platform",
)

Kind = Literal["fact", "extra", "extras", "dependency_groups"]


@dataclass(frozen=True, slots=True)
class Atom:
    """One comparison: a fact about the environment, or membership of `value` in a set."""

    kind: Kind
    text: str
    """What packaging evaluates, for a fact."""
    value: str = ""
    """Normalised name, for a set."""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Marker:
    """A parsed marker: any of the alternatives, in each of which all terms must hold."""

    text: str
    alternatives: tuple[tuple[Atom | Marker, ...], ...]


@functools.lru_cache(maxsize=16_384)
def parse_marker(text: str | None) -> Marker | None:
    """Parse a marker; None for None and for the empty string, which always hold.

    Raises Fault `lock.invalid` for what does not parse and for markers of a size no honest lock has.
    """
    if text is None or not text.strip():
        return None
    if len(text) > _MAXIMUM_CHARACTERS:
        invalid(f"marker of {len(text)} characters")
    tokens = list(_tokens(text))
    if sum(isinstance(token, Atom) for token in tokens) > _MAXIMUM_COMPARISONS:
        invalid(f"marker of more than {_MAXIMUM_COMPARISONS} comparisons")
    return _build(text, tokens)


def holds(
    marker: Marker | None,
    environment: Environment,
    *,
    extras: frozenset[str] = frozenset(),
    groups: frozenset[str] = frozenset(),
) -> bool:
    """Tell whether a marker holds; `extras` and `groups` are the active ones, as normalised names.

    `extras` serves `extra` as well as `extras`, `groups` serves `dependency_groups`.
    """
    if marker is None:
        return True
    return _holds(marker, _facts(environment), extras, groups)


@functools.lru_cache(maxsize=4_096)
def specifier_set(text: str) -> SpecifierSet:
    """Return the parsed version specifiers; raises Fault `lock.invalid`."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise Fault("lock.invalid", f"not a version specifier: {shown(repr(text))}") from None


def python_allowed(specifiers: str, environment: Environment) -> bool:
    """Tell whether a `requires-python` allows the environment's Python, by its release alone."""
    return specifier_set(specifiers).contains(".".join(map(str, environment.version)), prereleases=True)


# --- parsing


def _tokens(text: str) -> Iterator[Atom | str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            invalid(f"marker does not parse at character {position}: {shown(repr(text))}")
        position = match.end()
        left = match["left"]
        yield (
            match["bracket"] or match["word"]
            if left is None
            else _atom(left, match["operator"], match["right"])
        )


def _build(text: str, tokens: list[Atom | str]) -> Marker:
    """Put the comparisons together; `and` binds more strongly than `or`. No recursion, so no bomb."""
    levels: list[list[list[Atom | Marker]]] = [[[]]]
    term_expected = True
    for piece in tokens:
        if term_expected != (piece not in ("and", "or", ")")):
            break
        if piece == "(":
            levels.append([[]])
            if len(levels) > _MAXIMUM_DEPTH:
                invalid("marker nested too deeply")
        elif piece == ")":
            if len(levels) == 1:
                break
            inner = levels.pop()
            levels[-1][-1].append(Marker("", tuple(map(tuple, inner))))
        elif piece in ("and", "or"):
            if piece == "or":
                levels[-1].append([])
            term_expected = True
        else:
            assert isinstance(piece, Atom)
            levels[-1][-1].append(piece)
            term_expected = False
    else:
        if len(levels) == 1 and not term_expected:
            return Marker(text, tuple(map(tuple, levels[0])))
    raise Fault("lock.invalid", f"marker does not parse: {shown(repr(text))}")


@functools.lru_cache(maxsize=4_096)
def _atom(left: str, operator: str, right: str) -> Atom:
    operator = " ".join(operator.split())
    text = f"{left} {operator} {right}"
    try:
        Comparison(text)
    except InvalidMarker:
        raise Fault("lock.invalid", f"marker comparison does not parse: {shown(repr(text))}") from None
    variable, value = (right, left) if left[0] in "\"'" else (left, right)
    negated = operator in ("!=", "not in")
    if variable == "extra" and operator in ("==", "!="):
        return Atom("extra", text, canonicalize_name(value[1:-1]), negated)
    if variable in ("extras", "dependency_groups") and operator in ("in", "not in"):
        kind: Kind = "extras" if variable == "extras" else "dependency_groups"
        return Atom(kind, text, canonicalize_name(value[1:-1]), negated)
    if {left, right} & {"extra", "extras", "dependency_groups"}:
        invalid(f"marker comparison without meaning in a lock: {shown(repr(text))}")
    return Atom("fact", text)


# --- evaluation


class _Facts:
    """The truth of comparisons in one environment, found when first asked for."""

    def __init__(self, environment: Environment) -> None:
        self._known: dict[str, bool] = {}
        # Names that the environment lacks are empty: packaging would put in those of this very process.
        self._values = dict.fromkeys(_ENVIRONMENT_NAMES, "") | dict(environment.markers)
        self._values["python_full_version"] = ".".join(map(str, environment.version))

    def hold(self, text: str) -> bool:
        known = self._known.get(text)
        if known is None:
            try:
                known = Comparison(text).evaluate(self._values)
            except (UndefinedComparison, KeyError):
                invalid(f"marker comparison without meaning: {shown(repr(text))}")
            self._known[text] = known
        return known


_facts = Derived(_Facts)


def _holds(marker: Marker, facts: _Facts, extras: frozenset[str], groups: frozenset[str]) -> bool:
    for terms in marker.alternatives:
        for term in terms:
            if isinstance(term, Marker):
                truth = _holds(term, facts, extras, groups)
            elif term.kind == "fact":
                truth = facts.hold(term.text)
            else:
                members = groups if term.kind == "dependency_groups" else extras
                truth = (term.value in members) != term.negated
            if not truth:
                break
        else:
            return True
    return False
