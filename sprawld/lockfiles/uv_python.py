"""Which Pythons a project of uv allows: by its lock, and by the dependency groups that are asked for.

Specification: uv's settings (`[tool.uv.dependency-groups] NAME = { requires-python = ... }`). A group that
includes another is bound by what that one requires. uv does not write this into the lock; without the
check a Python too old for a group would get the project without the packages of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._toml import get, shown, table
from .advice import excluded_python
from .artifacts import package_name
from .markers import python_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.utils import NormalizedName

    from sprawld.model import Environment

    from .pyproject import Pyproject
    from .uv import UvLock

__all__ = ["check_groups", "check_lock"]


def check_lock(lock: UvLock, environment: Environment) -> None:
    """Refuse a Python that the lock excludes: Fault `select.requires-python`."""
    if lock.requires_python is not None and not python_allowed(lock.requires_python, environment):
        raise excluded_python("the lock", lock.requires_python, environment)


def check_groups(lock: UvLock, groups: Iterable[NormalizedName], environment: Environment) -> None:
    """Refuse a Python that one of the active groups excludes: Fault `select.requires-python`."""
    settings = table(lock.pyproject.tool("uv"), "dependency-groups")
    if not settings:
        return
    active = _with_included(groups, lock.pyproject)
    for name in settings:
        specifiers = get(table(settings, name), "requires-python", str)
        if specifiers is None or package_name(name) not in active:
            continue
        if not python_allowed(specifiers, environment):
            raise excluded_python(f"group {shown(repr(name))}", specifiers, environment)


def _with_included(groups: Iterable[NormalizedName], pyproject: Pyproject) -> set[NormalizedName]:
    """Return these groups and all that they include; what is malformed is for uv to refuse."""
    items = {package_name(name): value for name, value in pyproject.groups.items()}
    found: set[NormalizedName] = set()
    waiting = list(groups)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        members = items.get(name)
        for item in members if isinstance(members, list) else ():
            include = item.get("include-group") if isinstance(item, dict) else None
            if isinstance(include, str):
                waiting.append(package_name(include))
    return found
