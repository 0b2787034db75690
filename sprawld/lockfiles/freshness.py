"""Whether the project file changed since a lock was written, by the hash that the tool put into the lock.

Specifications: poetry's `locker` (`content-hash`), pdm's `content_hash`, and Pipfile (`_meta.hash`). A stale
lock is still the lock: this only makes a warning. Hashes that cannot be computed tell nothing.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from ._toml import Fault, get, table
from .remedies import warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._toml import Table

__all__ = ["pdm_warnings", "pipfile_warnings", "poetry_warnings"]

_POETRY_LEGACY: Final = ("dependencies", "source", "extras", "dev-dependencies")
_POETRY_PROJECT: Final = ("requires-python", "dependencies", "optional-dependencies")
_PIPFILE_SECTIONS: Final = ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv")


def poetry_warnings(pyproject: Table, expected: str) -> tuple[str, ...]:
    """Return a warning if a poetry.lock with this `content-hash` was made from another pyproject.toml."""
    return _warnings(pyproject, "pyproject.toml", "poetry lock", expected, _poetry_contents(pyproject))


def pdm_warnings(pyproject: Table, expected: str) -> tuple[str, ...]:
    """Return a warning if a pdm.lock with this `content_hash` was made from another pyproject.toml."""
    return _warnings(pyproject, "pyproject.toml", "pdm lock", expected, _pdm_contents(pyproject))


def pipfile_warnings(pipfile: Table, meta: Table) -> tuple[str, ...]:
    """Return a warning if a Pipfile.lock with this `_meta` (spec 6) was made from another Pipfile."""
    expected = table(meta, "hash").get("sha256")
    if not isinstance(expected, str) or "pipfile-spec" not in meta:
        return ()
    return _warnings(pipfile, "Pipfile", "pipenv lock", expected, _pipfile_contents(pipfile, meta))


def _warnings(
    document: Table, file: str, command: str, expected: str, contents: Iterator[str]
) -> tuple[str, ...]:
    digest = expected.removeprefix("sha256:")
    try:
        if (
            not document
            or not digest
            or any(hashlib.sha256(content.encode()).hexdigest() == digest for content in contents)
        ):
            return ()
    except (Fault, TypeError, ValueError, RecursionError):
        return ()
    remedy = f"bring the lock up to date with `{command}`"
    return (warning("lock.stale", f"{file} changed after the lock was written", remedy),)


def _poetry_contents(pyproject: Table) -> Iterator[str]:
    """With and without the dependency groups, which count since poetry 2.3."""
    project = table(pyproject, "project")
    tool = table(table(pyproject, "tool"), "poetry")
    relevant = {key: project[key] for key in _POETRY_PROJECT if key in project}
    for groups in (table(pyproject, "dependency-groups"), {}):
        legacy_counts = not (relevant or groups)
        poetry = {
            key: tool.get(key)
            for key in (*_POETRY_LEGACY, "group")
            if key in tool or (legacy_counts and key in _POETRY_LEGACY)
        }
        content: dict[str, object] = {}
        if relevant:
            content["project"] = relevant
        if groups:
            content["dependency-groups"] = groups
        yield json.dumps({**content, "tool": {"poetry": poetry}} if content else poetry, sort_keys=True)


def _pdm_contents(pyproject: Table) -> Iterator[str]:
    """The shapes pdm has hashed since 2021; the last key was the overrides alone before 2.8."""
    project = table(pyproject, "project")
    tool = table(table(pyproject, "tool"), "pdm")
    resolution = table(tool, "resolution")
    groups: dict[str, list[object]] = {}
    for source in (table(pyproject, "dependency-groups"), table(tool, "dev-dependencies")):
        for name in source:
            groups.setdefault(name, []).extend(get(source, name, list) or [])
    content = {
        "sources": tool.get("source", []),
        "dependencies": project.get("dependencies", []),
        "dev-dependencies": groups,
        "optional-dependencies": project.get("optional-dependencies", {}),
        "requires-python": project.get("requires-python", ""),
    }
    yield json.dumps({**content, "resolution": resolution}, sort_keys=True)
    yield json.dumps({**content, "overrides": table(resolution, "overrides")}, sort_keys=True)
    yield json.dumps(content, sort_keys=True)


def _pipfile_contents(pipfile: Table, meta: Table) -> Iterator[str]:
    """A Pipfile without sources gets pipenv's default one, which the lock repeats."""
    sources = pipfile.get("source") or meta.get("sources", [])
    content: dict[str, object] = {
        "_meta": {"sources": sources, "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
    }
    content.update((name, value) for name, value in pipfile.items() if name not in _PIPFILE_SECTIONS)
    yield json.dumps(content, sort_keys=True, separators=(",", ":"))
