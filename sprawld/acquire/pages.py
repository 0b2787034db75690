"""Project pages of the simple repository API: from the bytes of a page to the files it lists.

Specifications: PEP 503 and 691 (HTML and JSON), 592 (yanked), 629 (API version), 700 (size). Unknown keys are
ignored; a page whose known parts have the wrong form is refused as a whole, for nobody can say what it meant.
"""

from __future__ import annotations

import json
import re
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sprawld.errors import PackageIndexError
from sprawld.model import Artifact, Hash

from .urls import join, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACCEPT", "ProjectFile", "decompressed", "fresh_seconds", "parse_page"]

ACCEPT: Final = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)

_JSON_TYPES: Final = ("application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json")
_HTML_TYPES: Final = (
    "application/vnd.pypi.simple.v1+html",
    "application/vnd.pypi.simple.latest+html",
    "text/html",
)
_HASH: Final = re.compile(r"[0-9a-f]{32,128}")
_ALGORITHMS: Final = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b"})
_FILE_NAME_CHARACTERS: Final = 255


# The longest an index may declare its pages fresh for.
_FRESH_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """One file as a project page lists it."""

    filename: str
    url: str
    """Absolute http(s) URL without a fragment."""
    hashes: tuple[Hash, ...]
    size: int | None
    yanked: bool
    requires_python: str | None

    def artifact(self) -> Artifact:
        """Return the file as something that can be fetched."""
        return Artifact(
            filename=self.filename, url=self.url, hashes=self.hashes, size=self.size, yanked=self.yanked
        )

    def locate(self, artifact: Artifact) -> Artifact:
        """Return a locked artifact with the place of this file; what the lock says of it goes first."""
        return replace(
            artifact,
            url=self.url,
            hashes=artifact.hashes or self.hashes,
            size=self.size if artifact.size is None else artifact.size,
            yanked=artifact.yanked or self.yanked,
        )


def parse_page(body: bytes, content_type: str, url: str, name: str) -> tuple[ProjectFile, ...]:
    """Return the files of a project page in its order.

    `url` is where the page came from, after redirects: relative links are relative to it. Files that no
    client fetches (other schemes, names that are paths) are left out. Raises PackageIndexError
    `index.malformed`.
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    try:
        if kind in _JSON_TYPES:
            document = json.loads(body)
        elif kind in _HTML_TYPES:
            document = _html_document(body, parameters, name)
        else:
            _malformed(url, f"content type {kind[:80]!r}" if kind else "no content type")
        if not isinstance(document, dict):
            _malformed(url, "not a JSON object")
        _check_version(document, url)
        files = document.get("files")
        if not isinstance(files, list):
            _malformed(url, "no list of files")
        found = (_file(entry, url) for entry in files)
        return tuple(file for file in found if file is not None)
    except (ValueError, RecursionError) as error:
        _malformed(url, type(error).__name__)


def decompressed(body: bytes, encoding: str, limit: int, url: str) -> bytes:
    """Undo the transfer's compression; PackageIndexError for another one than gzip, damage and bombs."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        _malformed(url, f"content encoding {encoding[:80]!r}")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(body, limit)
    except zlib.error:
        _malformed(url, "damaged gzip data")
    if inflater.unconsumed_tail:
        _malformed(url, f"more than {limit} bytes")
    if not inflater.eof:
        _malformed(url, "truncated gzip data")
    return plain


def _html_document(body: bytes, parameters: str, name: str) -> Any:
    from mousebender import simple

    charset = re.search(r"charset=\"?([A-Za-z0-9_-]+)", parameters)
    try:
        text = body.decode(charset[1] if charset else "utf-8")
    except LookupError as error:
        raise ValueError("unknown charset") from error
    # A newer minor version is no reason to warn: its additions are ignored by design.
    warnings.filterwarnings("ignore", category=simple.APIVersionWarning)
    try:
        return simple.from_project_details_html(text, name)
    except simple.UnsupportedAPIVersion as error:
        raise ValueError("unsupported API version") from error


def _check_version(document: Mapping[str, Any], url: str) -> None:
    """Refuse another major version (PEP 629); a page that tells none is taken for version 1."""
    meta = document.get("meta", {})
    version = meta.get("api-version", "1.0") if isinstance(meta, dict) else None
    if not isinstance(version, str) or not re.fullmatch(r"1\.\d+", version):
        _malformed(url, f"API version {str(version)[:20]!r}, this release reads version 1")


def _file(entry: Any, page: str) -> ProjectFile | None:
    if not isinstance(entry, dict):
        _malformed(page, "an entry of the list is not a file")
    filename, reference, hashes = entry.get("filename"), entry.get("url"), entry.get("hashes", {})
    if not isinstance(filename, str) or not isinstance(reference, str) or not isinstance(hashes, dict):
        _malformed(page, "a file without name or URL")
    url = join(page, reference.partition("#")[0])
    # The host is looked at when the file is fetched: pages list thousands of files, and one is wanted.
    if not _is_plain(filename) or not url.startswith(("https://", "http://")):
        return None
    size, requires_python = entry.get("size"), entry.get("requires-python")
    return ProjectFile(
        filename,
        url,
        _hashes(hashes, page),
        size if type(size) is int and size >= 0 else None,
        # A string is the reason, which may be empty in HTML.
        entry.get("yanked", False) not in (False, None),
        requires_python if isinstance(requires_python, str) else None,
    )


def _hashes(values: Mapping[str, Any], page: str) -> tuple[Hash, ...]:
    hashes = []
    for algorithm, value in values.items():
        if algorithm not in _ALGORITHMS:
            continue
        if not isinstance(value, str) or not _HASH.fullmatch(value.lower()):
            _malformed(page, f"not a {algorithm} value")
        hashes.append(Hash(algorithm=algorithm, value=value.lower()))
    return tuple(hashes)


def _is_plain(filename: str) -> bool:
    """Tell a file name from a path and from text that would not be safe to show."""
    return (
        0 < len(filename) <= _FILE_NAME_CHARACTERS
        and filename[0] not in ".-"
        and "/" not in filename
        and "\\" not in filename
        and filename.isprintable()
    )


def _malformed(url: str, reason: str) -> NoReturn:
    raise PackageIndexError("index.malformed", f"{redact(url)}: not a project page: {reason}")


def fresh_seconds(cache_control: str) -> float:
    """Return for how long a page may be used without asking again, by its Cache-Control header."""
    if re.search(r"no-store|no-cache", cache_control, re.IGNORECASE):
        return 0.0
    match = re.search(r"max-age=\"?(\d{1,9})", cache_control, re.IGNORECASE)
    return min(float(match[1]), _FRESH_SECONDS) if match else 0.0
