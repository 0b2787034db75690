"""One entry of a Pipfile.lock section, and the pin it becomes.

Specification: Pipfile (pypa/pipfile); keys as pipenv writes them: version, hashes (2017: hash), markers,
index, editable, path, file, git with ref and subdirectory. Environment markers may also stand as keys of
their own (`"os_name": "== 'nt'"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.model import Artifact, Hash, Pin, Source

from ._toml import Fault, Table, at, get, invalid, shown, strings
from .artifacts import artifact, file_hash, local_path, package_name, package_version, split_fragment, web_url
from .markers import Marker, holds, parse_marker
from .sources import (
    ARCHIVES,
    FILE_SCHEME,
    directory_source,
    file_url_path,
    is_full_commit,
    split_reference,
    vcs_source,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from sprawld.model import Environment

__all__ = ["Entry", "Index", "from_table"]

_MARKER_KEYS: Final = (
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_version",
    "python_full_version",
    "implementation_name",
    "implementation_version",
)
_UNREAD_SYSTEMS: Final = ("hg", "svn", "bzr")


class Index(NamedTuple):
    """One of `_meta.sources`."""

    name: str
    url: str


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What the lock says of one package."""

    name: NormalizedName
    version: str | None
    markers: tuple[Marker, ...]
    hashes: tuple[Hash, ...]
    table: Table

    def applies(self, environment: Environment, groups: frozenset[str]) -> bool:
        """Tell whether all markers hold; those that pipenv took from a pylock.toml ask for groups."""
        return all(holds(marker, environment, groups=groups) for marker in self.markers)

    def pin(self, root: Path, indexes: Sequence[Index], via: tuple[str, ...]) -> Pin:
        """Return the pin; `root` is the lock's directory, `indexes` are the lock's sources."""
        with at(self.name):
            source = self._direct(root) or self._registry(indexes)
            if source.kind == "registry" and self.version is None:
                invalid("no version, and no place to get it from")
            artifacts: tuple[Artifact, ...] = ()
            if source.kind in ("url", "path"):
                artifacts = self._archive(source)
            return Pin(
                name=self.name,
                version=self.version,
                source=source,
                artifacts=artifacts,
                hashes=self.hashes,
                via=via,
            )

    def _registry(self, indexes: Sequence[Index]) -> Source:
        """An entry without index comes from the first source; pipenv before 2022 asked the others as well."""
        wanted = get(self.table, "index", str)
        if wanted is not None:
            for index in indexes:
                if index.name == wanted:
                    return Source(kind="registry", index=index.url)
            if not indexes or indexes[0].name:
                invalid(f"index: no source has the name {shown(repr(wanted))}")
        if not indexes:
            return Source(kind="registry")
        # Without hashes nothing but the order would say whose file of that name is meant.
        others = tuple(index.url for index in indexes[1:]) if self.hashes else ()
        return Source(kind="registry", index=indexes[0].url, extra_indexes=others)

    def _direct(self, root: Path) -> Source | None:
        item = self.table
        git, path, file = (get(item, key, str) for key in ("git", "path", "file"))
        editable = bool(get(item, "editable", bool))
        subdirectory = get(item, "subdirectory", str)
        if git is not None:
            return self._git(root, git, subdirectory)
        for system in _UNREAD_SYSTEMS:
            if system in item:
                raise Fault("lock.unsupported", f"{system} repositories are not read")
        place = path if path is not None else file
        if place is None:
            return None
        if place.lower().startswith(("http:", "https:")):
            return Source(kind="url", url=web_url(split_fragment(place)[0]))
        local = (
            file_url_path(root, place) if place.lower().startswith(FILE_SCHEME) else local_path(root, place)
        )
        if local.name.endswith(ARCHIVES):
            return Source(kind="path", path=local)
        return directory_source(root, str(local), editable=editable, subdirectory=subdirectory)

    def _git(self, root: Path, url: str, subdirectory: str | None) -> Source:
        reference = get(self.table, "ref", str)
        if reference is None:
            # `https://host/repository.git@1a2b3c`, in locks from before `ref`.
            url, reference = split_reference(url)
        if reference is not None and is_full_commit(reference):
            return vcs_source(root, url, commit=reference, subdirectory=subdirectory)
        return vcs_source(root, url, reference=reference, subdirectory=subdirectory)

    def _archive(self, source: Source) -> tuple[Artifact, ...]:
        found = artifact(self.name, self.version, url=source.url, path=source.path, direct=True)
        return () if found is None else (found,)


def from_table(name: str, item: Table) -> Entry:
    """Read one entry; raises Fault `lock.invalid` for one that is not pinned to a version."""
    pinned = get(item, "version", str)
    version: str | None = None
    if pinned is not None and pinned != "*":
        if not pinned.startswith("=="):
            invalid(f"version: not pinned: {shown(repr(pinned))}")
        version = package_version(pinned.lstrip("=").strip())
    texts = [get(item, "markers", str)]
    texts.extend(f"{key} {text}" for key in _MARKER_KEYS if (text := get(item, key, str)) is not None)
    single = get(item, "hash", str)
    listed = strings(item, "hashes") if single is None else (single,)
    return Entry(
        name=package_name(name),
        version=version,
        markers=tuple(marker for text in texts if (marker := parse_marker(text)) is not None),
        hashes=tuple(map(file_hash, listed)),
        table=item,
    )
