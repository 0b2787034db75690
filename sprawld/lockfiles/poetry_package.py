"""One [[package]] of a poetry.lock, of any version since 2018, and the pin it becomes.

Specification: poetry's lockfile as its `locker` writes it. Files stand in the package (2.0 and later), in
`metadata.files` under the name as the author spells it (1.0, 1.1), or are bare hashes in `metadata.hashes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from sprawld.model import Artifact, Hash, Pin, Source

from ._toml import Fault, Table, at, get, invalid, require, shown, strings, table, tables
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
from .sources import directory_source, vcs_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["Package", "SharedFiles", "from_table", "shared_files"]

_SHA256_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """What the lock says of one version of one package."""

    index: int
    """Place in the file, for messages."""
    name: NormalizedName
    version: str
    parsed_version: Version
    python: str
    """Constraint on the interpreter, as poetry writes it."""
    groups: frozenset[NormalizedName]
    """Groups it belongs to (2.1)."""
    markers: Mapping[NormalizedName | None, Marker | None]
    """Group -> marker (2.1); None stands for every group that is not listed."""
    origin: str
    """Type of the source: empty for the default index, or legacy, url, file, directory, git."""
    reference: str
    table: Table

    def pin(self, root: Path, shared: SharedFiles, via: tuple[str, ...]) -> Pin:
        """Return the pin, its files checked; `root` is the lock's directory."""
        with at(f"package[{self.index}] ({self.name})"):
            source = self._source(root)
            artifacts, hashes = self._files(source, shared)
            return Pin(
                name=self.name,
                version=self.version,
                source=source,
                artifacts=artifacts,
                hashes=hashes,
                via=via,
            )

    def _source(self, root: Path) -> Source:
        source = table(self.table, "source")
        if not source:
            return Source(kind="registry")
        url = require(source, "url", str)
        subdirectory = get(source, "subdirectory", str)
        match self.origin:
            case "legacy":
                return Source(kind="registry", index=web_url(url))
            case "url":
                return Source(
                    kind="url",
                    url=web_url(url),
                    subdirectory=None if subdirectory is None else relative_directory(subdirectory),
                )
            case "file":
                return Source(kind="path", path=local_path(root, url))
            case "directory":
                return directory_source(root, url, editable=bool(get(self.table, "develop", bool)))
            case "git":
                return vcs_source(
                    root,
                    url,
                    reference=get(source, "reference", str),
                    commit=require(source, "resolved_reference", str),
                    subdirectory=subdirectory,
                )
        raise Fault("lock.unsupported", f"source: type {shown(repr(self.origin))} is not known")

    def _files(self, source: Source, shared: SharedFiles) -> tuple[tuple[Artifact, ...], tuple[Hash, ...]]:
        if source.kind in ("git", "directory", "editable"):
            return (), ()
        if "files" not in self.table and shared.hashes is not None:
            bare = strings({"hashes": shared.hashes.get(self.name, [])}, "hashes")
            return (), tuple(map(_bare_hash, bare))
        listed = self._file_tables(shared)
        hashes = {name: file_hash(require(item, "hash", str)) for name, item in listed.items()}
        if source.kind in ("url", "path"):
            return (self._direct(source, hashes),), ()
        kept: list[Artifact] = []
        for name, digest in hashes.items():
            found = self._artifact(name, digest)
            if found is not None:
                kept.append(found)
        if listed and not kept:
            raise Fault("lock.filename-mismatch", f"none of its files is one of version {self.version}")
        return tuple(kept), ()

    def _artifact(self, filename: str, digest: Hash) -> Artifact | None:
        try:
            return artifact(self.name, self.version, filename=filename, hashes=(digest,))
        except Fault as fault:
            # Before 2.0 the files of all locked versions of a package stand in one list.
            if fault.code == "lock.filename-mismatch" and "files" not in self.table:
                return None
            raise

    def _direct(self, source: Source, hashes: Mapping[str, Hash]) -> Artifact:
        found = artifact(self.name, self.version, url=source.url, path=source.path, direct=True)
        assert found is not None
        if found.filename in hashes:
            return Artifact(
                filename=found.filename, url=found.url, path=found.path, hashes=(hashes[found.filename],)
            )
        # Old locks list no files for these sources, and one file under another name is still that file.
        return Artifact(
            filename=found.filename,
            url=found.url,
            path=found.path,
            hashes=tuple(hashes.values()) if len(hashes) == 1 else (),
        )

    def _file_tables(self, shared: SharedFiles) -> dict[str, Table]:
        holder = self.table if "files" in self.table else {"files": shared.files.get(self.name, [])}
        return {require(item, "file", str): item for item in tables(holder, "files")}


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """Files and hashes that locks before 2.0 keep apart from the packages."""

    files: Mapping[NormalizedName, object]
    """Name -> array of tables; of all locked versions of the package."""
    hashes: Mapping[NormalizedName, object] | None
    """Name -> array of bare hashes; None where the lock has no such table."""


def shared_files(metadata: Table) -> SharedFiles:
    """Return `metadata.files` and `metadata.hashes`, whose keys are names as their authors spell them."""
    hashes = table(metadata, "hashes") if "hashes" in metadata else None
    return SharedFiles(
        files={package_name(name): value for name, value in table(metadata, "files").items()},
        hashes=None if hashes is None else {package_name(name): value for name, value in hashes.items()},
    )


def from_table(index: int, item: Table) -> Package:
    """Read one [[package]]; its files are checked when it is selected."""
    name = package_name(require(item, "name", str))
    version = package_version(require(item, "version", str))
    source = table(item, "source")
    return Package(
        index=index,
        name=name,
        version=version,
        parsed_version=Version(version),
        python=get(item, "python-versions", str) or "*",
        groups=frozenset(map(package_name, strings(item, "groups"))),
        markers=_markers(item.get("markers")),
        origin=(get(source, "type", str) or "legacy") if source else "",
        reference=get(source, "reference", str) or "",
        table=item,
    )


def _markers(value: object) -> dict[NormalizedName | None, Marker | None]:
    if value is None:
        return {None: None}
    if isinstance(value, str):
        return {None: parse_marker(value)}
    if not isinstance(value, dict):
        invalid(f"markers: expected string or table, got {type(value).__name__}")
    markers: dict[NormalizedName | None, Marker | None] = {None: None}
    for group, text in value.items():
        if not isinstance(text, str):
            invalid(f"markers.{shown(group)}: expected string, got {type(text).__name__}")
        markers[package_name(group)] = parse_marker(text)
    return markers


def _bare_hash(text: str) -> Hash:
    """Locks of 2018 and 2019 have hashes without an algorithm, which was sha256."""
    return file_hash(
        text if ":" in text else f"{'sha256' if len(text) == _SHA256_CHARACTERS else 'md5'}:{text}"
    )
