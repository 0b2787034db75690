"""What tests of HTTP code share: a transport that is closed again, files to serve, a certificate."""

from __future__ import annotations

import asyncio
import random
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from sprawld.acquire.transport import Transport
from sprawld.config import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

__all__ = ["LIMITS", "NOWHERE", "certificate", "random_file", "serving", "transport", "with_transport"]

LIMITS = Limits(backoff_seconds=0)
"""The limits of production without pauses between attempts."""
NOWHERE = Path("/nonexistent")
"""A home without configuration."""

T = TypeVar("T")


@asynccontextmanager
async def transport(
    limits: Limits = LIMITS,
    environ: Mapping[str, str] | None = None,
    home: Path = NOWHERE,
    allow_hosts: tuple[str, ...] = (),
) -> AsyncIterator[Transport]:
    # The files of this machine's own pip must not reach the tests.
    environ = {"PIP_CONFIG_FILE": "/dev/null", "XDG_CONFIG_DIRS": str(NOWHERE)} | dict(environ or {})
    opened = Transport(limits, environ, home, allow_hosts=allow_hosts)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve on a port of 127.0.0.1, the value; at the end no connection is left open in the loop."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await answer(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for writer in writers:
        # A TLS connection would wait for the other side's goodbye, and outlive the loop.
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def with_transport(
    act: Callable[[Transport], Awaitable[T]],
    limits: Limits = LIMITS,
    environ: Mapping[str, str] | None = None,
    home: Path = NOWHERE,
    allow_hosts: tuple[str, ...] = (),
) -> T:
    """Run `act` in a new event loop with a transport."""

    async def main() -> T:
        async with transport(limits, environ, home, allow_hosts) as opened:
            return await act(opened)

    return asyncio.run(main())


def random_file(directory: Path, name: str, size: int = 300_000) -> Path:
    """Write a file whose content depends on its name only, and does not compress."""
    path = directory / name
    path.write_bytes(random.Random(name).randbytes(size))
    return path


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate for 127.0.0.1; return its file and a server's TLS context."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    path, key = directory / "certificate.pem", directory / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    return path, context
