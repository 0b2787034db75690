"""Path sets made by hand: what the hook and the finder run on when no daemon made it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.pathsets import clientcopy, setindex, startup
from sprawld.store import leases
from virtual_sprawl import joined

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLIENT", "HandmadeSet", "Interpreter", "examine", "install_hook", "make_set"]

CLIENT = Path(__file__).resolve().parents[2] / "client"

_QUESTIONS = """
import importlib.machinery, json, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "cache_tag": sys.implementation.cache_tag,
    "library": "python" + sysconfig.get_config_var("py_version_short")
        + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""),
    "suffixes": importlib.machinery.all_suffixes(),
    "extensions": importlib.machinery.EXTENSION_SUFFIXES,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """What a set has to know of an interpreter."""

    executable: str
    cache_tag: str
    library: str
    suffixes: tuple[str, ...]
    """In FileFinder's order: extensions, source, bytecode."""


@functools.cache
def examine(python: Path) -> Interpreter:
    """Ask an interpreter, once."""
    output = subprocess.run([python, "-I", "-S", "-c", _QUESTIONS], capture_output=True, check=True).stdout
    answers = json.loads(output)
    suffixes = (*answers["extensions"], *(s for s in answers["suffixes"] if s not in answers["extensions"]))
    return Interpreter(answers["executable"], answers["cache_tag"], answers["library"], suffixes)


@dataclass(frozen=True)
class HandmadeSet:
    """A set on disk."""

    path: Path
    site_packages: Path
    index: bytes

    @property
    def python(self) -> Path:
        """The set's own interpreter."""
        return self.path / "bin/python"

    @property
    def strings(self) -> list[bytes]:
        """Strings of the PATH_SET reply."""
        return [self.path.name.encode(), os.fsencode(self.path), self.index]


def make_set(
    store: Path, python: Path, files: Mapping[str, str | bytes], *, bytecode: bool = False
) -> HandmadeSet:
    """Lay `files` (relative to site-packages) into one entry of `store`, and a set over it for `python`.

    `bytecode` lets the interpreter compile the entry.
    """
    interpreter = examine(python)
    entry = store / "wheels" / hashlib.sha256(repr(sorted(files)).encode()).hexdigest()
    packages = entry / "lib/python/site-packages"
    for name, content in files.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    packages.mkdir(parents=True, exist_ok=True)
    if bytecode:
        subprocess.run([python, "-I", "-m", "compileall", "-q", packages], check=True)
    return _link_set(store, interpreter, packages)


def _link_set(store: Path, interpreter: Interpreter, packages: Path) -> HandmadeSet:
    digest = hashlib.sha256(f"{packages} {interpreter.executable}".encode()).hexdigest()[:40]
    path = store / "sets" / digest
    site_packages = path / "lib" / interpreter.library / "site-packages"
    site_packages.mkdir(parents=True)
    up = "../" * 5
    for child in packages.iterdir():
        (site_packages / child.name).symlink_to(up + os.fspath(child.relative_to(store)))
    client = _client_copy(store, interpreter.executable)
    name = clientcopy.COPY_NAME
    (site_packages / name).symlink_to(f"{up}client/{client}/{name}")
    (site_packages / f"{name}.pth").write_bytes(startup.own_file((3, 8))[1])
    (path / "bin").mkdir()
    for link in ("python", "python3"):
        (path / "bin" / link).symlink_to(interpreter.executable)
    home = os.path.dirname(interpreter.executable)
    (path / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (path / "set.json").write_text("{}")
    (path / "boot").write_text("a boot long ago\n")
    (path / "lease").touch(mode=0o600)
    (store / leases.PIPES).mkdir(mode=0o700, exist_ok=True)
    leases.offer(path)
    index = setindex.encode(
        interpreter.cache_tag,
        str(path),
        str(site_packages),
        _top(packages, interpreter),
        links={child.name: packages.parents[2].name for child in packages.iterdir()},
    )
    (path / "index").write_bytes(index)
    (path / "index").chmod(0o600)
    return HandmadeSet(path, site_packages, index)


@functools.cache
def _client_copy(store: Path, executable: str) -> str:
    client = clientcopy.ensure_client_copy(store, CLIENT / "virtual_sprawl")
    clientcopy.compile_client_copy(executable, store / "client" / client)
    return client


def _top(packages: Path, interpreter: Interpreter) -> dict[str, tuple[int, str]]:
    files = [child.name for child in packages.iterdir() if child.is_file()]
    directories = {
        child.name: [inside.name for inside in child.iterdir() if inside.name.startswith("__init__.")]
        for child in packages.iterdir()
        if child.is_dir()
    }
    return setindex.importable(files, directories, interpreter.suffixes)


def install_hook(target: Path, python: Path, *, compiled: bool = False) -> None:
    """Put the start-up hook into a site directory, as an installer would."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        CLIENT / "virtual_sprawl", target / "virtual_sprawl", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in joined.HOOK:
        content = joined.join(str(CLIENT / "virtual_sprawl"), name)
        (target / "virtual_sprawl" / f"{name}.py").write_bytes(content)
    shutil.copy(CLIENT / "virtual_sprawl.pth", target)
    if compiled:
        subprocess.run([python, "-I", "-m", "compileall", "-q", target / "virtual_sprawl"], check=True)
