"""Names of lockfiles, and which format each name means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from sprawld.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PROJECT_LOCKS", "Format", "recognise"]

Format = Literal["uv", "poetry", "pdm", "pylock", "pipfile", "requirements"]

PROJECT_LOCKS: Final[dict[str, Format]] = {
    "pylock.toml": "pylock",
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "pdm.lock": "pdm",
    "Pipfile.lock": "pipfile",
    "requirements-frozen.txt": "requirements",
    "requirements.txt": "requirements",
}
"""Names searched for, in the order that counts where the project file does not tell."""


def recognise(path: Path) -> Format:
    """Return the format of a lockfile by its name; LockError `lock.unsupported` for names of no format."""
    known = PROJECT_LOCKS.get(path.name)
    if known is not None:
        return known
    # A large module, and a rare name.
    from packaging.pylock import is_valid_pylock_path

    if is_valid_pylock_path(path):
        return "pylock"
    if path.suffix == ".lock":
        return "uv"  # the lock of a script: `tool.py.lock`
    if path.suffix == ".txt":
        return "requirements"
    raise LockError(
        "lock.unsupported",
        f"{path}: the name is not that of a lockfile",
        hint=f"known names: {', '.join(PROJECT_LOCKS)}, pylock.NAME.toml, SCRIPT.py.lock and NAME.txt",
    )
