"""The nouns that travel between the wings: frozen, without I/O.

lockfiles/  Lock -> Pin -> Choice -> Selection
acquire/    Artifact, Digest
pathsets/   PathSet
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.tags import Tag
    from packaging.utils import NormalizedName

__all__ = [
    "Artifact",
    "Choice",
    "ChoiceKind",
    "Digest",
    "Environment",
    "Hash",
    "IndexSettings",
    "Overlay",
    "PassedOver",
    "PathSet",
    "Pin",
    "Project",
    "Selection",
    "Source",
    "SourceKind",
    "Wanted",
    "digest_of",
]

Digest = NewType("Digest", str)
"""Lower-case hex sha256 of a file's bytes, computed or verified by this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What selection and path sets need to know of one interpreter, real or described.

    Specification: dependency specifiers (marker environment) and platform compatibility tags.
    """

    markers: Mapping[str, str]
    """Marker environment of the target, without `extra`."""
    tags: tuple[Tag, ...]
    """Supported tags, best first."""
    version: tuple[int, int, int]
    """Major, minor, micro of the interpreter."""
    identity: str
    """Digest input that tells this interpreter from every other (path, mtime, version, ABI)."""
    executable: str = ""
    """Absolute path of the base interpreter; empty for a described environment."""
    cache_tag: str = ""
    """`sys.implementation.cache_tag`, as `cpython-312`."""
    library: str = ""
    """Directory name under `lib/`: `python3.12`, or `python3.13t` for a free-threaded build."""
    module_suffixes: tuple[str, ...] = ()
    """`importlib.machinery` suffixes in lookup order: extension modules, `.py`, `.pyc`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """One locked hash: algorithm as in hashlib, value in lower-case hex."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file as a lockfile or an index names it."""

    filename: str
    """Decoded once; for wheels and sdists it parses and fits the package's name and version."""
    url: str | None = None
    """Absolute http(s) URL; None when the index has to be asked."""
    path: Path | None = None
    """Absolute path of a local file."""
    hashes: tuple[Hash, ...] = ()
    """Every one must hold for the file; empty means unpinned."""
    size: int | None = None
    """Bytes."""
    yanked: bool = False


SourceKind = Literal["registry", "url", "path", "git", "directory", "editable", "virtual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a package comes from, with everything a later build needs."""

    kind: SourceKind
    index: str | None = None
    """Index URL a registry package is pinned to; None is the user's default index."""
    extra_indexes: tuple[str, ...] = ()
    """Further index URLs that the lock or its project names for it, in order."""
    find_links: tuple[str, ...] = ()
    """URLs of pages, and absolute paths of directories, that list files of any package."""
    no_index: bool = False
    """True where only `find_links` may be asked."""
    url: str | None = None
    """Archive or repository URL."""
    reference: str | None = None
    """Branch, tag or revision as asked for (git)."""
    commit: str | None = None
    """Full commit id (git)."""
    subdirectory: str | None = None
    path: Path | None = None
    """Absolute path of a local file or directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package version that applies to an environment, before a file is chosen."""

    name: NormalizedName
    version: str | None
    """None where the lock leaves it dynamic (source trees)."""
    source: Source
    artifacts: tuple[Artifact, ...] = ()
    """The lock's own list; empty when the lock has no file names and the index must be asked."""
    hashes: tuple[Hash, ...] = ()
    """Accepted hashes that the lock does not bind to file names: the chosen file must match one."""
    via: tuple[str, ...] = ()
    """What brought it in: parent package names, groups or extras, as far as the lock tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What an editable install of a local project would put beside its dependencies; its code stays put."""

    name: str
    """As the project writes it."""
    version: str
    root: str
    """Absolute real path of the project's directory."""
    metadata: str
    """Content of METADATA."""
    entry_points: tuple[tuple[str, str, str], ...] = ()
    """(group, name, object reference), checked."""
    paths: tuple[str, ...] = ()
    """Absolute real directories below `root` that go on sys.path, in order."""
    links: tuple[tuple[str, str], ...] = ()
    """(import name, absolute real path below `root`) of packages and modules that bear another name there."""
    modules: tuple[str, ...] = ()
    """Top-level import names, as far as they are known."""


ChoiceKind = Literal["wheel", "sdist", "git", "directory", "editable", "virtual", "unresolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A pin and the one artifact picked for it; `unresolved` until an index has named the files."""

    pin: Pin
    kind: ChoiceKind
    artifact: Artifact | None = None
    overlay: Overlay | None = None
    """For a local source tree that is served where it lies."""
    obstacle: str = ""
    """Why a local source tree cannot be served like that, where this was looked into."""

    @property
    def needs_build(self) -> bool:
        """True where code of the package would have to run to get a wheel."""
        return self.kind in ("sdist", "git", "directory", "editable") and self.overlay is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A lockfile that was seen and not taken, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The root project of a lock, as far as static metadata tells."""

    root: Path
    """Directory of the project that is run: the lockfile's, or that of a member of its workspace."""
    name: NormalizedName | None = None
    version: str | None = None
    is_installed: bool = False
    """True when the lock's tool installs the project itself, and the lock does not list it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which parts of a lock are asked for; the empty value is the tool's own default install."""

    extras: tuple[str, ...] = ()
    all_extras: bool = False
    groups: tuple[str, ...] = ()
    """Groups in addition to the default ones."""
    only_groups: tuple[str, ...] = ()
    """These groups and nothing else, not even the project's own dependencies."""
    no_groups: tuple[str, ...] = ()
    all_groups: bool = False
    no_dev: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one lockfile gives one environment."""

    lock: Path
    format: str
    """As `uv 1.3` or `poetry 2.1`."""
    choices: tuple[Choice, ...]
    """Sorted by name; each name once."""
    project: Project
    hashed: bool
    """True when the lock is of a kind, or was written, with hashes for its files."""
    passed_over: tuple[PassedOver, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """Package indexes as the user configured them, most specific source first. URLs may hold secrets."""

    default: str | None = None
    """None: the constant a packaging library publishes."""
    extra: tuple[str, ...] = ()
    explicit: tuple[str, ...] = ()
    """Only for what a lock pins to them: never asked by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSet:
    """A realised set: the venv-shaped directory and the bytes of its index."""

    digest: str
    path: Path
    index: bytes
    """What the hook loads; the same bytes as the file `index` in `path`."""


def digest_of(artifact: Artifact) -> Digest | None:
    """Return the sha256 given for a file, if one is."""
    for item in artifact.hashes:
        if item.algorithm == "sha256":
            return Digest(item.value)
    return None
