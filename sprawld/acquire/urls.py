"""URLs as this program looks at them: where they lead, what may be shown of them, what is never requested."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

__all__ = ["Origin", "credentials_of", "file_name_of", "join", "origin_of", "redact", "without_credentials"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NEVER_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454): what credentials are bound to."""

    scheme: str
    host: str
    port: int


@lru_cache(maxsize=64)
def origin_of(url: str) -> Origin | None:
    """Return the origin of an http(s) URL; None for every other URL and for what is not one.

    Spaces, control characters and backslashes are where parsers disagree about the host: such text is no URL.
    The last ones are remembered: each request asks four times about its own.
    """
    if _NEVER_IN_A_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return Origin(parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def credentials_of(url: str) -> tuple[str, str] | None:
    """Return (user, password) of a URL's userinfo, decoded; None where it has none."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return None
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def without_credentials(url: str) -> str:
    """Return the URL to request: no userinfo, no fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))


def join(base: str, reference: str) -> str:
    """Return the absolute form of a reference found in the document at `base`, or raise ValueError."""
    return reference if reference.startswith(("https://", "http://")) else urljoin(base, reference)


def file_name_of(url: str) -> str:
    """Return the last component of the path, decoded once."""
    return unquote(re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[2])


def redact(url: str) -> str:
    """Return what may be logged and printed of a URL: userinfo, query and fragment may hold secrets."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = bare.partition("//")
    authority, slash, path = rest.partition("/")
    shown = (
        scheme + separator + authority.rpartition("@")[2] + slash + path
        if separator
        else bare.rpartition("@")[2]
    )
    return "".join(character if character.isprintable() else "?" for character in shown)
