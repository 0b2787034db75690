"""The listener, with real sockets and an answerer that tells what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from sprawld.errors import LockError
from sprawld.progress import Progress
from sprawld.server import Server
from virtual_sprawl import protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path

READY = protocol.encode_frame(protocol.PATH_SET, protocol.encode_strings((b"ready",)))
REALISED = protocol.encode_frame(protocol.PATH_SET, protocol.encode_strings((b"realised",)))


class Answers:
    """Answers by what the payload says."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.cancelled = 0
        self.waiting = asyncio.Event()

    def ready(self, request: bytes) -> bytes | None:
        return READY if request == b"ready" else None

    async def resolve(self, request: bytes, report: Callable[[Progress], None]) -> bytes:
        if request == b"refused":
            raise LockError("lock.not-found", "no lockfile", hint="make one")
        if request == b"bug":
            raise ZeroDivisionError("a bug")
        report(Progress(stage="fetch", done=1, total=3, bytes_done=5, bytes_total=9, name="numpy"))
        if request == b"slow":
            self.waiting.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return REALISED

    async def call(
        self, command: str, arguments: Mapping[str, object], report: Callable[[Progress], None]
    ) -> object:
        return {"command": command, "arguments": dict(arguments)}


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = protocol.FrameReader(protocol.REPLY_LIMIT)

    async def ask(self, kind: int, payload: bytes) -> list[tuple[int, list[bytes]]]:
        self.writer.write(protocol.encode_frame(kind, payload))
        return await self.replies()

    async def replies(self) -> list[tuple[int, list[bytes]]]:
        """Return frames up to the first that is not PROGRESS, or up to the end of the stream."""
        seen = []
        while data := await self.reader.read(65536):
            for kind, payload in self._frames.feed(data):
                seen.append((kind, protocol.decode_strings(payload)))
                if kind != protocol.PROGRESS:
                    return seen
        return seen

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def serving(tmp_path: Path, **options: float) -> AsyncIterator[tuple[Server, Answers, Any]]:
    answers = Answers()
    server = Server(**options)
    server.answerer = answers
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "sock"))
    listening = asyncio.Event()
    running = asyncio.create_task(server.serve([listener], listening.set))
    await listening.wait()

    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_unix_connection(str(tmp_path / "sock"))))
        return clients[-1]

    try:
        yield server, answers, connect
    finally:
        server.stop()
        await running
        for client in clients:
            client.close()
            with suppress(OSError):
                await client.writer.wait_closed()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory, debug=request.param == "asyncio") as runner:
            runner.run(coroutine)

    return run


def test_ready_replies_come_without_a_task(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (server, _, connect):
            client = await connect()
            for _ in range(3):
                assert await client.ask(protocol.RESOLVE, b"ready") == [(protocol.PATH_SET, [b"ready"])]
            assert [peer.task for peer in server.peers] == [None]
            assert server.statistics()["requests"] == 3

    run(scenario())


def test_the_cold_path_reports_progress_and_then_replies(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, _, connect):
            client = await connect()
            assert await client.ask(protocol.RESOLVE, b"cold") == [
                (protocol.PROGRESS, [b"fetch", b"1", b"3", b"5", b"9", b"numpy"]),
                (protocol.PATH_SET, [b"realised"]),
            ]

    run(scenario())


def test_a_refusal_carries_code_message_and_hint(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (server, _, connect):
            client = await connect()
            assert await client.ask(protocol.RESOLVE, b"refused") == [
                (protocol.ERROR, [b"lock.not-found", b"no lockfile", b"make one"])
            ]
            assert server.statistics()["errors"] == 1

    run(scenario())


def test_a_bug_is_logged_and_harms_nobody_else(
    run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, _, connect):
            client = await connect()
            ((kind, strings),) = await client.ask(protocol.RESOLVE, b"bug")
            assert (kind, strings[0]) == (protocol.ERROR, b"daemon.internal")
            assert await client.ask(protocol.RESOLVE, b"ready") == [(protocol.PATH_SET, [b"ready"])]

    run(scenario())
    assert "ZeroDivisionError" in caplog.text


def test_commands_take_and_give_json(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, _, connect):
            client = await connect()
            fields = protocol.encode_fields({"command": "status", "arguments": '{"a": [1]}'})
            ((kind, (document,)),) = await client.ask(protocol.CALL, fields)
            assert kind == protocol.RESULT
            assert json.loads(document) == {"command": "status", "arguments": {"a": [1]}}
            fields = protocol.encode_fields({"command": "status", "arguments": "[" * 100_000})
            ((kind, strings),) = await client.ask(protocol.CALL, fields)
            assert (kind, strings[0]) == (protocol.ERROR, b"proto.malformed")

    run(scenario())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"proto.malformed"),
        (b"vsp\x63", b"proto.version"),
        (b"vsp\x01\x01\xff\xff\xff\xff", b"proto.too-large"),
        (protocol.encode_frame(99, b""), b"proto.unknown-request"),
    ],
)
def test_nonsense_is_answered_and_hung_up_on(run: Any, tmp_path: Path, sent: bytes, code: bytes) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, _, connect):
            client = await connect()
            client.writer.write(sent)
            ((kind, strings),) = await client.replies()
            assert (kind, strings[0]) == (protocol.ERROR, code)
            assert await client.reader.read() == b""

    run(scenario())


def test_a_peer_that_leaves_cancels_its_own_request_only(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, answers, connect):
            leaving, staying = await connect(), await connect()
            leaving.writer.write(protocol.encode_frame(protocol.RESOLVE, b"slow"))
            await answers.waiting.wait()
            waiting = asyncio.create_task(staying.ask(protocol.RESOLVE, b"slow"))
            leaving.close()
            while not answers.cancelled:
                await asyncio.sleep(0)
            answers.gate.set()
            assert (await waiting)[-1] == (protocol.PATH_SET, [b"realised"])
            assert answers.cancelled == 1

    run(scenario())


def test_a_second_request_before_the_reply_is_refused(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (_, answers, connect):
            client = await connect()
            client.writer.write(protocol.encode_frame(protocol.RESOLVE, b"slow") * 2)
            replies = await client.replies()
            assert replies[-1][1][0] in (b"proto.malformed", b"daemon.stopping")
            answers.gate.set()

    run(scenario())


def test_requests_under_way_finish_before_the_stop(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (server, answers, connect):
            client = await connect()
            waiting = asyncio.create_task(client.ask(protocol.RESOLVE, b"slow"))
            await answers.waiting.wait()
            server.stop()
            answers.gate.set()
            assert (await waiting)[-1] == (protocol.PATH_SET, [b"realised"])

    run(scenario())


def test_a_request_that_comes_after_the_stop_is_to_be_asked_again(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (server, answers, connect):
            early, late = await connect(), await connect()
            assert await late.ask(protocol.RESOLVE, b"ready") == [(protocol.PATH_SET, [b"ready"])]
            waiting = asyncio.create_task(early.ask(protocol.RESOLVE, b"slow"))
            await answers.waiting.wait()
            server.stop()
            ((kind, strings),) = await late.ask(protocol.RESOLVE, b"another")
            assert (kind, strings[0].decode()) == (protocol.ERROR, "daemon.leaving")
            answers.gate.set()
            assert (await waiting)[-1] == (protocol.PATH_SET, [b"realised"])

    run(scenario())


def test_an_idle_daemon_stops_by_itself(run: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, idle_exit_seconds=0.01) as (server, _, _):
            await server._stopping.wait()

    run(scenario())
