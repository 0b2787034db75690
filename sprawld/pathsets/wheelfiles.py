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
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sprawld.model import Source
    from sprawld.store.manifest import ManifestSummary

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
    make, inside, below = tuple.__new__, f"{SITE_PACKAGES}/", f"{venv.site_packages}/"
    for file in manifest.read_files(entry / manifest.NAME):
        digest, size, mode, path = file
        if path not in own:
            # Nearly everything lies in site-packages.
            target = below + path[len(inside) :] if path.startswith(inside) else _place(venv, summary, path)
            placed.append(make(Placed, (target, f"{source}/{path}", b"", mode | 0o200, digest, size)))
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
    prefix = f"{venv.site_packages}/"
    found = []
    for item in placed:
        # relpath is slow, and nearly everything lies in site-packages.
        target = item.target
        inside = target.startswith(prefix)
        path = target[len(prefix) :] if inside else os.path.relpath(target, venv.site_packages)
        found.append((path, item.digest, item.size))
    found.sort()
    # Encoded together: the 32 bytes of a hash and a 33rd are 43 characters of it and a 44th.
    joined = bytes.fromhex("00".join([*[digest for _, digest, _ in found], ""]))
    encoded = base64.urlsafe_b64encode(joined).decode()
    rows = [
        (path, f"sha256={encoded[place : place + 43]}", size)
        for place, (path, _, size) in zip(range(0, len(encoded), 44), found, strict=True)
    ]
    text = _table([*rows, (f"{dist_info}/RECORD", "", "")])
    return made(f"{venv.site_packages}/{dist_info}/RECORD", text.encode())


def _table(rows: Sequence[tuple[str, str, int | str]]) -> str:
    """Return rows as the csv module writes them, which is slow where nothing has to be quoted."""
    paths = "".join([path for path, _, _ in rows])
    if not any(special in paths for special in ',"\r\n'):
        return "".join([f"{path},{described},{size}\n" for path, described, size in rows])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _place(venv: Venv, summary: ManifestSummary, path: str) -> str:
    """Return the absolute place in the environment of a file that lies beside site-packages in the entry."""
    tree, _, rest = path.partition("/")
    if tree == "include" and canonicalize_name(rest.partition("/")[0]) == summary.name:
        return f"{venv.headers}/{rest}"
    return f"{venv.root}/{path}"
