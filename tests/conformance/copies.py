"""Copies of corpus locks for a tool to work on: with everything they name, and with stubs where wanted."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tomli

from sprawld.errors import SprawlError
from sprawld.lockfiles.artifacts import file_name_of
from sprawld.lockfiles.read import read_lock

from .stubs import ARCHIVES, stub, stub_sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sprawld.lockfiles.lock import Lock
    from sprawld.model import Pin, Wanted

    from .places import Place
    from .stubs import StubServer

__all__ = ["Copy", "copy", "pylock_files", "read", "redirect_pylock", "redirect_uv"]

_counter = itertools.count()


@dataclass(slots=True)
class Copy:
    """A copied lock, the directory that is run, and our reading of it."""

    lock: Path
    root: Path
    case: str
    """Name of the directory all of it lies in, and the word its stubs are asked for with."""
    ours: Lock | SprawlError

    @property
    def script(self) -> Path | None:
        """The script that the lock belongs to."""
        script = self.lock.with_suffix("")
        return script if self.lock.name.endswith(".py.lock") else None

    def select(self, place: Place, wanted: Wanted) -> tuple[Pin, ...]:
        """Return what we select there; raises as reading and selecting do."""
        if isinstance(self.ours, SprawlError):
            raise self.ours
        return self.ours.select(place.environment, wanted)


def copy(lock: Path, scratch: Path, redirect: Callable[[str, str], str] | None = None) -> Copy:
    """Copy a lock with what lies below and beside it; local files and directories it names are made up.

    `redirect` turns (text, case) into the text of the copy.
    """
    case = str(next(_counter))
    # Deep enough for locks that name places some directories above their own.
    directory = scratch / case / "above" / "it" / lock.parent.name
    shutil.copytree(lock.parent, directory)
    copied = directory / lock.name
    text = copied.read_text(encoding="utf-8")
    if lock.name != "Pipfile.lock":
        _fill(directory, tomli.loads(text))
    if redirect is not None:
        copied.write_text(redirect(text, case), encoding="utf-8")
    return Copy(copied, directory, case, read(copied, directory))


def read(lock: Path, root: Path) -> Lock | SprawlError:
    """Return the lock, or why it is refused."""
    try:
        return read_lock(lock, root=root)
    except SprawlError as error:
        return error


def _fill(directory: Path, document: dict[str, Any]) -> None:
    """Put stubs and empty projects where a lock names local files and directories."""
    for package in document.get("package", ()):
        source = package.get("source", {})
        if source.get("type") in ("directory", "file"):  # of poetry
            _put(directory / source["url"], package, source["type"] == "directory")
        if "path" in package:  # of pdm
            _put(directory / package["path"], package, not package["path"].endswith(ARCHIVES))
        for kind in ("directory", "editable", "virtual"):
            (directory / source.get(kind, ".")).mkdir(parents=True, exist_ok=True)
        names = [source["path"]] if "path" in source else []
        if "://" not in source.get("registry", "://"):
            names += [f"{source['registry']}/{item['path']}" for item in package.get("wheels", ())]
        for name in names:
            _put_stub(directory / name)
    for package in document.get("packages", ()):
        if "directory" in package:
            _put(directory / package["directory"]["path"], package, tree=True)
        for file in pylock_files(package):
            if "path" in file:
                _put_stub(directory / file["path"])


def pylock_files(package: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of a pylock package that stand for one file each."""
    single = (package[key] for key in ("sdist", "archive") if key in package)
    return [*package.get("wheels", ()), *single]


def _put(path: Path, package: dict[str, Any], tree: bool) -> None:
    """Put a project or a stub at `path`, unless something is there."""
    if not tree:
        _put_stub(path)
    elif not (path / "pyproject.toml").exists():
        path.mkdir(parents=True, exist_ok=True)
        name, version = package["name"], package.get("version", "0")
        extras = "".join(f"{extra} = []\n" for extra in package.get("extras", ()))
        text = f'[project]\nname = "{name}"\nversion = "{version}"\n[project.optional-dependencies]\n{extras}'
        (path / "pyproject.toml").write_text(text)


def _put_stub(path: Path) -> None:
    if path.name.endswith(ARCHIVES):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stub(path.name))


_UV_FILE = re.compile(
    r'url = "(https?://[^"]+)"(, subdirectory = "[^"]*")?(, hash = "[^"]*")?(, size = [0-9]+)?'
)


def redirect_uv(text: str, server: StubServer, case: str) -> str:
    """Return a uv.lock whose files all lead to stubs, with the hashes of those."""

    def replace(match: re.Match[str]) -> str:
        filename = file_name_of(match[1])
        if not filename.endswith(ARCHIVES):
            return match[0]
        hashed = f', hash = "sha256:{stub_sha256(filename)}"' if match[3] else ""
        return f'url = "{server.url(case, filename)}"{match[2] or ""}{hashed}'

    # The compressed form some indexes offer is a file of its own, which uv would fetch instead.
    return _UV_FILE.sub(replace, re.sub(r", zstd = \{[^}]*\}", "", text))


def redirect_pylock(text: str, server: StubServer, case: str) -> str:
    """Return a pylock.toml whose files all lead to stubs, with the hashes of those."""
    document = tomli.loads(text)
    for package in document.get("packages", ()):
        for file in pylock_files(package):
            filename = file.get("name") or file_name_of(file.get("url") or file.get("path") or "")
            suffix = next((suffix for suffix in ARCHIVES if filename.endswith(suffix)), None)
            if suffix not in (None, ".whl") and file is package.get("archive"):
                # An archive may have any name; a stub has that of its package.
                filename = f"{package['name']}-{package.get('version', '0')}{suffix}"
            if suffix is not None:
                for key in ("url", "path", "size", "subdirectory"):
                    file.pop(key, None)
                file |= {"url": server.url(case, filename), "hashes": {"sha256": stub_sha256(filename)}}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in document.items())


def _toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
