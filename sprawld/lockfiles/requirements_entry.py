"""One requirement of a requirements file: what it names, whether that is pinned, and the pin it becomes.

Specification: pip's documentation, "Requirement Specifiers" and "VCS Support"; PEP 508. Accepted forms: a
name with specifiers, `name @ URL`, a URL, a path, and each of the last three after `-e`.

Pinned is `==` a version (no wildcard), `===`, a repository at a full commit, a local file or directory, and
the URL of an archive that has a hash or says its version in its name, as `uv pip compile` writes them.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from sprawld.model import Artifact, Hash, Pin, Source

from ._toml import Fault, shown
from .artifacts import (
    artifact,
    file_hash,
    file_name_of,
    local_path,
    package_name,
    package_version,
    relative_directory,
    split_fragment,
    web_url,
)
from .local_name import local_project_name
from .markers import Marker, parse_marker
from .sources import (
    ARCHIVES,
    VARIABLE,
    directory_source,
    file_url_path,
    is_full_commit,
    split_reference,
    vcs_source,
    without_variables,
)

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName

__all__ = ["Entry", "from_line"]

# Nearly all lines are `name==version`; packaging takes ten times as long for them.
_PLAIN: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?:\[[A-Za-z0-9._, -]*\])? ?={2} ?(?P<version>[0-9A-Za-z.+!-]+)"
)
_SCHEME: Final = re.compile(r"(?:https?|ftp|file|(?:git|hg|svn|bzr)(?:\+[a-z]+)?):", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One requirement, of the file's own or of an included one."""

    where: str
    """File and line, for messages."""
    name: NormalizedName
    version: str | None
    pinned: bool
    marker: Marker | None
    direct: Source | None
    """Where it comes from, if not from an index."""
    hashes: tuple[Hash, ...]
    url_hashes: tuple[Hash, ...]
    """From the fragment of its URL."""
    specifier: SpecifierSet | None
    """Of a name with specifiers; constraints are checked with it."""
    via: tuple[str, ...]
    text: str

    def pin(self, registry: Source, hashes: tuple[Hash, ...], via: tuple[str, ...]) -> Pin:
        """Return the pin; `registry` is the source of entries that name none."""
        source = self.direct or registry
        artifacts: tuple[Artifact, ...] = ()
        if source.kind in ("url", "path"):
            found = artifact(
                self.name, self.version, url=source.url, path=source.path, hashes=self.url_hashes, direct=True
            )
            artifacts = () if found is None else (found,)
        return Pin(
            name=self.name, version=self.version, source=source, artifacts=artifacts, hashes=hashes, via=via
        )


def from_line(
    text: str, *, root: Path, where: str, editable: bool, hashes: tuple[str, ...], via: tuple[str, ...] = ()
) -> Entry:
    """Read one requirement; `root` is the directory of the file it stands in.

    Raises Fault `lock.syntax`, `lock.invalid` or `lock.url-refused`.
    """
    locked = tuple(file_hash(value.strip().lower()) for value in hashes)
    make = functools.partial(Entry, where=where, hashes=locked, via=via, text=text)
    plain = None if editable else _PLAIN.fullmatch(text)
    if plain is not None:
        return make(
            name=package_name(plain["name"]),
            version=package_version(plain["version"]),
            pinned=True,
            marker=None,
            direct=None,
            url_hashes=(),
            specifier=None,
        )
    place, marker_text = _split_marker(text)
    name: NormalizedName | None = None
    if _SCHEME.match(place) or _is_path(place) or (editable and (root / _without_extras(place)).is_dir()):
        marker = parse_marker(marker_text)
    else:
        requirement = _requirement(text)
        marker = parse_marker(None if requirement.marker is None else str(requirement.marker))
        name = package_name(requirement.name)
        if requirement.url is None:
            if editable:
                raise Fault("lock.syntax", "not a URL or path")
            version = _pinned_version(requirement.specifier)
            return make(
                name=name,
                version=version,
                pinned=version is not None,
                marker=marker,
                direct=None,
                url_hashes=(),
                specifier=requirement.specifier,
            )
        place = requirement.url
    source, named, version = _place(place, root, editable=editable, name=name)
    url_hashes = split_fragment(place)[1]
    if source.kind == "url":
        pinned = bool(locked or url_hashes) or version is not None
    else:
        pinned = source.kind != "git" or source.commit is not None
    return make(
        name=named,
        version=version,
        pinned=pinned,
        marker=marker,
        direct=source,
        url_hashes=url_hashes,
        specifier=None,
    )


def _split_marker(text: str) -> tuple[str, str | None]:
    """Split a place from its marker: after a URL, the semicolon stands between white space."""
    separator = "; " if _SCHEME.match(text) else ";"
    place, found, marker = text.partition(separator)
    return place.strip(), marker.strip() if found else None


def _is_path(text: str) -> bool:
    """Tell a path from a name: it has a separator (not that of `name @ URL`), or is an archive's name."""
    bare = text.partition("[")[0].strip()
    if "@" in text and not text.startswith((".", "/")):
        return False
    return "/" in bare or bare in (".", "..") or bare.lower().endswith(ARCHIVES)


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError, ValueError):
        # The line is named and not quoted: an include or a link may lead to a file that is no lock at all.
        raise Fault("lock.syntax", "not a requirement") from None


def _pinned_version(specifier: SpecifierSet) -> str | None:
    for one in specifier:
        if one.operator in ("==", "===") and not one.version.endswith(".*"):
            return package_version(one.version)
    return None


def _place(
    url: str, root: Path, *, editable: bool, name: NormalizedName | None
) -> tuple[Source, NormalizedName, str | None]:
    """Return source, name and version of what lies at a URL or path."""
    bare, _, fragment_text = url.partition("#")
    fragment = _fragment(fragment_text)
    egg = fragment.get("egg")
    if name is None and egg is not None:
        name = package_name(egg.partition("[")[0])
    subdirectory = fragment.get("subdirectory")
    scheme = bare.partition(":")[0].lower() if _SCHEME.match(bare) else ""
    if scheme.startswith(("hg", "svn", "bzr")):
        raise Fault("lock.unsupported", f"{scheme} repositories are not read")
    if scheme.startswith("git"):
        source = _git(bare, root, subdirectory)
        return source, name or package_name(file_name_of(bare.rpartition("@")[0]).removesuffix(".git")), None
    if scheme in ("http", "https", "ftp"):
        named, version = _archive_name(file_name_of(bare), name)
        source = Source(
            kind="url",
            url=web_url(without_variables(bare)),
            subdirectory=None if subdirectory is None else relative_directory(subdirectory),
        )
        return source, named, version
    if VARIABLE in bare:
        raise Fault("lock.invalid", f"path depends on an environment variable: {shown(repr(bare))}")
    path = file_url_path(root, bare) if scheme else local_path(root, _without_extras(bare))
    if path.name.lower().endswith(ARCHIVES):
        return Source(kind="path", path=path), *_archive_name(path.name, name)
    source = directory_source(root, str(path), editable=editable, subdirectory=subdirectory)
    return source, name or local_project_name(path), None


def _git(url: str, root: Path, subdirectory: str | None) -> Source:
    place, reference = split_reference(url)
    place = without_variables(place)
    if reference is not None and is_full_commit(reference):
        return vcs_source(root, place, commit=reference, subdirectory=subdirectory)
    return vcs_source(root, place, reference=reference, subdirectory=subdirectory)


def _fragment(text: str) -> dict[str, str]:
    try:
        return {key: values[0] for key, values in parse_qs(text, max_num_fields=20).items()}
    except ValueError:
        raise Fault("lock.syntax", f"not a URL fragment: {shown(repr(text))}") from None


def _archive_name(filename: str, name: NormalizedName | None) -> tuple[NormalizedName, str | None]:
    """Return name and version of an archive, as given or as its own name tells."""
    found, version = _parse_filename(filename)
    if name is not None:
        return name, version if name == found else None
    if found is None:
        raise Fault("lock.syntax", f"neither file name nor `#egg=` tells the name of {shown(repr(filename))}")
    return found, version


def _parse_filename(filename: str) -> tuple[NormalizedName | None, str | None]:
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion, ValueError):
        return None, None
    return name, str(version)


def _without_extras(text: str) -> str:
    return text.rpartition("[")[0].strip() or text if text.endswith("]") else text
