"""Names, versions, hashes, URLs, file names and sources of lockfiles, checked before they are believed.

A lockfile in a clone is attacker input. Nothing is repaired here: a value is sound, or it is refused with a
`Fault`, or (for file kinds that are never installed) the file is left out. Specifications: name
normalisation, version identifiers, binary and source distribution formats, direct URL data structure.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from sprawld.model import Artifact, Hash, Source

from ._toml import Fault, invalid, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from packaging.tags import Tag
    from packaging.utils import NormalizedName

__all__ = [
    "STRONG_ALGORITHMS",
    "WheelParts",
    "artifact",
    "file_hash",
    "file_name_of",
    "git_source",
    "hash_table",
    "is_wheel",
    "local_path",
    "no_files",
    "package_name",
    "package_version",
    "relative_directory",
    "split_fragment",
    "version_fits",
    "web_url",
    "wheel_parts",
]

STRONG_ALGORITHMS: Final = frozenset({"sha256", "sha384", "sha512", "blake2b"})
"""Algorithms that alone are enough to trust a file's bytes."""

_HEX_LENGTHS: Final[Mapping[str, tuple[int, ...]]] = {
    "md5": (32,),
    "sha1": (40,),
    "sha224": (56,),
    "sha256": (64,),
    "sha384": (96,),
    "sha512": (128,),
    "blake2b": (64, 128),  # indexes publish the 256 bit form
}
_HEX: Final = re.compile(r"[0-9a-f]+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_WEB_URL: Final = re.compile(
    r"(?:https?)://(?:[^/?#@\\\s]*@)?(?P<host>\[[0-9A-F:.]+\]|[A-Z0-9._-]+)(?::[0-9]{1,5})?"
    r"(?:[/?#][^\x00-\x20\x7f-\x9f\\]*)?",
    re.IGNORECASE | re.ASCII,
)
_GIT_URL: Final = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^/?#@\\\s]*@)?(?:\[[0-9A-F:.]+\]|[A-Z0-9_][A-Z0-9._-]*)(?::[0-9]{1,5})?/"
    r"|[A-Z0-9_][A-Z0-9._-]*@[A-Z0-9_][A-Z0-9._-]*:(?!:))[^\x00-\x20\x7f-\x9f\\]*",
    re.IGNORECASE | re.ASCII,
)
_URL_CHARACTERS: Final = 8_192
_NAME_CHARACTERS: Final = 255
_WHEEL_TAGS: Final = 4_096
_SDIST_SUFFIXES: Final = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar", ".tar.Z", ".tar.zst")


class WheelParts(NamedTuple):
    """What a wheel's file name says."""

    name: NormalizedName
    version: Version
    build: tuple[int, str] | tuple[()]
    tags: frozenset[Tag]


# --- names and versions


@functools.lru_cache(maxsize=16_384)
def package_name(text: str) -> NormalizedName:
    """Return the normalised form of a package, extra or group name."""
    if len(text) > _NAME_CHARACTERS or not _NAME.fullmatch(text):
        invalid(f"not a package name: {shown(repr(text))}")
    return canonicalize_name(text)


@functools.lru_cache(maxsize=16_384)
def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise Fault("lock.invalid", f"not a version: {shown(repr(text))}") from None


def package_version(text: str) -> str:
    """Return the version as the lock writes it, once it is known to be one."""
    if len(text) > _NAME_CHARACTERS or text != text.strip():  # Version() strips
        invalid(f"not a version: {shown(repr(text))}")
    _version(text)
    return text


def version_fits(locked: str, found: Version) -> bool:
    """Tell whether a file of version `found` is one of the locked version; `1.0+cpu` is a file of `1.0`."""
    version = _version(locked)
    return version == found or (version.local is None and version.public == found.public)


# --- hashes


def file_hash(text: str) -> Hash:
    """Return the hash written `algorithm:hex`; md5 and sha1 are kept for `choose` to judge."""
    algorithm, colon, value = text.partition(":")
    lengths = _HEX_LENGTHS.get(algorithm)
    if not colon or lengths is None:
        invalid(f"not a hash: {shown(repr(text))}")
    if len(value) not in lengths or not _HEX.fullmatch(value):
        invalid(f"not a {algorithm} value: {shown(repr(value))}")
    return Hash(algorithm=algorithm, value=value)


def hash_table(values: Mapping[str, object]) -> tuple[Hash, ...]:
    """Return the hashes of a table algorithm -> hex; algorithms that hashlib need not have are left out."""
    hashes = []
    for algorithm, value in values.items():
        if not isinstance(value, str):
            invalid(f"hashes.{shown(algorithm)}: expected string, got {type(value).__name__}")
        if algorithm.lower() in _HEX_LENGTHS:
            hashes.append(file_hash(f"{algorithm.lower()}:{value}"))
    return tuple(hashes)


# --- URLs and paths


def web_url(url: str) -> str:
    """Return an http(s) URL of a file or index; everything else is `lock.url-refused`.

    Credentials in it are kept, private indexes need them; they must never be shown. Hosts written as
    numbers in disguise, with an IPv6 zone, and link-local addresses (metadata services) are refused here;
    what a name resolves to is for the connection to judge.
    """
    if len(url) > _URL_CHARACTERS:
        raise Fault("lock.url-refused", f"URL of {len(url)} characters")
    match = _WEB_URL.fullmatch(url)
    if match is None or not _host_allowed(match["host"].lower()):
        raise Fault("lock.url-refused", f"URL is not fetched: {_without_secrets(url)}")
    return url


@functools.lru_cache(maxsize=1_024)
def _host_allowed(host: str) -> bool:
    if not (host[0] == "[" or re.fullmatch(r"(?:[0-9]|0x).*", host.rstrip(".").rpartition(".")[2])):
        return True  # a host name, for no top-level domain starts with a digit
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return not (address.is_link_local or (mapped is not None and mapped.is_link_local))


def _without_secrets(url: str) -> str:
    bare = re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])
    return shown(repr(bare))


def split_fragment(url: str) -> tuple[str, tuple[Hash, ...]]:
    """Split `URL#sha256=...` into the URL and the hashes its fragment names."""
    bare, _, fragment = url.partition("#")
    hashes = []
    for part in fragment.split("&"):
        key, _, value = part.partition("=")
        if key in _HEX_LENGTHS:
            hashes.append(file_hash(f"{key}:{value}"))
    return bare, tuple(hashes)


def local_path(root: Path, text: str) -> Path:
    """Return the absolute path of a local file or directory that a lock in `root` names."""
    if not text or not text.isprintable():
        invalid(f"not a path: {shown(repr(text))}")
    return root / text


def relative_directory(text: str) -> str:
    """Return a subdirectory below a source's root; a path that leaves it is refused."""
    parts = text.replace("\\", "/").split("/")
    if not text.isprintable() or text.startswith(("/", "\\", "-")) or ".." in parts or ":" in text:
        invalid(f"not a subdirectory: {shown(repr(text))}")
    return text


def git_source(
    url: str, *, reference: str | None = None, commit: str | None = None, subdirectory: str | None = None
) -> Source:
    """Return the source of a package that lies in a git repository; nothing in it can pass for an option."""
    url = url.removeprefix("git+")
    if len(url) > _URL_CHARACTERS or not _GIT_URL.fullmatch(url):
        raise Fault("lock.url-refused", f"git URL is not fetched: {_without_secrets(url)}")
    if commit is not None and not _COMMIT.fullmatch(commit):
        invalid(f"not a commit id: {shown(repr(commit))}")
    if reference is not None and (not reference.isprintable() or reference.startswith("-")):
        invalid(f"not a git reference: {shown(repr(reference))}")
    return Source(
        kind="git",
        url=url,
        reference=reference,
        commit=commit,
        subdirectory=None if subdirectory is None else relative_directory(subdirectory),
    )


# --- files


def is_wheel(filename: str) -> bool:
    """Tell a wheel from every other file by its name."""
    return filename.endswith(".whl")


@functools.lru_cache(maxsize=32_768)
def wheel_parts(filename: str) -> WheelParts | None:
    """Return what a wheel's file name says; None for names that do not parse."""
    if len(filename) > _NAME_CHARACTERS:
        return None
    # A compressed tag set is a product; its size is known before it is built.
    product = 1
    for component in filename.removesuffix(".whl").rsplit("-", 3)[1:]:
        product *= component.count(".") + 1
    if product > _WHEEL_TAGS:
        return None
    try:
        return WheelParts(*parse_wheel_filename(filename))
    except (InvalidWheelFilename, InvalidVersion):
        return None


def file_name_of(url: str) -> str:
    """Return the file name a URL or path ends with, decoded once."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[2])


def artifact(
    name: NormalizedName,
    version: str | None,
    *,
    filename: str | None = None,
    url: str | None = None,
    path: Path | None = None,
    hashes: Iterable[Hash] = (),
    size: int | None = None,
    yanked: bool = False,
    direct: bool = False,
) -> Artifact | None:
    """Build the artifact of a package, or None for a file of a kind that is never installed.

    `filename` may be left out where `url` or `path` ends with it. `direct` is for the one archive of a URL
    or path source, which may have any name unless it is a wheel. Raises Fault `lock.filename-mismatch`,
    `lock.url-refused` or `lock.invalid`.
    """
    if filename is None:
        filename = file_name_of(url) if url is not None else path.name if path is not None else ""
    if not _is_plain(filename):
        raise Fault("lock.filename-mismatch", f"not a file name: {shown(repr(filename))}")
    if is_wheel(filename):
        parts = wheel_parts(filename)
        if parts is None and not direct:
            return None
        fits = (
            parts is not None
            and parts.name == name
            and (version is None or version_fits(version, parts.version))
        )
    elif direct:
        fits = True
    elif filename.endswith(_SDIST_SUFFIXES):
        fits = _sdist_fits(filename, name, version)
    else:
        return None
    if not fits:
        raise Fault(
            "lock.filename-mismatch",
            f"file {shown(repr(filename))} is not one of {name} {version or ''}".rstrip(),
        )
    if size is not None and size < 0:
        invalid(f"size: {size} is negative")
    return Artifact(
        filename=filename,
        url=None if url is None else web_url(url),
        path=path,
        hashes=tuple(hashes),
        size=size,
        yanked=yanked,
    )


def no_files() -> Fault:
    """Return the fault for a package whose listed files are all of kinds that are never installed."""
    return Fault("select.no-wheel", "none of the files in the lock is a wheel or an sdist")


def _is_plain(filename: str) -> bool:
    return (
        0 < len(filename) <= _NAME_CHARACTERS
        and filename.isprintable()
        and filename[0] not in ".-"
        and not any(character in filename for character in '/\\%:?*"<>|')
    )


@functools.lru_cache(maxsize=16_384)
def _sdist_fits(filename: str, name: NormalizedName, version: str | None) -> bool:
    """Old sdists have dashes in their names and versions: any cut that gives both will do."""
    stem = next(filename.removesuffix(suffix) for suffix in _SDIST_SUFFIXES if filename.endswith(suffix))
    pieces = stem.split("-")
    for cut in range(1, len(pieces)):
        if canonicalize_name("-".join(pieces[:cut])) != name:
            continue
        if version is None:
            return True
        try:
            if version_fits(version, Version("-".join(pieces[cut:]))):
                return True
        except InvalidVersion:
            continue
    return False
