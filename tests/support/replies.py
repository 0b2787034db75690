"""How the test index puts a reply on the wire: honestly by the kernel, or as broken as a fault asks."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from .faults import Fault

__all__ = ["FileReply", "RawReply", "Reply"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What would honestly be sent: either `file` or `body`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: Path | None = None
    size: int = 0


def _spoilt(reply: Reply, fault: Fault) -> Reply:
    """Return the reply with its content in memory and the fault's changes to status, headers and content."""
    body = reply.body if reply.file is None else reply.file.read_bytes()
    if fault.body is not None:
        body = fault.body
    if fault.spoil:
        body = bytes(byte ^ 0xFF for byte in body)
    body += b"x" * fault.more
    headers = {**reply.headers, **fault.headers}
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    return replace(
        reply, status=fault.status or reply.status, headers=headers, body=body, file=None, size=len(body)
    )


def _range_start(request: web.Request, reply: Reply) -> int | None:
    """First byte asked for, when the request has a range that applies (RFC 9110, 14.2 and 13.1.5)."""
    match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", reply.headers.get("ETag")) != reply.headers.get(
        "ETag"
    ):
        return None
    return int(match[1])


class FileReply(web.StreamResponse):
    """An artifact sent by the kernel (sendfile), whole or from the byte asked for."""

    def __init__(self, request: web.Request, reply: Reply) -> None:
        start = _range_start(request, reply)
        self._first = start or 0
        self._count = max(0, reply.size - self._first)
        assert reply.file is not None
        self._file = reply.file
        headers = {**reply.headers, "Content-Length": str(self._count)}
        code = 200
        if start is not None:
            code = 206 if self._count else 416
            span = f"{start}-{reply.size - 1}" if self._count else "*"
            headers["Content-Range"] = f"bytes {span}/{reply.size}"
        super().__init__(status=code, headers=headers)

    async def prepare(self, request: web.BaseRequest) -> Any:
        writer = await super().prepare(request)
        if self._count and request.transport is not None:
            with self._file.open("rb") as file:
                loop = asyncio.get_running_loop()
                await loop.sendfile(request.transport, file, self._first, self._count)
        return writer


class RawReply(web.StreamResponse):
    """A scripted reply, written past aiohttp so that it can be as broken as the script says."""

    def __init__(
        self,
        request: web.Request,
        honest: Reply,
        fault: Fault,
        released: asyncio.Event,
        stalled: threading.Event,
    ) -> None:
        super().__init__()
        self._released = released
        self._stalled = stalled
        self._reply = reply = _spoilt(honest, fault)
        self._fault = fault
        self._first = _range_start(request, honest) if fault.honour_range and reply.status == 200 else None

    async def prepare(self, request: web.BaseRequest) -> Any:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        # Every write is waited for, so that an abort loses nothing that was meant to arrive.
        transport.set_write_buffer_limits(0)
        fault, body = self._fault, self._reply.body[self._first or 0 :]
        head = self._head()
        await _flushed(request, head[: fault.head] if fault.head is not None else head)
        if fault.head is None:
            await _flushed(request, body[: fault.cut] if fault.cut is not None else body)
        if fault.ending == "stall":
            self._stalled.set()
            await self._released.wait()
            await _flushed(request, body[fault.cut or 0 :])
        elif fault.ending == "drip":
            for position in range(fault.cut or 0, len(body)):
                await asyncio.sleep(0.02)
                if transport.is_closing():
                    break
                await _flushed(request, body[position : position + 1])
        elif fault.ending == "reset":
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        # aiohttp takes this for a client that went away, writes nothing more and closes.
        raise ConnectionResetError

    def _head(self) -> bytes:
        reply, fault = self._reply, self._fault
        code, size = reply.status, len(reply.body)
        headers = dict(reply.headers)
        if self._first is not None:
            code = 206
            start = self._first + fault.shift
            headers.setdefault("Content-Range", f"bytes {start}-{size - 1}/{size}")
            size -= self._first
        if fault.length:
            headers.setdefault("Content-Length", str(size))
        headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {code} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _flushed(request: web.BaseRequest, data: bytes) -> None:
    if data and request.transport is not None and not request.transport.is_closing():
        request.transport.write(data)
        await request._payload_writer.drain()
