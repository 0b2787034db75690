"""The most downloaded packages, in groups that uv can lock together for one Python."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["GROUP_SIZE", "Lock", "Locked", "groups", "lock_group", "top_packages"]

GROUP_SIZE = 25
APART = ("sglang",)
"""A group each: 10 GB with what they need."""

_LIST = Path(__file__).parents[1] / "data" / "top-packages.txt"


def top_packages() -> list[str]:
    """Return the normalised names, the most downloaded first."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def groups(names: Sequence[str], size: int = GROUP_SIZE) -> list[tuple[str, ...]]:
    """Return the names in groups to be locked together; each name is in one of them."""
    together = [name for name in names if name not in APART]
    found = [tuple(together[start : start + size]) for start in range(0, len(together), size)]
    return found + [(name,) for name in names if name in APART]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lockfile, and which of its packages were asked for."""

    path: Path
    asked: tuple[str, ...]

    def versions(self) -> dict[str, str]:
        """Return the name and version of every package that it locks."""
        with self.path.open("rb") as stream:
            packages = tomllib.load(stream)["packages"]
        return {package["name"]: package.get("version", "") for package in packages}


@dataclass(slots=True)
class Locked:
    """What came of locking one group."""

    locks: list[Lock] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)
    """Package -> why it cannot be locked for this Python."""


def lock_group(names: Sequence[str], directory: Path, compile_lock: Callable[[Path, Path], str]) -> Locked:
    """Lock the names together, or in as few parts as their requirements allow.

    `compile_lock(input, output)` writes a lock and returns why it cannot, or nothing.
    """
    locked = Locked()
    _lock(tuple(names), directory, compile_lock, locked)
    return locked


def _lock(
    names: tuple[str, ...], directory: Path, compile_lock: Callable[[Path, Path], str], locked: Locked
) -> None:
    lock, problem = _try(names, directory / f"{len(locked.locks)}", compile_lock)
    if lock is not None:
        locked.locks.append(lock)
        return
    if len(names) == 1:
        locked.lacking[names[0]] = problem
        return
    for name in names:
        alone, problem = _try((name,), directory / "alone", compile_lock)
        if alone is None:
            locked.lacking[name] = problem
    rest = tuple(name for name in names if name not in locked.lacking)
    # Those that cannot be had alone are out; if that was not it, some of the others exclude each other.
    parts = [rest] if len(rest) < len(names) else [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
    for part in parts:
        if part:
            _lock(part, directory, compile_lock, locked)


def _try(
    names: tuple[str, ...], directory: Path, compile_lock: Callable[[Path, Path], str]
) -> tuple[Lock | None, str]:
    directory.mkdir(parents=True, exist_ok=True)
    wanted = directory / "wanted.in"
    wanted.write_text("".join(f"{name}\n" for name in names))
    path = directory / "pylock.toml"
    problem = compile_lock(wanted, path)
    return (None, _in_short(problem)) if problem else (Lock(path, names), "")


def _in_short(complaint: str) -> str:
    """Return the part of uv's message that tells the reason, on one line."""
    text = " ".join(re.findall(r"[!-~]+", complaint))
    return text[:300]
