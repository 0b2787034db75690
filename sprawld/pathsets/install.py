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

import base64
import csv
import errno
import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, NamedTuple

from packaging.utils import canonicalize_name

from sprawld.errors import StoreError
from sprawld.store import files, manifest

from . import scripts
from .venv import Venv

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sprawld.store.manifest import ManifestFile, ManifestSummary

__all__ = ["INSTALLER", "Installed", "install_into"]

INSTALLER: Final = "virtual-sprawl"

SITE_PACKAGES: Final = "lib/python/site-packages"

_OWN_METADATA: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Files of .dist-info that the installer writes; what the wheel has under these names is not the truth."""

_NO_LINK: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


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


class _Placed(NamedTuple):
    """One file of the install: a file of the entry, or content made for this environment."""

    target: str
    source: str | None
    content: bytes
    mode: int
    digest: str
    size: int


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
    placed = _plan(target, entry, summary)
    installed = list(target.installed(name))
    for dist_info in installed:
        # Before the first change: either all of them can be removed, or nothing is touched.
        target.recorded(dist_info)
    with files.writing(f"the virtual environment {target.root}"):
        for dist_info in installed:
            target.remove(dist_info)
        counts = _write(target, summary.dist_info, [*_metadata(target, summary, wheel), *placed])
    return Installed(
        site_packages=target.site_packages,
        dist_info=summary.dist_info,
        linked=counts[0],
        copied=counts[1],
        written=counts[2],
        removed=tuple(installed),
    )


def _plan(venv: Venv, entry: Path, summary: ManifestSummary) -> list[_Placed]:
    """Return every file of the entry with its place; nothing is written yet."""
    source = os.fspath(entry)
    placed = []
    own = {f"{SITE_PACKAGES}/{summary.dist_info}/{name}" for name in _OWN_METADATA}
    made = scripts.scripts_of(summary.entry_points, summary.scripts, f"{source}/bin", venv.python)
    for name, content in made.items():
        if content is not None:
            own.add(f"bin/{name}")
            placed.append(_made(f"{venv.root}/bin/{name}", content, 0o755))
    placed += [
        _of_entry(_place(venv, summary, file), source, file)
        for file in manifest.read_files(entry / manifest.NAME)
        if file.path not in own
    ]
    for item in placed:
        if not venv.has_room(item.target):
            raise StoreError(
                "install.collision",
                f"{summary.filename} has a file for {item.target!r}, which is not a place for one",
            )
    return placed


def _place(venv: Venv, summary: ManifestSummary, file: ManifestFile) -> str:
    """Return the absolute path of a file of the entry in the environment."""
    tree, _, rest = file.path.partition("/")
    if file.path.startswith(f"{SITE_PACKAGES}/"):
        return venv.site_packages + file.path[len(SITE_PACKAGES) :]
    if tree == "include" and canonicalize_name(rest.partition("/")[0]) == summary.name:
        return f"{venv.headers}/{rest}"
    return f"{venv.root}/{file.path}"


def _of_entry(target: str, source: str, file: ManifestFile) -> _Placed:
    return _Placed(target, f"{source}/{file.path}", b"", file.mode | 0o200, file.digest, file.size)


def _made(target: str, content: bytes, mode: int = 0o644) -> _Placed:
    return _Placed(target, None, content, mode, hashlib.sha256(content).hexdigest(), len(content))


def _metadata(venv: Venv, summary: ManifestSummary, wheel: Path | None) -> list[_Placed]:
    directory = f"{venv.site_packages}/{summary.dist_info}"
    made = [_made(f"{directory}/INSTALLER", f"{INSTALLER}\n".encode())]
    if wheel is not None:
        origin = {
            "url": wheel.absolute().as_uri(),
            "archive_info": {
                "hash": f"sha256={summary.digest}",
                "hashes": {"sha256": summary.digest},
            },
        }
        made.append(_made(f"{directory}/direct_url.json", json.dumps(origin).encode()))
    return made


def _record(venv: Venv, dist_info: str, placed: Iterable[_Placed]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    prefix = f"{venv.site_packages}/"
    rows = []
    for item in placed:
        # relpath is slow, and nearly everything lies in site-packages.
        inside = item.target.startswith(prefix)
        path = item.target[len(prefix) :] if inside else os.path.relpath(item.target, venv.site_packages)
        digest = base64.urlsafe_b64encode(bytes.fromhex(item.digest)).decode().rstrip("=")
        rows.append((path, f"sha256={digest}", str(item.size)))
    writer.writerows([*sorted(rows), (f"{dist_info}/RECORD", "", "")])
    return text.getvalue().encode()


def _write(venv: Venv, dist_info: str, placed: list[_Placed]) -> tuple[int, int, int]:
    """Write everything, RECORD first; return how many files were linked, copied and made."""
    record = _made(f"{venv.site_packages}/{dist_info}/RECORD", _record(venv, dist_info, placed))
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


def _put(item: _Placed) -> Literal["link", "copy", "made"]:
    """Create one file; FileExistsError when there is one."""
    if item.source is None:
        _create(item, io.BytesIO(item.content))
        return "made"
    try:
        os.link(item.source, item.target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    else:
        return "link"
    with open(item.source, "rb") as content:
        _create(item, content)
    return "copy"


def _create(item: _Placed, content: BinaryIO) -> None:
    descriptor = os.open(item.target, files.CREATE, item.mode)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, item.mode)
        shutil.copyfileobj(content, stream)
