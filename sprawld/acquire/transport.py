"""One GET request over HTTP, as careful as a request has to be whose URL a stranger wrote.

1. Redirects are followed here: at most `Limits.redirects`, http(s) only, never from https to http.
2. Every hop gets a new set of headers; credentials go to the origin they belong to (`credentials`).
3. A host that the user's configuration does not name must have a public address (`hosts`).
4. No cookies, no implied decompression; what the environment says counts for proxies, certificates and the
   keyring only. The user's own certificate is shown to hosts that the user's settings name.
5. Errors are typed here: FetchError for what stays wrong, Transient for what may pass.

aiohttp is loaded at the first request, and TLS contexts are built at the first that needs one.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sprawld.errors import FetchError

from .credentials import Credentials, basic
from .hosts import is_private, literal_address
from .keyring import Keyring
from .network import is_allowed, network_settings
from .proxies import proxy_for
from .retry import Transient, is_transient_status, retry_after_seconds
from .urls import join, origin_of, redact, without_credentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    import aiohttp

    from sprawld.config import Limits
    from sprawld.model import IndexSettings

    from .network import NetworkSettings
    from .urls import Origin

__all__ = ["Reply", "Transport", "status_refusal"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of the last host: its head, and its body as it arrives."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    url: str
    """Where the answer came from, after redirects."""
    _response: aiohttp.ClientResponse

    async def read(self) -> bytes:
        """Return all bytes that have arrived since the last call, waiting for some; empty at the end.

        Raises Transient `net.timeout` when nothing arrives for the idle time and `net.truncated` when the
        connection is lost before the announced end.
        """
        from . import session

        try:
            return await self._response.content.readany()
        except session.REQUEST_ERRORS as error:
            raise session.refusal_of(error, self.url, begun=True) from None


class Transport:
    """Connection pools, credentials and proxies; shared by everything that talks HTTP. Close it after use."""

    def __init__(
        self,
        limits: Limits,
        environ: Mapping[str, str],
        home: Path,
        *,
        allow_hosts: tuple[str, ...] = (),
        keyring: bool = False,
    ) -> None:
        """Load nothing yet. `allow_hosts` may have private addresses; `keyring`: it may be asked."""
        self._limits = limits
        self._environ = environ
        self._home = home
        self._allow_hosts = allow_hosts
        self._may_ask_keyring = keyring
        self._credentials = Credentials(environ, home)
        self._keyring: Keyring | None = None
        self._loading = asyncio.Lock()
        self._settings: NetworkSettings | None = None
        self._tls: dict[bool, ssl.SSLContext] = {}
        self._sessions: dict[tuple[bool, bool, bool], aiohttp.ClientSession] = {}
        self._under_way = 0
        self._requests = 0
        self._redirects = 0

    async def prepare(self, *, secure: bool = False) -> None:
        """Load what the first request needs, off the event loop; may be called early and often.

        `secure`: with what https needs, all certificates of the system, which takes as long as the rest.
        """
        async with self._loading:
            settings = self._settings
            if settings is None:
                settings = await asyncio.to_thread(self._load)
                if settings.keyring:
                    self._keyring = Keyring(self._environ)
                self._settings = settings
            if secure and not self._tls:
                self._tls = await asyncio.to_thread(_tls_contexts, settings)

    async def rest(self) -> None:
        """Close all connections and forget what the next request loads again, unless one is under way."""
        if not self._under_way and not self._loading.locked():
            self._settings, self._tls = None, {}
            await self.close()

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    def statistics(self) -> dict[str, int]:
        """Return requests sent and redirects followed since creation."""
        return {"requests": self._requests, "redirects": self._redirects}

    def trusts(self, url: str, settings: IndexSettings) -> bool:
        """Tell whether the user's own configuration names the host of a URL."""
        origin = origin_of(url)
        return origin is not None and self._credentials.names(origin.host, settings)

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str], settings: IndexSettings
    ) -> AsyncIterator[Reply]:
        """Send one GET and yield the answer, whatever its status, with its body unread.

        `headers` go to every host on the way and must not hold secrets. Raises FetchError or Transient.
        """
        self._under_way += 1
        try:
            async with self._follow(url, headers, settings) as reply:
                yield reply
        finally:
            self._under_way -= 1

    @asynccontextmanager
    async def _follow(
        self, url: str, headers: Mapping[str, str], settings: IndexSettings
    ) -> AsyncIterator[Reply]:
        await self.prepare()
        for _ in range(self._limits.redirects + 1):
            response = await self._hop(url, headers, settings)
            try:
                location = response.headers.get("Location") if response.status in _REDIRECTS else None
                if location is None:
                    yield Reply(response.status, response.headers, url, response)
                    return
            finally:
                # Gives the connection back if the body was read to its end, else closes it.
                response.release()
            url = _redirected(url, location)
            self._redirects += 1
        raise FetchError(
            "net.redirect-refused", f"{redact(url)}: more than {self._limits.redirects} redirects"
        )

    async def _hop(
        self, url: str, headers: Mapping[str, str], settings: IndexSettings
    ) -> aiohttp.ClientResponse:
        from yarl import URL

        from . import session

        origin = origin_of(url)
        if origin is None:
            raise FetchError("net.host-refused", f"{redact(url)}: not a URL that is ever requested")
        proxy = proxy_for(origin, self._environ)
        secure = origin.scheme == "https" or (proxy or "").startswith("https:")
        if secure and not self._tls:
            await self.prepare(secure=True)
        pool = self._pool(url, origin, settings, proxied=proxy is not None, secure=secure)
        sent = dict(headers)
        authorization = await self._authorization(url, settings)
        if authorization is not None:
            sent["Authorization"] = authorization
        bare = without_credentials(url)
        self._requests += 1
        try:
            # The idle time alone would let a host send its head one byte at a time for ever.
            async with asyncio.timeout(self._limits.connect_seconds + self._limits.idle_seconds):
                return await pool.get(
                    # Signed URLs must arrive as they were written.
                    URL(bare, encoded=bare.isascii()),
                    headers=sent,
                    proxy=proxy,
                    allow_redirects=False,
                )
        except session.REQUEST_ERRORS as error:
            raise session.refusal_of(error, url, begun=False) from None

    def _pool(
        self, url: str, origin: Origin, settings: IndexSettings, *, proxied: bool, secure: bool
    ) -> aiohttp.ClientSession:
        """Return the pool for a host; behind a proxy names are resolved by the proxy, out of our sight."""
        from . import session

        named = self._credentials.names(origin.host, settings)
        allowed = named or is_allowed(origin, self._allow_hosts)
        address = literal_address(origin.host)
        if not allowed and address is not None and is_private(address):
            raise session.private_host(url)
        guarded = not (allowed or proxied)
        kind = (guarded, named, secure)
        if kind not in self._sessions:
            tls = self._tls[named] if secure else None
            self._sessions[kind] = session.open_session(self._limits, tls, guarded=guarded)
        return self._sessions[kind]

    async def _authorization(self, url: str, settings: IndexSettings) -> str | None:
        if self._keyring is not None:
            wanted = self._credentials.without_password(url, settings)
            password = await self._keyring.password(*wanted) if wanted else None
            if wanted and password:
                return basic(wanted[1], password)
        return self._credentials.authorization(url, settings)

    def _load(self) -> NetworkSettings:
        # What the modules at the event loop import when they need it is loaded here, in a thread.
        with _no_certificates(), _no_collection():
            import aiofiles.threadpool  # noqa: F401

            from . import session  # noqa: F401

        return network_settings(self._environ, self._home, keyring=self._may_ask_keyring)


def _tls_contexts(settings: NetworkSettings) -> dict[bool, ssl.SSLContext]:
    """Return the contexts for hosts that the user's settings do not name and for those that they name."""
    from . import session

    plain = session.tls_context(settings)
    named = session.tls_context(settings, with_client=True) if settings.client_certificate else plain
    return {False: plain, True: named}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from what is imported, while it is and ever after: modules stay."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextmanager
def _no_certificates() -> Iterator[None]:
    """Let aiohttp be imported in half the time: no TLS context of this process is to load certificates.

    aiohttp makes two contexts when it is imported, with all of the system's certificates. No request uses
    them, and if one did it would trust nobody.
    """
    import ssl

    def nothing(*_: object) -> None:
        """Load none."""

    names = ("load_default_certs", "set_default_verify_paths")
    before = {name: ssl.SSLContext.__dict__.get(name) for name in names}
    for name in names:
        setattr(ssl.SSLContext, name, nothing)
    try:
        yield
    finally:
        for name, method in before.items():
            if method is None:
                delattr(ssl.SSLContext, name)
            else:
                setattr(ssl.SSLContext, name, method)


def status_refusal(reply: Reply) -> FetchError | Transient:
    """Return what to raise for an answer with an error status."""
    error = FetchError(
        "net.gone" if reply.status in _GONE else "net.status",
        f"{redact(reply.url)}: the host answered {reply.status}",
        hint=_STATUS_HINTS.get(reply.status, ""),
    )
    if not is_transient_status(reply.status):
        return error
    return Transient(error, retry_after_seconds(reply.headers.get("Retry-After")))


_GONE: Final = (404, 410)
_CREDENTIALS_HINT = "put credentials for this host into ~/.netrc or your own index settings"
_STATUS_HINTS: Final = {
    401: _CREDENTIALS_HINT,
    403: _CREDENTIALS_HINT,
    404: "the file was removed from its host; lock again",
    407: "put the proxy's credentials into its URL",
    410: "the file was removed from its host; lock again",
}


def _redirected(url: str, location: str) -> str:
    """Return where a redirect leads; FetchError for places that are never followed."""
    try:
        target = join(url, location)
    except ValueError:
        target = ""
    origin = origin_of(target)
    if origin is None:
        raise FetchError("net.redirect-refused", f"{redact(url)}: redirected to {redact(location)[:200]}")
    if origin.scheme == "http" and url.startswith("https:"):
        raise FetchError("net.redirect-refused", f"{redact(url)}: redirected from https to http")
    return target
