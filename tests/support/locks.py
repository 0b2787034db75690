"""Environments, small uv locks and caught refusals for tests of the lockfiles wing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from sprawld.acquire.environment import describe
from sprawld.errors import SprawlError
from sprawld.lockfiles._toml import Fault
from sprawld.model import Environment, Hash, Pin, Selection, Wanted

__all__ = [
    "DIGEST",
    "FILES",
    "INDEX",
    "PLAIN",
    "linux",
    "macos",
    "names",
    "package",
    "pdm_lock",
    "refusal",
    "uv_lock",
    "windows",
    "write",
]

INDEX = "https://index.example.org/simple"
FILES = "https://files.example.org/packages"
DIGEST = "ab" * 32
PLAIN = Wanted()


@functools.cache
def linux(python: str = "3.12.1") -> Environment:
    """CPython on Linux x86_64 with glibc."""
    return describe(python, "linux")


@functools.cache
def windows(python: str = "3.12.1") -> Environment:
    """CPython on Windows x86_64."""
    return describe(python, "windows")


@functools.cache
def macos(python: str = "3.12.1") -> Environment:
    """CPython on macOS arm64."""
    return describe(python, "macos")


def sha256(digest: str = DIGEST) -> Hash:
    """A locked sha256."""
    return Hash(algorithm="sha256", value=digest)


def package(
    name: str,
    version: str = "1.0",
    *,
    dependencies: str = "",
    source: str = f'registry = "{INDEX}"',
    wheel: str | None = None,
    more: str = "",
) -> str:
    """Return one [[package]] of a uv lock; `dependencies` is the inside of the array, `more` goes last."""
    wheel = f"{name.replace('-', '_')}-{version}-py3-none-any.whl" if wheel is None else wheel
    files = (
        f'wheels = [{{ url = "{FILES}/{wheel}", hash = "sha256:{DIGEST}", size = 10 }}]\n'
        if source.startswith("registry") and wheel
        else ""
    )
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ {source} }}\n'
        f"dependencies = [{dependencies}]\n{files}{more}\n"
    )


def uv_lock(*packages: str, head: str = "", requires_python: str = ">=3.10") -> str:
    """Return the text of a uv lock."""
    return f'version = 1\nrevision = 3\nrequires-python = "{requires_python}"\n{head}\n' + "\n".join(packages)


def pdm_lock(file: str = "a-1.0-py3-none-any.whl") -> str:
    """Return the text of a pdm lock of one package with one file."""
    return f"""\
[metadata]
groups = ["default"]
strategy = ["inherit_metadata"]
lock_version = "4.5.0"
[[metadata.targets]]
requires_python = ">=3.8"
[[package]]
name = "a"
version = "1.0"
groups = ["default"]
files = [{{file = "{file}", hash = "sha256:{DIGEST}"}}]
"""


def write(directory: Path, name: str, text: str | bytes) -> Path:
    """Write a file, its directories made, and return its path."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def names(result: Selection | tuple[Pin, ...]) -> list[str]:
    """Return `name==version` (or the name alone) of everything selected, in order."""
    pins = [choice.pin for choice in result.choices] if isinstance(result, Selection) else result
    return [pin.name if pin.version is None else f"{pin.name}=={pin.version}" for pin in pins]


def refusal(call: Callable[[], object]) -> SprawlError | Fault | None:
    """Return how a call was refused, checked to be fit for a terminal; every other exception goes through."""
    try:
        call()
    except (SprawlError, Fault) as error:
        caught = error
    else:
        return None
    assert caught.message.isprintable()
    assert len(caught.message) < 4_000
    return caught
