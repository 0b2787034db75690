"""An entry of the store installed into an existing virtual environment, as an installer would leave it.

1. Files are hard links to the entry: no content is written twice. So they are read-only (0444), and a process
   with root's rights that writes to one in place changes the store too; replacing a file is harmless. Where
   links are impossible (another file system, too many links) the file is copied, and is the user's to edit.
2. RECORD is written first. Whatever ends the process, the next install or any uninstaller can clean up.
3. An installed version of the same distribution is removed before, by its RECORD; if that cannot be done the
   environment is left as it was.
4. Nothing is written outside the environment, nor over a part of it (see `Venv.contains`).

Specifications: binary distribution format (installation), recording installed projects, direct URL.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from packaging.utils import canonicalize_name

from sprawld.store import files

from . import wheelfiles
from .placing import NO_LINK
from .venv import Venv
from .wheelfiles import INSTALLER, Placed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sprawld.store.manifest import ManifestSummary

__all__ = ["INSTALLER", "Installed", "install_into"]

_Kind = Literal["link", "copy", "made"]

# macOS knows no O_PATH, and wants a right to read there.
_DIRECTORY: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What one install did."""

    site_packages: str
    dist_info: str
    """Name of the `.dist-info` directory."""
    linked: int
    copied: int
    written: int
    """Files: hard links, copies, and those made for this environment (scripts, RECORD, ...)."""
    removed: tuple[str, ...]
    """`.dist-info` names of the versions replaced."""


def install_into(
    venv: Path, entry: Path, summary: ManifestSummary, *, wheel: Path | None = None
) -> Installed:
    """Install the entry at `entry` into the virtual environment `venv`.

    `wheel` is the local file it came from, recorded as its direct URL. Blocks; that the wheel's tags and
    requires-python fit the environment's interpreter was checked by the caller. Raises StoreError:
    `install.not-a-venv`, `install.no-record`, `install.collision`, `disk.full`, `store.unwritable`,
    `store.damaged`.
    """
    target = Venv.open(venv)
    name = canonicalize_name(summary.name)
    placed = wheelfiles.plan(target, entry, summary, target.python)
    origin = (
        None if wheel is None else wheelfiles.direct_url_of_wheel(wheel.absolute().as_uri(), summary.digest)
    )
    installed = list(target.installed(name))
    for dist_info in installed:
        # Before the first change: either all of them can be removed, or nothing is touched.
        target.recorded(dist_info)
    with files.writing(f"the virtual environment {target.root}"):
        for dist_info in installed:
            target.remove(dist_info)
        counts = _write(target, summary.dist_info, [*wheelfiles.metadata(target, summary, origin), *placed])
    return Installed(
        site_packages=target.site_packages,
        dist_info=summary.dist_info,
        linked=counts[0],
        copied=counts[1],
        written=counts[2],
        removed=tuple(installed),
    )


def _write(venv: Venv, dist_info: str, placed: list[Placed]) -> tuple[int, int, int]:
    """Write everything, RECORD first; return how many files were linked, copied and made."""
    record = wheelfiles.record(venv, dist_info, placed)
    parent, name = os.path.split(record.target)
    with _opened(_made(parent)) as target:
        _put(record, "", name, -1, target)
    counts = Counter(made=1)
    for (parent, origin), items in _by_directory(placed).items():
        with _opened(_made(parent)) as target, _opened(origin) as source:
            for item, original, name in items:
                counts[_put(item, original, name, source, target)] += 1
    return counts["link"], counts["copy"], counts["made"]


def _by_directory(placed: Iterable[Placed]) -> dict[tuple[str, str], list[tuple[Placed, str, str]]]:
    """Return (directory, directory of the originals) -> files, each with its original's name and its own.

    A name below an open directory is linked in two thirds of the time of a whole path.
    """
    found: dict[tuple[str, str], list[tuple[Placed, str, str]]] = {}
    for item in placed:
        parent, _, name = item.target.rpartition("/")
        origin, _, original = (item.source or "").rpartition("/")
        found.setdefault((parent, origin), []).append((item, original, name))
    return found


def _made(directory: str) -> str:
    """Make a directory, and those above it, if it is not there."""
    try:
        os.mkdir(directory)
    except OSError:
        os.makedirs(directory, exist_ok=True)
    return directory


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    """Yield a descriptor to name files below; -1 for no directory."""
    descriptor = os.open(directory, _DIRECTORY) if directory else -1
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _put(item: Placed, original: str, name: str, source: int, target: int) -> _Kind:
    """Create one file from `original` below `source`, or with its own content, as `name` below `target`."""
    try:
        return _put_new(item, original, name, source, target)
    except FileExistsError:
        # A file of another distribution; the last one installed wins, as with every installer. It is
        # replaced and not opened: it may be a link to this very store.
        os.unlink(name, dir_fd=target)
        return _put_new(item, original, name, source, target)


def _put_new(item: Placed, original: str, name: str, source: int, target: int) -> _Kind:
    """Do what `_put` does; FileExistsError when there is a file."""
    if not original:
        _create(item, io.BytesIO(item.content), name, target)
        return "made"
    try:
        os.link(original, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
    else:
        return "link"
    with open(os.open(original, files.READ, dir_fd=source), "rb") as content:
        _create(item, content, name, target)
    return "copy"


def _create(item: Placed, content: BinaryIO, name: str, target: int) -> None:
    descriptor = os.open(name, files.CREATE, item.mode, dir_fd=target)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, item.mode)
        shutil.copyfileobj(content, stream)
