"""aiohttp, set up for this program: TLS, resolver, sessions, and its errors in this program's words.

The one module that imports aiohttp when it is imported; `transport` loads it at the first request, in a
thread, so that neither the daemon's start nor its warm requests pay for it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from sprawld.errors import ConfigError, FetchError

from .hosts import PrivateAddressError, is_private
from .retry import Transient
from .urls import redact

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

    from sprawld.config import Limits

    from .network import NetworkSettings

__all__ = ["REQUEST_ERRORS", "open_session", "private_host", "refusal_of", "tls_context"]

REQUEST_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a request or its body can raise; `refusal_of` has a code for each."""

# As much as comes at once from a host nearby; with less the connection is halted after every part.
_READ_BYTES: Final = 1 << 18
# A name is asked for once per flow of downloads, not every ten seconds.
_DNS_SECONDS: Final = 300
# Where systems keep their bundle when OpenSSL was built for another place.
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


class _PublicOnly(AbstractResolver):
    """Resolves names, and refuses those that lead to an address only configured hosts may have."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if any(is_private(address["host"]) for address in found):
            raise PrivateAddressError("the name resolves to a private address")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class _ConnectionLostError(aiohttp.ClientError):
    """The connection ended before the answer began."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself: attempts are counted in one place (`retry`)."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLostError(str(error)) from error


def tls_context(settings: NetworkSettings, *, with_client: bool = False) -> ssl.SSLContext:
    """Build the TLS context; `with_client` shows the user's own certificate to hosts that ask for one.

    Takes tens of milliseconds. Raises ConfigError when what the settings name cannot be read.
    """
    file, directory = settings.authorities, settings.authorities_directory
    try:
        context = ssl.create_default_context(cafile=file, capath=directory)
    except (OSError, ssl.SSLError) as error:
        named = file or directory
        raise ConfigError(
            "config.invalid", f"the certificates to trust, {named}, cannot be used: {type(error).__name__}"
        ) from error
    if with_client and settings.client_certificate is not None:
        _load_client(context, settings.client_certificate)
    if file is None and directory is None and ssl.get_default_verify_paths().cafile is None:
        bundle = next((path for path in _BUNDLES if Path(path).is_file()), None)
        if bundle is not None:
            context.load_verify_locations(bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_client(context: ssl.SSLContext, path: str) -> None:
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(path, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            "config.invalid",
            f"the client certificate {path} cannot be used: {type(error).__name__}",
            hint="one PEM file with the certificate and its key, without a password",
        ) from error


def open_session(limits: Limits, tls: ssl.SSLContext | None, *, guarded: bool) -> aiohttp.ClientSession:
    """Open a connection pool; a guarded one reaches public addresses only, one without `tls` no https.

    Nothing is taken from the environment, kept between requests or followed by aiohttp itself.
    """
    connector = aiohttp.TCPConnector(
        ssl=True if tls is None else tls,
        resolver=_PublicOnly() if guarded else None,
        ttl_dns_cache=_DNS_SECONDS,
        limit=0,  # downloads are counted by the fetcher, which knows which one matters most
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=(_once,),
        read_bufsize=_READ_BYTES,
        trust_env=False,
        headers={"User-Agent": "virtual-sprawl"},
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=limits.connect_seconds,
            sock_connect=limits.connect_seconds,
            sock_read=limits.idle_seconds,
        ),
    )


def refusal_of(error: BaseException, url: str, *, begun: bool) -> FetchError | Transient:
    """Return what to raise for an error of `REQUEST_ERRORS`; `begun` tells whether the reply had begun."""
    shown = redact(url)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if isinstance(error.os_error, PrivateAddressError):
            return private_host(url)
        return Transient(FetchError("net.unreachable", f"{shown}: the host's name does not resolve"))
    if isinstance(error, aiohttp.ClientSSLError):
        return FetchError(
            "net.tls",
            f"{shown}: the host's certificate is not trusted or TLS failed",
            hint="SSL_CERT_FILE names the certificates to trust",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError("net.host-refused", f"{shown}: not a URL that is ever requested")
    if isinstance(error, asyncio.TimeoutError):
        return Transient(FetchError("net.timeout", f"{shown}: no answer in time"))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        refusal = FetchError("net.unreachable", f"{shown}: the proxy answered {error.status}")
        return Transient(refusal) if error.status >= 500 else refusal
    if begun:
        return Transient(FetchError("net.truncated", f"{shown}: the connection was lost"))
    return Transient(FetchError("net.unreachable", f"{shown}: {_reason(error)}"))


def private_host(url: str) -> FetchError:
    """Return the refusal of a host that only the user's own configuration could allow."""
    return FetchError(
        "net.host-refused",
        f"{redact(url)}: the host is on this machine or a private network",
        hint="if it is meant: `allow-hosts` in your config.toml, or name its index in your own settings",
    )


def _reason(error: BaseException) -> str:
    """Say what failed without the text of foreign errors, which may quote URLs."""
    number = getattr(error, "errno", None)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
    if number is not None and number > 0:
        return os.strerror(number).lower()
    if isinstance(error, aiohttp.ClientResponseError):
        return "the host does not speak HTTP"
    return "the connection was closed before an answer"
