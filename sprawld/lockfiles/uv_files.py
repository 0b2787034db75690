"""Sources and files of the packages in a uv.lock.

Files of a package are checked when the package is selected: a lock of 300 packages names 4,000 files, of
which one run needs 100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from sprawld.model import Artifact, Pin, Source

from ._toml import Table, at, get, invalid, require, shown, table, tables
from .artifacts import (
    artifact,
    file_hash,
    local_path,
    no_files,
    relative_directory,
    web_url,
)
from .sources import vcs_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .uv_package import Package

__all__ = ["pin"]


def pin(package: Package, root: Path, via: tuple[str, ...]) -> Pin:
    """Return the pin of a selected package, its files checked; `root` is the lock's directory.

    Raises Fault for a source or file that is not sound.
    """
    if not package.files:
        with at(f"package[{package.index}] ({package.name})"):
            files = _checked(package, root)
        if package.kind == "registry" and files[0].path is None:
            package.files.append(files)
    else:
        files = package.files[0]
    source, artifacts = files
    return Pin(name=package.name, version=package.version, source=source, artifacts=artifacts, via=via)


def _checked(package: Package, root: Path) -> tuple[Source, tuple[Artifact, ...]]:
    source = _source(package, root)
    artifacts = tuple(_artifacts(package, source))
    if not artifacts and package.kind in ("registry", "url", "path"):
        raise no_files()
    return source, artifacts


def _source(package: Package, root: Path) -> Source:
    kind, value = package.kind, require(package.source, package.kind, str)
    if kind == "registry":
        if "://" in value:
            return Source(kind=kind, index=web_url(value))
        return Source(kind=kind, path=local_path(root, value))
    if kind == "git":
        return _git(root, value)
    if kind == "url":
        subdirectory = get(package.source, "subdirectory", str)
        return Source(
            kind=kind,
            url=web_url(value),
            subdirectory=None if subdirectory is None else relative_directory(subdirectory),
        )
    return Source(kind=kind, path=local_path(root, value))


def _git(root: Path, value: str) -> Source:
    """Parse `URL?rev|tag|branch=...&subdirectory=...#COMMIT`."""
    try:
        parts = urlsplit(value)
        query = {key: values[0] for key, values in parse_qs(parts.query, max_num_fields=16).items()}
    except ValueError:
        invalid(f"git: not a URL: {shown(repr(value.partition('?')[0]))}")
    if not parts.fragment:
        invalid("git: without a commit")
    return vcs_source(
        root,
        value.partition("#")[0].partition("?")[0],
        reference=query.get("rev") or query.get("tag") or query.get("branch"),
        commit=unquote(parts.fragment),
        subdirectory=query.get("subdirectory"),
    )


def _artifacts(package: Package, source: Source) -> Iterator[Artifact]:
    if "sdist" in package.table:
        with at("sdist"):
            found = _artifact(package, source, table(package.table, "sdist"))
        if found is not None:
            yield found
    for index, item in enumerate(tables(package.table, "wheels")):
        with at(f"wheels[{index}]"):
            found = _artifact(package, source, item)
        if found is not None:
            yield found


def _artifact(package: Package, source: Source, item: Table) -> Artifact | None:
    """A file has its own `url`, a `path` below a local index, or is the file that the source names."""
    url, path = get(item, "url", str), None
    if package.kind == "path":
        url, path = None, source.path
    elif package.kind == "url":
        url = source.url
    elif url is None:
        if source.path is None:
            invalid("neither url nor path")
        path = local_path(source.path, require(item, "path", str))
    hashed = get(item, "hash", str)
    return artifact(
        package.name,
        package.version,
        filename=get(item, "filename", str),
        url=url,
        path=path,
        hashes=() if hashed is None else (file_hash(hashed),),
        size=get(item, "size", int),
        direct=package.kind in ("url", "path"),
    )
