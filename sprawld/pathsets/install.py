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

import io
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from packaging.utils import canonicalize_name

from sprawld.store import files

from . import wheelfiles
from .placing import NO_LINK
from .venv import Venv
from .wheelfiles import INSTALLER, Placed

if TYPE_CHECKING:
    from pathlib import Path

    from sprawld.store.manifest import ManifestSummary

__all__ = ["INSTALLER", "Installed", "install_into"]


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
    linked = copied = 0
    directories: set[str] = set()
    for item in [record, *placed]:
        parent = os.path.dirname(item.target)
        if parent not in directories:
            os.makedirs(parent, exist_ok=True)
            directories.add(parent)
        try:
            kind = _put(item)
        except FileExistsError:
            # A file of another distribution; the last one installed wins, as with every installer. It is
            # replaced and not opened: it may be a link to this very store.
            os.unlink(item.target)
            kind = _put(item)
        linked += kind == "link"
        copied += kind == "copy"
    return linked, copied, len(placed) + 1 - linked - copied


def _put(item: Placed) -> Literal["link", "copy", "made"]:
    """Create one file; FileExistsError when there is one."""
    if item.source is None:
        _create(item, io.BytesIO(item.content))
        return "made"
    try:
        os.link(item.source, item.target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
    else:
        return "link"
    with open(item.source, "rb") as content:
        _create(item, content)
    return "copy"


def _create(item: Placed, content: BinaryIO) -> None:
    descriptor = os.open(item.target, files.CREATE, item.mode)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, item.mode)
        shutil.copyfileobj(content, stream)
