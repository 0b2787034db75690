"""Is a client copy whole: its sources are what its name says, its bytecode is what its interpreter wrote.

    <store>/client/<digest>/bytecode.json    file name in __pycache__ -> sha256, recorded after compiling

1. Bytecode of the copy is never checked against its source by Python, and what an interpreter writes cannot
   be told from its source by another one. So its hash is recorded when it is made.
2. Bytecode without a record (the daemon died in between) has to belong to its source by its own header.
"""

from __future__ import annotations

import _imp
import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError
from sprawld.store import files

from .clientcopy import COPY_NAME, client_digest, client_files
from .setcheck import Difference

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SOURCE_MODE", "record_bytecode", "verify_client"]

SOURCE_MODE: Final = 0o444
"""Of the sources of a copy; the daemon's umask takes some of it away."""
WRITABLE: Final = 0o222

_RECORD: Final = "bytecode.json"
_CACHE: Final = "__pycache__"
_SMALL_BYTES: Final = 4 << 20
_HEADER_BYTES: Final = 16
_UNCHECKED: Final = 1
"""Flags of a hash-based pyc that is not checked (PEP 552)."""


def record_bytecode(copy: Path, cache_tag: str = "") -> None:
    """Record what an interpreter has just compiled, or all; `copy` is `client/<digest>`. StoreError."""
    cache = copy / COPY_NAME / _CACHE
    hashes = {name: known for name, known in _read_record(copy).items() if (cache / name).exists()}
    for path in cache.iterdir():
        if path.suffix == ".pyc" and path.name.split(".")[1] == (cache_tag or path.name.split(".")[1]):
            hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    with files.writing(f"the client copy {copy}"):
        content = json.dumps(dict(sorted(hashes.items())), indent=1).encode("ascii")
        files.write_atomic(copy / _RECORD, content, copy.parent.parent / "tmp")


def verify_client(copy: Path, package: Path | None = None) -> list[Difference]:
    """Return what is wrong with `client/<digest>`, sorted by path; paths are relative to it.

    `package` is the installed client that this copy is of, where it still is: it tells which source differs.
    """
    directory = copy / COPY_NAME
    try:
        sound = client_digest(directory) == copy.name
        names = set(client_files(directory))
    except (StoreError, SyntaxError, ValueError):
        sound, names = False, set()
    if not sound:
        return _damaged_sources(directory, package)
    differences = [
        Difference("extra", f"{COPY_NAME}/{path.name}")
        for path in directory.iterdir()
        if path.name not in names and path.name != _CACHE
    ]
    for name in names:
        mode = (directory / name).lstat().st_mode
        if not stat.S_ISREG(mode):
            differences.append(Difference("changed", f"{COPY_NAME}/{name}"))
        elif mode & WRITABLE:
            differences.append(Difference("mode", f"{COPY_NAME}/{name}"))
    differences += [
        Difference("extra", path.name) for path in copy.iterdir() if path.name not in (COPY_NAME, _RECORD)
    ]
    return sorted([*differences, *_bytecode(copy, names)], key=lambda difference: difference.path)


def _damaged_sources(directory: Path, package: Path | None) -> list[Difference]:
    if package is None:
        # Only all of them together have a digest.
        return [Difference("changed", COPY_NAME)]
    differences = []
    for name, content in client_files(package).items():
        try:
            if (directory / name).read_bytes() != content:
                differences.append(Difference("changed", f"{COPY_NAME}/{name}"))
        except OSError:
            differences.append(Difference("missing", f"{COPY_NAME}/{name}"))
    return differences or [Difference("changed", COPY_NAME)]


def _bytecode(copy: Path, names: set[str]) -> list[Difference]:
    cache, hashes = copy / COPY_NAME / _CACHE, _read_record(copy)
    if not cache.is_dir() or cache.is_symlink():
        return [Difference("missing", f"{COPY_NAME}/{_CACHE}")]
    differences = []
    for path in cache.iterdir():
        if path.name.startswith("."):
            continue  # being written; never imported
        source = f"{path.name.partition('.')[0]}.py"
        place = f"{COPY_NAME}/{_CACHE}/{path.name}"
        if source not in names or path.suffix != ".pyc" or not stat.S_ISREG(path.lstat().st_mode):
            differences.append(Difference("extra", place))
            continue
        recorded = hashes.pop(path.name, None)
        content = path.read_bytes()
        if recorded is None:
            whole = _belongs(content, (copy / COPY_NAME / source).read_bytes())
        else:
            whole = hashlib.sha256(content).hexdigest() == recorded
        if not whole:
            differences.append(Difference("changed", place))
    return differences + [Difference("missing", f"{COPY_NAME}/{_CACHE}/{name}") for name in hashes]


def _belongs(content: bytes, source: bytes) -> bool:
    magic = int.from_bytes(content[:4], "little")
    flags = int.from_bytes(content[4:8], "little")
    return flags == _UNCHECKED and content[8:_HEADER_BYTES] == _imp.source_hash(magic, source)


def _read_record(copy: Path) -> dict[str, str]:
    try:
        content = json.loads(files.read_small(copy / _RECORD, _SMALL_BYTES))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        return {}
    return {os.path.basename(name): value for name, value in content.items()}
