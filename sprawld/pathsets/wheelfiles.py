"""Which files an entry puts into a virtual environment, what is written for it there, and the RECORD of both.

Specifications: binary distribution format (installation), recording installed projects, direct URL.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.utils import canonicalize_name

from sprawld.errors import StoreError
from sprawld.store import files, manifest

from . import scripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sprawld.model import Source
    from sprawld.store.manifest import ManifestFile, ManifestSummary

    from .venv import Venv

__all__ = ["INSTALLER", "Placed", "direct_url", "direct_url_of_wheel", "made", "metadata", "plan", "record"]

INSTALLER: Final = "virtual-sprawl"

SITE_PACKAGES: Final = "lib/python/site-packages"

_OWN_METADATA: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Files of .dist-info that the installer writes; what the wheel has under these names is not the truth."""


class Placed(NamedTuple):
    """One file of the install: a file of the entry, or content made for this environment."""

    target: str
    source: str | None
    content: bytes
    mode: int
    digest: str
    size: int


def plan(venv: Venv, entry: Path, summary: ManifestSummary, python: str) -> list[Placed]:
    """Return every file of the entry with its place; nothing is written yet.

    `python` is the interpreter that scripts name. StoreError `install.collision`, `store.damaged`.
    """
    source = os.fspath(entry)
    placed = []
    own = {f"{SITE_PACKAGES}/{summary.dist_info}/{name}" for name in _OWN_METADATA}
    written = scripts.scripts_of(summary.entry_points, summary.scripts, f"{source}/bin", python)
    for name, content in written.items():
        if content is not None:
            own.add(f"bin/{name}")
            placed.append(made(f"{venv.root}/bin/{name}", content, 0o755))
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


def made(target: str, content: bytes, mode: int = 0o644) -> Placed:
    """Return a file whose content is made for this environment."""
    return Placed(target, None, content, mode, hashlib.sha256(content).hexdigest(), len(content))


def metadata(venv: Venv, summary: ManifestSummary, direct_url: Mapping[str, object] | None) -> list[Placed]:
    """Return INSTALLER and, for what did not come from an index, direct_url.json."""
    directory = f"{venv.site_packages}/{summary.dist_info}"
    found = [made(f"{directory}/INSTALLER", f"{INSTALLER}\n".encode())]
    if direct_url is not None:
        found.append(made(f"{directory}/direct_url.json", json.dumps(direct_url).encode()))
    return found


def direct_url_of_wheel(url: str, digest: str) -> dict[str, object]:
    """Return the content of direct_url.json for an archive; `digest` is the wheel's sha256."""
    return {"url": url, "archive_info": {"hash": f"sha256={digest}", "hashes": {"sha256": digest}}}


def direct_url(url: str, source: Source, digest: str | None) -> dict[str, object]:
    """Return the content of direct_url.json for a package that came from `url`, told without its secrets."""
    url = files.without_secrets(url)
    if source.kind == "git":
        vcs = {"vcs": "git", "commit_id": source.commit or ""}
        if source.reference:
            vcs["requested_revision"] = source.reference
        content: dict[str, object] = {"url": url, "vcs_info": vcs}
    elif source.kind in ("directory", "editable"):
        content = {"url": url, "dir_info": {"editable": True} if source.kind == "editable" else {}}
    else:
        content = direct_url_of_wheel(url, digest) if digest else {"url": url, "archive_info": {}}
    if source.subdirectory:
        content["subdirectory"] = source.subdirectory
    return content


def record(venv: Venv, dist_info: str, placed: Iterable[Placed]) -> Placed:
    """Return the RECORD of these files."""
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
    return made(f"{venv.site_packages}/{dist_info}/RECORD", text.getvalue().encode())


def _place(venv: Venv, summary: ManifestSummary, file: ManifestFile) -> str:
    """Return the absolute path of a file of the entry in the environment."""
    tree, _, rest = file.path.partition("/")
    if file.path.startswith(f"{SITE_PACKAGES}/"):
        return venv.site_packages + file.path[len(SITE_PACKAGES) :]
    if tree == "include" and canonicalize_name(rest.partition("/")[0]) == summary.name:
        return f"{venv.headers}/{rest}"
    return f"{venv.root}/{file.path}"


def _of_entry(target: str, source: str, file: ManifestFile) -> Placed:
    return Placed(target, f"{source}/{file.path}", b"", file.mode | 0o200, file.digest, file.size)
