"""Which other Python to run, where a lock has nothing for this one: the remedy that a refusal names.

Nothing is looked up: which Pythons are installed is for the client to say. Of several that would do, the one
nearest to the Python that was refused is named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from ._toml import Fault, shown
from .artifacts import wheel_parts
from .markers import specifier_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from packaging.tags import Tag

    from sprawld.model import Artifact, Environment

__all__ = ["excluded_python", "python_for_wheels", "python_within"]

_MINORS: Final = range(8, 16)
"""Minor versions that can be run, as far as anybody knows today."""
_LAST_MICRO: Final = 99
_INTERPRETER: Final = re.compile(r"(?:cp|py)3([0-9]{1,2})")
_LOCK: Final = "lock for this one"


def excluded_python(what: str, specifiers: str, environment: Environment) -> Fault:
    """Return the fault for a Python that the specifiers of `what` exclude."""

    def allows(version: Version) -> bool:
        return specifier_set(specifiers).contains(version)

    return Fault(
        "select.requires-python",
        f"{what} is for Python {shown(specifiers)}, this is {'.'.join(map(str, environment.version))}",
        hint=python_within(allows, environment),
    )


def python_within(allows: Callable[[Version], bool], environment: Environment) -> str:
    """Return the hint that names a Python for which `allows` holds; its first or last release counts."""
    minors = [
        minor
        for minor in _MINORS
        if minor != environment.version[1]
        and any(allows(Version(f"3.{minor}.{micro}")) for micro in (0, _LAST_MICRO))
    ]
    return _hint(minors, environment) or f"run another Python (`sprawl +VERSION run ...`), or {_LOCK}"


def python_for_wheels(artifacts: Iterable[Artifact], environment: Environment) -> str:
    """Return the hint for a package without a wheel for this Python: one that it has a wheel for here."""
    platforms = {tag.platform for tag in environment.tags}
    parts = (wheel_parts(artifact.filename) for artifact in artifacts)
    tags = [tag for wheel in parts if wheel is not None for tag in wheel.tags if tag.platform in platforms]
    minors = {minor for tag in tags for minor in _minors_of(tag)}
    return _hint(minors, environment) or (
        "it has none for this platform with any Python (`sprawl +VERSION run ...`); lock a version that has"
    )


def _minors_of(tag: Tag) -> Iterable[int]:
    match = _INTERPRETER.fullmatch(tag.interpreter)
    if match is None or tag.abi.endswith("t"):
        return ()
    first = int(match[1])
    return range(first, _MINORS.stop) if tag.abi == "abi3" else (first,)


def _hint(minors: Iterable[int], environment: Environment) -> str:
    here = environment.version[1]
    possible = [minor for minor in minors if minor in _MINORS]
    if not possible:
        return ""
    nearest = min(possible, key=lambda minor: (abs(minor - here), -minor))
    return f"run a Python that it is for, as in `sprawl +3.{nearest} run ...`, or {_LOCK}"
