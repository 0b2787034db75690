"""Whether a uv.lock still fits the project file: what was added, removed or asked for differently.

uv records the requirements it locked, with the sources of [tool.uv.sources] worked in and markers simplified,
so only names and version specifiers are compared. A difference is worth a warning, no more: the tool itself
installs from such a lock when told to (`--frozen`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from ._toml import Fault, Table, get, strings, table, tables
from .pyproject import group_requirements
from .remedies import warning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .pyproject import Pyproject
    from .uv_package import Package

__all__ = ["differences"]

_SOURCES: Final = frozenset({"git", "url", "path", "directory", "editable", "virtual", "index"})
_LISTED: Final = 5
_PLAIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)((?:[=<>!~]=|[<>])[A-Za-z0-9.*+!<>=~,]+)?")
"""A requirement of a name and versions, as most are; parsing it costs more than all the rest."""


def differences(package: Package, pyproject: Pyproject) -> str | None:
    """Return one line that says how lock and project file differ, None if they fit.

    `package` is the project in the lock. Locks without recorded requirements (legal from revision 4 on) and
    projects whose dependencies are dynamic always fit.
    """
    metadata = table(package.table, "metadata")
    if "requires-dist" not in metadata and "requires-dev" not in metadata:
        return None
    try:
        found = []
        if not {"dependencies", "optional-dependencies"} & set(strings(pyproject.project, "dynamic")):
            found += _compare(tables(metadata, "requires-dist"), pyproject.requirements())
        locked_groups = table(metadata, "requires-dev")
        for group in sorted({*map(canonicalize_name, pyproject.groups), *locked_groups}):
            found += _compare(tables(locked_groups, group), _declared(pyproject, group))
    except (Fault, InvalidRequirement, InvalidSpecifier):
        return None  # uv read the file; what it means by this is not worth a guess
    if not found:
        return None
    listed = ", ".join(sorted(set(found))[:_LISTED])
    message = f"{pyproject.path} changed after it was locked ({listed})"
    return warning("lock.stale", message, "bring the lock up to date with `uv lock`")


def _declared(pyproject: Pyproject, group: str) -> tuple[str, ...]:
    legacy = strings(pyproject.tool("uv"), "dev-dependencies") if group == "dev" else ()
    if group not in {str(canonicalize_name(name)) for name in pyproject.groups}:
        return legacy
    return (*group_requirements(pyproject.groups, group), *legacy)


def _compare(locked: Iterable[Table], declared: Iterable[str]) -> list[str]:
    """Return what differs, as `+name`, `-name` and `~name`."""
    before: dict[str, list[Table]] = {}
    for item in locked:
        before.setdefault(canonicalize_name(get(item, "name", str) or ""), []).append(item)
    after: dict[str, list[str]] = {}
    for text in declared:
        plain = _PLAIN.fullmatch(text)
        name, specifier = (plain[1], plain[2] or "") if plain else _parsed(text)
        after.setdefault(canonicalize_name(name), []).append(specifier)
    changed = [f"+{name}" for name in after.keys() - before.keys()]
    changed += [f"-{name}" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        if len(before[name]) == len(after[name]) == 1 and not _SOURCES & before[name][0].keys():
            specifier = get(before[name][0], "specifier", str) or ""
            if specifier != after[name][0] and SpecifierSet(specifier) != SpecifierSet(after[name][0]):
                changed.append(f"~{name}")
    return changed


def _parsed(text: str) -> tuple[str, str]:
    requirement = Requirement(text)
    return requirement.name, str(requirement.specifier)
