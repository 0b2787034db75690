"""One [[package]] of a pdm.lock, and the pin it becomes.

Specification: pdm's lock file, versions 2 to 4.5. An extra of a package is an entry of its own with the same
version and files. Files stand in the entry (4.3 and later) or in `metadata.files`, under "name version".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from sprawld.model import Artifact, Hash, Pin, Source

from ._toml import Fault, Table, at, get, require, strings, table, tables
from .artifacts import (
    artifact,
    file_hash,
    local_path,
    package_name,
    package_version,
    relative_directory,
    web_url,
)
from .markers import Marker, parse_marker
from .pdm_need import loosened
from .sources import ARCHIVES, FILE_SCHEME, directory_source, file_url_path, vcs_source

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["Entry", "from_table"]

_PROJECT_ROOT: Final = "file:///${PROJECT_ROOT}"
_UNREAD_SYSTEMS: Final = ("hg", "svn", "bzr")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What the lock says of one version of one package, or of extras of it."""

    index: int
    """Place in the file, for messages."""
    name: NormalizedName
    version: str | None
    order: Version | None
    extras: frozenset[NormalizedName]
    groups: frozenset[NormalizedName]
    marker: Marker | None
    requires_python: str
    dependencies: tuple[str, ...]
    table: Table

    def pin(self, root: Path, default: Source, metadata_files: Table, via: tuple[str, ...]) -> Pin:
        """Return the pin, its files checked.

        `root` is the lock's directory, `default` the source of entries that name none.
        """
        with at(f"package[{self.index}] ({self.name})"):
            source = self._source(root) or default
            return Pin(
                name=self.name,
                version=self.version,
                source=source,
                artifacts=self._artifacts(root, source, metadata_files),
                via=via,
            )

    def _source(self, root: Path) -> Source | None:
        item = self.table
        subdirectory = get(item, "subdirectory", str)
        if "git" in item:
            return vcs_source(
                root,
                require(item, "git", str),
                reference=get(item, "ref", str),
                commit=require(item, "revision", str),
                subdirectory=subdirectory,
            )
        for system in _UNREAD_SYSTEMS:
            if system in item:
                raise Fault("lock.unsupported", f"{system} repositories are not read")
        path, url = get(item, "path", str), get(item, "url", str)
        if path is None and url is None:
            return None
        if path is None and url is not None and not url.lower().startswith(FILE_SCHEME):
            return Source(
                kind="url",
                url=web_url(url),
                subdirectory=None if subdirectory is None else relative_directory(subdirectory),
            )
        local = local_path(root, path) if path is not None else _local(root, url or "")
        if local.name.endswith(ARCHIVES):
            return Source(kind="path", path=local)
        return directory_source(
            root, str(local), editable=bool(get(item, "editable", bool)), subdirectory=subdirectory
        )

    def _artifacts(self, root: Path, source: Source, metadata_files: Table) -> tuple[Artifact, ...]:
        if source.kind in ("git", "directory", "editable"):
            return ()
        files = tables(self._file_holder(metadata_files), "files")
        if source.kind in ("url", "path"):
            hashes = {file_hash(text) for item in files if (text := get(item, "hash", str)) is not None}
            one = artifact(
                self.name,
                self.version,
                url=source.url,
                path=source.path,
                hashes=hashes if len(hashes) == 1 else (),
                direct=True,
            )
            return () if one is None else (one,)
        found = (self._artifact(root, item) for item in files)
        return tuple(file for file in found if file is not None)

    def _artifact(self, root: Path, item: Table) -> Artifact | None:
        text = get(item, "hash", str)
        hashes: tuple[Hash, ...] = () if text is None else (file_hash(text),)
        url, filename = get(item, "url", str), get(item, "file", str)
        if url is None:
            return artifact(self.name, self.version, filename=require(item, "file", str), hashes=hashes)
        if url.lower().startswith(FILE_SCHEME):
            return artifact(self.name, self.version, filename=filename, path=_local(root, url), hashes=hashes)
        return artifact(self.name, self.version, filename=filename, url=url.partition("#")[0], hashes=hashes)

    def _file_holder(self, metadata_files: Table) -> Table:
        if "files" in self.table:
            return self.table
        key = f"{require(self.table, 'name', str)} {self.version}"
        if key not in metadata_files:
            key = f"{self.name} {self.version}"
        return {"files": metadata_files.get(key, [])}


def from_table(index: int, item: Table) -> Entry:
    """Read one [[package]]; its files are checked when it is selected."""
    name = package_name(require(item, "name", str))
    version = get(item, "version", str)
    with at(str(name)):
        return Entry(
            index=index,
            name=name,
            version=None if version is None else package_version(version),
            order=None if version is None else Version(version),
            extras=frozenset(map(package_name, strings(item, "extras"))),
            groups=frozenset(map(package_name, strings(item, "groups"))),
            marker=parse_marker(get(item, "marker", str)),
            requires_python=loosened(get(item, "requires_python", str) or ""),
            dependencies=strings(item, "dependencies"),
            table=table({"item": item}, "item"),
        )


def _local(root: Path, url: str) -> Path:
    """Return the path of a `file:` URL, which pdm writes relative to its project root."""
    if url.startswith(_PROJECT_ROOT):
        return file_url_path(root, "file:" + (url.removeprefix(_PROJECT_ROOT).lstrip("/") or "."))
    return file_url_path(root, url)
