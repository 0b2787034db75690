"""Which credentials go to which host: those of the user's own index URLs and of netrc, and of nothing else.

1. Userinfo of an index URL in the user's settings goes to exactly that origin (scheme, host, port).
2. A netrc entry knows only a host. It goes there over https on the standard port, or to an origin that the
   settings name: a lockfile must not be able to have a password sent over plain http or to another service.
   A user without a password in an index URL is one for the keyring, if the user wants it to be asked.
3. netrc's `default` entry is ignored: it would go to any host that a lockfile names.
4. Userinfo in a URL of a lockfile or an index page is never sent.

Specifications: RFC 7617 (Basic), the netrc format as read by the standard library.
"""

from __future__ import annotations

import base64
import logging
import netrc
from pathlib import Path
from typing import TYPE_CHECKING

from .urls import Origin, credentials_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sprawld.model import IndexSettings

__all__ = ["Credentials", "basic"]

_log = logging.getLogger(__name__)


class Credentials:
    """Answers from the settings of a request and the netrc file, which is read again when it changes."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._path = Path(environ["NETRC"]) if environ.get("NETRC") else home / ".netrc"
        self._read_as: tuple[int, int, int] | None = None
        self._entries: dict[str, tuple[str, str]] = {}

    def authorization(self, url: str, settings: IndexSettings) -> str | None:
        """Return the value of the Authorization header for a request of `url`, or None."""
        origin = origin_of(url)
        if origin is None:
            return None
        named = [index for index in _indexes(settings) if origin_of(index) == origin]
        pairs = (credentials_of(index) for index in named)
        pair = next((pair for pair in pairs if pair is not None), None)
        if pair is None and (named or origin == Origin("https", origin.host, 443)):
            pair = self._netrc().get(origin.host)
        return None if pair is None else basic(*pair)

    def without_password(self, url: str, settings: IndexSettings) -> tuple[str, str] | None:
        """Return (index URL, user) where the settings have a user for a URL's origin and nothing more."""
        origin = origin_of(url)
        if origin is None or origin.host in self._netrc():
            return None
        for index in _indexes(settings):
            pair = credentials_of(index) if origin_of(index) == origin else None
            if pair is not None:
                return (index, pair[0]) if not pair[1] else None
        return None

    def names(self, host: str, settings: IndexSettings) -> bool:
        """Tell whether the user's own configuration names this host."""
        indexes = (origin_of(index) for index in _indexes(settings))
        return any(origin is not None and origin.host == host for origin in indexes) or host in self._netrc()

    def _netrc(self) -> dict[str, tuple[str, str]]:
        try:
            status = self._path.stat()
        except OSError:
            return {}
        read_as = (status.st_ino, status.st_mtime_ns, status.st_size)
        if read_as != self._read_as:
            self._entries = self._parse()
            self._read_as = read_as
        return self._entries

    def _parse(self) -> dict[str, tuple[str, str]]:
        try:
            hosts = netrc.netrc(self._path).hosts
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("%s cannot be read: %s", self._path, type(error).__name__)
            return {}
        except netrc.NetrcParseError as error:
            # Other programs' entries must not keep anonymous downloads from working. The error's text quotes
            # the file, so only the line is told.
            _log.warning("%s does not parse, line %s", self._path, error.lineno)
            return {}
        return {
            host.lower(): (login or account or "", password or "")
            for host, (login, account, password) in hosts.items()
            if host != "default"
        }


def basic(user: str, password: str) -> str:
    """Return the value of the Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _indexes(settings: IndexSettings) -> Iterator[str]:
    if settings.default is not None:
        yield settings.default
    yield from settings.extra
    yield from settings.explicit
