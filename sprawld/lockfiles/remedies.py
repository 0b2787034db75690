"""How a lock is brought up to date: the command of its tool, told with refusals and warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from .formats import recognise

if TYPE_CHECKING:
    from pathlib import Path

    from .formats import Format

__all__ = ["earlier_release", "relock", "remedy_for", "warning"]

_COMMANDS: Final[dict[Format, str]] = {
    "uv": "uv lock",
    "poetry": "poetry lock",
    "pdm": "pdm lock",
    "pipfile": "pipenv lock",
}
_OTHERS: Final[dict[Format, str]] = {
    "pylock": "write the lock anew with its tool (`uv export -o {name}`, `pip lock`, `pdm export`)",
    "requirements": "write the file anew with its tool (`uv pip compile`, `pip freeze`)",
}
_RELOCKED: Final = frozenset({"lock.stale", "lock.unsupported", "lock.duplicate-package"})
"""Codes of faults that go away when the lock is written anew."""


def relock(path: Path) -> str:
    """Return how to write the lock at `path` anew; empty for files that are no lock."""
    try:
        form = recognise(path)
    except LockError:
        return ""
    if form == "uv" and path.name != "uv.lock":
        return f"write the lock anew with `uv lock --script {path.name.removesuffix('.lock')}`"
    if form in _COMMANDS:
        return f"write the lock anew with `{_COMMANDS[form]}`"
    return _OTHERS[form].format(name=path.name)


def remedy_for(code: str, path: Path) -> str:
    """Return the hint for a fault of that code in the file at `path`, or an empty string."""
    return relock(path) if code in _RELOCKED else ""


def earlier_release(form: Format) -> str:
    """Return the hint for a lock that a later release of its tool wrote than is known here."""
    command = f" (`{_COMMANDS[form]}`)" if form in _COMMANDS else ""
    return f"update virtual-sprawl, or write the lock anew with an earlier release of its tool{command}"


def warning(code: str, message: str, remedy: str) -> str:
    """Return the text of a warning, in the form that refusals have."""
    return f"{message} [{code}]; hint: {remedy}"
