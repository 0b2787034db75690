"""Verification: is an entry what its manifest says, byte for byte.

1. Only the manifest is believed. What it does not list must not be there, links and devices least of all.
2. Every step is relative to an open directory and follows no link.
3. Nothing is repaired here but permission bits, which a power cut may lose without touching a byte.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sprawld.errors import StoreError

from . import files, manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sprawld.model import Digest

    from .manifest import ManifestFile
    from .tree import Store

__all__ = ["Problem", "restore_modes", "verify_entry"]

DIRECTORY_MODE: Final = 0o555

ProblemKind = Literal["manifest", "missing", "extra", "changed", "mode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One way in which an entry is not what its manifest says."""

    kind: ProblemKind
    """manifest: it is absent, damaged, or another wheel's. changed: content, size or type of a file."""
    path: str
    """From the entry's root, with slashes; `manifest` for the manifest itself."""


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    name: str
    directory: int
    """Descriptor of the directory that holds it."""
    status: os.stat_result


def verify_entry(store: Store, digest: Digest, *, contents: bool = True) -> list[Problem]:
    """Compare an entry with its manifest and return what differs, sorted by path; empty means sound.

    Reads every file, or with `contents` false only the manifest: then the right kind and size are enough.
    OSError when the disk fails to answer (EIO); what is absent is a problem, not an error.
    The mode of the entry's own directory is not looked at: the store sets it when it first trusts the entry.
    """
    path = store.entry_path(digest)
    try:
        content = manifest.read_manifest(path / manifest.NAME)
    except StoreError:
        return [Problem(kind="manifest", path=manifest.NAME)]
    if content.summary.digest != digest:
        return [Problem(kind="manifest", path=manifest.NAME)]
    waiting = {file.path: file for file in content.files}
    problems = []
    with files.open_directory(path) as descriptor:
        for found in _walk(descriptor, ""):
            kind = _compare(found, waiting, contents)
            if kind is not None:
                problems.append(Problem(kind=kind, path=found.path))
    problems += [Problem(kind="missing", path=missing) for missing in waiting]
    return sorted(problems, key=lambda problem: problem.path)


def restore_modes(store: Store, digest: Digest, problems: Iterable[Problem]) -> bool:
    """Set permission bits right; False, and nothing done, if any problem is of another kind."""
    found = list(problems)
    if any(problem.kind != "mode" for problem in found):
        return False
    path = store.entry_path(digest)
    modes = {file.path: file.mode for file in manifest.read_files(path / manifest.NAME)}
    for problem in found:
        descriptor = os.open(path / problem.path, files.READ)
        try:
            os.fchmod(descriptor, modes.get(problem.path, DIRECTORY_MODE))
        finally:
            os.close(descriptor)
    return True


def _walk(descriptor: int, prefix: str) -> Iterator[_Found]:
    """Yield everything below an open directory but the manifest, a directory before what it holds."""
    for name in sorted(os.listdir(descriptor)):
        path = prefix + name
        if path == manifest.NAME:
            continue
        status = os.lstat(name, dir_fd=descriptor)
        yield _Found(path, name, descriptor, status)
        if stat.S_ISDIR(status.st_mode):
            with files.open_directory(name, dir_fd=descriptor) as child:
                yield from _walk(child, path + "/")


def _compare(found: _Found, waiting: dict[str, ManifestFile], contents: bool) -> ProblemKind | None:
    mode = stat.S_IMODE(found.status.st_mode)
    if stat.S_ISDIR(found.status.st_mode) and found.path not in waiting:
        # A directory that no file lies in does not count: it holds nothing that could be imported or read.
        return "mode" if mode != DIRECTORY_MODE else None
    expected = waiting.pop(found.path, None)
    if expected is None:
        return "extra"
    if not stat.S_ISREG(found.status.st_mode) or found.status.st_size != expected.size:
        return "changed"
    if contents and _sha256(found) != expected.digest:
        return "changed"
    return "mode" if mode != expected.mode else None


def _sha256(found: _Found) -> str:
    descriptor = os.open(found.name, files.READ, dir_fd=found.directory)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
