"""The listener: connections, frames, dispatch by message kind, idle exit and graceful stop.

1. A peer of another user is closed before a byte of it is read.
2. A question whose reply is ready is answered inside `data_received`: no task, no await.
3. One request at a time per connection; a second frame before the reply is a protocol error.
4. A peer that goes away cancels its own request, nobody else's.
5. A `SprawlError` becomes an ERROR frame. Anything else is a bug: it is logged with its traceback, the peer
   hears `daemon.internal`, and the other connections never notice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Protocol, cast

from virtual_sprawl import protocol

from .errors import RequestError, SprawlError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from .progress import Progress

__all__ = ["Answerer", "Server", "error_frame"]

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS = 10.0
"""How long requests under way may go on after a stop was asked for."""
HANDSHAKE_SECONDS = 30.0
"""A peer that has not sent a whole request by then is closed: it holds a descriptor."""
PROGRESS_BACKLOG_BYTES = 64 << 10
"""A client that does not read its progress events gets no more of them, instead of our memory."""


class Answerer(Protocol):
    """What the server asks for answers."""

    def ready(self, request: bytes) -> bytes | None:
        """Return the reply frame for a RESOLVE payload if it can be given at once."""

    async def resolve(self, request: bytes, report: Callable[[Progress], None]) -> bytes:
        """Return the reply frame for a RESOLVE payload, realising what is missing."""

    async def call(
        self, command: str, arguments: Mapping[str, object], report: Callable[[Progress], None]
    ) -> object:
        """Run a command of the tools; the outcome is JSON."""


def error_frame(error: SprawlError | protocol.ProtocolError) -> bytes:
    """Encode a refusal for the wire."""
    strings = (error.code, error.message, getattr(error, "hint", ""))
    return protocol.encode_frame(
        protocol.ERROR, protocol.encode_strings(text.encode("utf-8", "surrogateescape") for text in strings)
    )


class Server:
    """Serves one or more listening sockets until `stop` or until it has been idle for long enough."""

    answerer: Answerer
    """Set before `serve`; the parts that answer know their server."""

    def __init__(self, *, idle_exit_seconds: float = 0.0) -> None:
        self.peers: set[Peer] = set()
        self.requests = 0
        self.errors = 0
        self.refused_peers = 0
        self._idle_exit_seconds = idle_exit_seconds
        self._last_activity = time.monotonic()
        self._stopping = asyncio.Event()

    def statistics(self) -> dict[str, int]:
        """Return counters for `status`."""
        return {
            "connections": len(self.peers),
            "requests": self.requests,
            "errors": self.errors,
            "refused_peers": self.refused_peers,
        }

    def stop(self) -> None:
        """Ask for a graceful stop; returns at once."""
        self._stopping.set()

    @property
    def busy(self) -> bool:
        """True while a request is under way."""
        return any(peer.task is not None for peer in tuple(self.peers))

    @property
    def stopping(self) -> bool:
        """True once a stop was asked for."""
        return self._stopping.is_set()

    async def serve(
        self,
        sockets: list[socket.socket],
        on_listening: Callable[[], object] = lambda: None,
        on_stopping: Callable[[], object] = lambda: None,
    ) -> None:
        """Accept until stopped, then let requests finish within the grace period."""
        loop = asyncio.get_running_loop()
        # The sockets were bound under the daemon's lock; given a path, asyncio would steal a live socket.
        servers = [await loop.create_unix_server(lambda: Peer(self), sock=sock) for sock in sockets]
        on_listening()
        self._arm_idle_exit(loop)
        try:
            await self._stopping.wait()
            on_stopping()
        finally:
            for server in servers:
                server.close()
            await self._drain()

    async def _drain(self) -> None:
        tasks = [peer.task for peer in self.peers if peer.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_GRACE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for peer in tuple(self.peers):
            peer.close()

    @property
    def quiet_seconds(self) -> float:
        """For how long nobody has asked for anything; 0 while a request is under way."""
        return 0.0 if self.busy else time.monotonic() - self._last_activity

    def touch(self) -> None:
        """Note that somebody asked for something."""
        self._last_activity = time.monotonic()

    def _arm_idle_exit(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._idle_exit_seconds <= 0:
            return
        # One timer per idle period, set for the moment the daemon would have been idle long enough: an idle
        # daemon is woken once, not once a second.
        if any(peer.task is not None for peer in self.peers):
            remaining = self._idle_exit_seconds
        else:
            remaining = self._last_activity + self._idle_exit_seconds - time.monotonic()
        if remaining <= 0:
            log.info("idle for %d s: stopping", self._idle_exit_seconds)
            self.stop()
        else:
            loop.call_later(remaining, self._arm_idle_exit, loop)


class Peer(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_deadline", "_reader", "_server", "_transport", "task")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reader = protocol.FrameReader(protocol.REQUEST_LIMIT)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection if it is this user's own."""
        self._transport = cast("asyncio.Transport", transport)
        uid = protocol.peer_uid(transport.get_extra_info("socket"))
        if uid not in (os.geteuid(), 0):
            self._server.refused_peers += 1
            log.warning("refused a connection of uid %s", uid)
            self._transport.abort()
            return
        self._server.peers.add(self)
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self.close)

    def data_received(self, data: bytes) -> None:
        """Cut frames and answer them."""
        try:
            for kind, payload in self._reader.feed(data):
                self._received(kind, payload)
        except protocol.ProtocolError as error:
            self._server.errors += 1
            self._send(error_frame(error))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel this peer's request, if one is under way."""
        self._server.peers.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Close after what was written has been sent."""
        if self._transport is not None:
            self._transport.close()

    def _received(self, kind: int, payload: bytes) -> None:
        if self.task is not None:
            raise protocol.ProtocolError("proto.malformed", "a request came before the reply to the last one")
        server = self._server
        server.requests += 1
        server.touch()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if kind == protocol.RESOLVE:
            frame = server.answerer.ready(payload)
            if frame is not None:
                self._send(frame)
                return
        elif kind != protocol.CALL:
            raise protocol.ProtocolError("proto.unknown-request", f"unknown message kind {kind}")
        self.task = asyncio.get_running_loop().create_task(self._answer(kind, payload))

    async def _answer(self, kind: int, payload: bytes) -> None:
        try:
            frame = await self._outcome(kind, payload)
        except (SprawlError, protocol.ProtocolError) as error:
            self._server.errors += 1
            log.info("refused: %s", error)
            frame = error_frame(error)
        except asyncio.CancelledError:
            self._send(error_frame(RequestError("daemon.stopping", "the daemon is stopping")))
            raise
        except Exception as error:
            self._server.errors += 1
            log.exception("a bug, while answering a request")
            frame = error_frame(
                RequestError(
                    "daemon.internal",
                    f"the daemon failed on this request: {type(error).__name__}",
                    hint="its log has the details; see `sprawlctl status`",
                )
            )
        self.task = None
        self._server.touch()
        self._send(frame)

    async def _outcome(self, kind: int, payload: bytes) -> bytes:
        if self._server.stopping:
            raise RequestError("daemon.leaving", "the daemon is stopping", hint="run the command again")
        if kind == protocol.RESOLVE:
            return await self._server.answerer.resolve(payload, self._report)
        fields = protocol.decode_fields(payload)
        try:
            arguments = json.loads(fields.get("arguments", "{}"))
        except (ValueError, RecursionError) as error:
            raise RequestError("proto.malformed", "the arguments of the command are not JSON") from error
        if not isinstance(arguments, dict):
            raise RequestError("proto.malformed", "the arguments of the command are not an object")
        outcome = await self._server.answerer.call(fields.get("command", ""), arguments, self._report)
        return protocol.encode_frame(
            protocol.RESULT, protocol.encode_strings((json.dumps(outcome).encode(),))
        )

    def _report(self, progress: Progress) -> None:
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() < PROGRESS_BACKLOG_BYTES:
            self._send(progress.frame())

    def _send(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)
