"""Finds the real CPython interpreters that tests run, and turns a missing one into a visible skip."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SUPPORTED", "interpreter_cases", "interpreters", "newest", "on_each_interpreter"]

SUPPORTED = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
"""Versions that the hook supports; each is a test or a skip that says so."""

# Prints nothing for a PyPy, a virtual environment or a program that only looks like Python.
_PROBE = """
import sys
if sys.implementation.name == "cpython" and sys.prefix == sys.base_prefix:
    print("%d.%d" % sys.version_info[:2])
    print(sys.executable)
"""
_PROBE_SECONDS = 20


@functools.cache
def interpreters() -> dict[str, Path]:
    """Return version ("3.8") -> executable of every CPython >= 3.8 found; pyenv's first, then PATH."""
    found: dict[str, Path] = {}
    for candidate in _candidates():
        version, path = _probe(candidate)
        if version and tuple(map(int, version.split("."))) >= (3, 8):
            found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def newest() -> Path:
    """Return the newest supported interpreter; skips the test when the machine has none."""
    for version in reversed(SUPPORTED):
        if version in interpreters():
            return interpreters()[version]
    pytest.skip("no supported CPython on this machine")


def interpreter_cases(*versions: str) -> list[Any]:
    """Return parameters for a test or fixture, one interpreter each; a missing one is a visible skip."""
    found = interpreters()
    return [
        pytest.param(found[version], id=version)
        if version in found
        else pytest.param(
            None, id=version, marks=pytest.mark.skip(reason=f"no CPython {version} on this machine")
        )
        for version in versions or SUPPORTED
    ]


def on_each_interpreter(
    *versions: str, argument: str = "python"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a test over interpreters (all supported ones by default); `argument` gets the path."""
    return pytest.mark.parametrize(argument, interpreter_cases(*versions))


def _candidates() -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob("versions/*/bin/python"), reverse=True)
    # pyenv's shims are shell scripts that fail for versions which are not selected.
    directories = [Path(name) for name in os.environ.get("PATH", "").split(os.pathsep) if name]
    for directory in (*directories, Path("/usr/local/bin"), Path("/usr/bin")):
        if directory.is_relative_to(root):
            continue
        yield from (directory / f"python{version}" for version in SUPPORTED)
        yield directory / "python3"


@functools.cache
def _probe(candidate: Path) -> tuple[str, Path]:
    if not os.access(candidate, os.X_OK):
        return "", candidate
    try:
        answer = subprocess.run(
            [candidate, "-I", "-S", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", candidate
    lines = answer.stdout.splitlines()
    return (lines[0], Path(lines[1])) if len(lines) == 2 else ("", candidate)
