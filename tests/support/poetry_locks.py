"""Small poetry locks for tests of their reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import SprawlError
from sprawld.lockfiles import poetry
from sprawld.model import Environment, Pin, Wanted
from tests.support.locks import DIGEST, PLAIN, linux, names, write

__all__ = ["FILES", "code", "lock", "needs", "package", "select", "walk"]

FILES = 'files = [{{file = "{name}-{version}-py3-none-any.whl", hash = "sha256:' + DIGEST + '"}}]'


def package(
    name: str, version: str = "1.0", *, more: str = "", files: str | None = None, python: str = "*"
) -> str:
    """One [[package]]; `more` may end with sub-tables."""
    listed = FILES.format(name=name.replace("-", "_"), version=version) if files is None else files
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\noptional = false\n'
        f'python-versions = "{python}"\n{listed}\n{more}\n'
    )


def needs(**dependencies: str) -> str:
    lines = (f"{name} = {value}" for name, value in dependencies.items())
    return "[package.dependencies]\n" + "\n".join(lines)


def lock(*packages: str, version: str = "2.1", python: str = "*", extras: str = "", more: str = "") -> str:
    written = f'lock-version = "{version}"\n' if version else ""
    return (
        "\n".join(packages)
        + f"[extras]\n{extras}\n[metadata]\n{written}"
        + f'python-versions = "{python}"\ncontent-hash = "0"\n{more}\n'
    )


def select(
    directory: Path, text: str, wanted: Wanted = PLAIN, pyproject: str = "", here: Environment | None = None
) -> tuple[Pin, ...]:
    if pyproject:
        write(directory, "pyproject.toml", pyproject)
    return poetry.read(write(directory, "poetry.lock", text)).select(here or linux(), wanted)


def walk(
    directory: Path,
    *packages: str,
    roots: str,
    wanted: Wanted = PLAIN,
    here: Environment | None = None,
    version: str = "2.0",
    more: str = "",
    extras: str = "",
) -> list[str]:
    """Select from a lock before 2.1; `roots` is what follows in the project file."""
    project = f'[tool.poetry]\nname = "app"\nversion = "1"\n{roots}\n'
    text = lock(*packages, version=version, more=more, extras=extras)
    return names(select(directory, text, wanted, project, here))


def code(call: object, *arguments: object, **options: object) -> str:
    assert callable(call)
    with pytest.raises(SprawlError) as caught:
        call(*arguments, **options)
    assert str(arguments[0]) in caught.value.message
    return caught.value.code
