"""The daemon as a whole: what starts in which order, who answers, what happens at the end.

1. The lock first, then the store, then the sockets, then "ready": a client that connects finds a daemon that
   can answer.
2. An inherited socket (systemd, launchd) is served as it is and left alone at the end; only sockets that this
   process bound are unlinked.
3. SIGTERM stops gracefully; a second signal does not wait for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_sprawl import protocol

from . import service
from .config import load_config
from .errors import RequestError
from .hotpath import checks_hold
from .listen import Listener
from .memory import be_sparing
from .parts import Parts
from .pathsets.setcheck import describe_set
from .request import ResolveRequest
from .server import Server
from .store import failpoints

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Awaitable, Callable, Mapping

    from .config import Config
    from .early import Early
    from .hotpath import Ready
    from .listen import DaemonLock, ReadyPipe
    from .progress import Progress

    RunCommand = Callable[[Parts, str, Mapping[str, object], Callable[[Progress], None]], Awaitable[object]]

__all__ = ["Answers", "serve", "watch_store"]

log = logging.getLogger(__name__)

WATCH_SECONDS = 600.0
"""How long a daemon that nobody asks may outlive its store."""
NO_LOCK_FRAME = protocol.encode_frame(protocol.NO_LOCK, b"")


class Answers:
    """Gives the server its answers."""

    def __init__(self, parts: Parts, lock: DaemonLock) -> None:
        self._parts = parts
        self._lock = lock

    def ready(self, request: bytes) -> bytes | None:
        """Return the reply that is still true from last time."""
        ready = self._parts.ready.get(request)
        if ready is None or not self._parts.standing.stands(ready.digest):
            return None
        self._parts.used(ready.lock, ready.digest)
        self._parts.offer(request, ready)
        return ready.frame

    async def resolve(self, request: bytes, report: Callable[[Progress], None]) -> bytes:
        """Return the reply to a request that has none ready."""
        parts = self._parts
        self._require_currency()
        question = ResolveRequest.from_payload(request)
        recorded = await asyncio.to_thread(self._recall, request)
        if recorded is not None:
            parts.ready.put(request, recorded)
            parts.used(recorded.lock, recorded.digest)
            parts.offer(request, recorded)
            parts.pack_set(recorded.digest, question.python)
            return recorded.frame
        if parts.environments.known(question.python) is None:
            parts.expect_work()
        environment = await parts.environments.get(question.python)
        answer = await parts.realiser.realise(question, environment, report)
        if answer is None:
            return NO_LOCK_FRAME
        failpoints.failpoint("reply.made")
        ready, keep = answer
        parts.used(ready.lock, ready.digest)
        parts.lock_gave(ready.lock, question.fields)
        if keep:
            parts.ready.put(request, ready)
            parts.offer(request, ready)
            parts.record(request, ready)
        return ready.frame

    async def call(
        self, command: str, arguments: Mapping[str, object], report: Callable[[Progress], None]
    ) -> object:
        """Run a command of the tools."""
        if command not in ("stop", "status"):
            self._require_currency()
        # Loaded by the first of them: they need twice as many modules as questions do.
        run_command = await asyncio.to_thread(_load_commands)
        return await run_command(self._parts, command, arguments, report)

    def _require_currency(self) -> None:
        """Stop when the store was removed, or the configuration changed: the next daemon starts from there.

        A removed store is not ours to make anew, another daemon may be at it.
        """
        if self._lock.is_lost():
            reason = "the store was removed under the daemon"
        elif not checks_hold(self._parts.configuration):
            reason = "the configuration was changed"
        else:
            return
        log.warning("%s: stopping", reason)
        self._parts.server.stop()
        raise RequestError("daemon.leaving", reason, hint="run the command again")

    def _recall(self, request: bytes) -> Ready | None:
        """Return the reply that an earlier daemon recorded, if its set is still there and trusted."""
        recorded = self._parts.ready.recall(request)
        if recorded is None or not self._parts.store.has_set(recorded.digest):
            return None
        if not self._parts.standing.stands(recorded.digest):
            return None
        described = describe_set(self._parts.store.set_path(recorded.digest))
        # A set of an older release is made anew once; until then its own interpreter runs on as it was.
        if described is None or described.client != self._parts.realiser.client_digest:
            return None
        return recorded


def _load_commands() -> RunCommand:
    from .commands import run_command

    return run_command


async def serve(
    arguments: argparse.Namespace, environ: dict[str, str], lock: DaemonLock, ready: ReadyPipe, early: Early
) -> int:
    """Serve the store whose lock is held until stopped; return the exit code."""
    be_sparing()
    config = load_config(environ)
    idle = 0.0
    if arguments.on_demand:
        idle = config.idle_exit_seconds if arguments.idle_exit is None else arguments.idle_exit
    server = Server(idle_exit_seconds=idle)
    parts = Parts(config, environ, server)
    server.answerer = Answers(parts, lock)
    try:
        await parts.workers.adopt(early.seeds)
        if early.asked is not None:
            parts.environments.asked(early.python, early.asked)
        await asyncio.to_thread(_prepare, parts)
        parts.tidy()
        if early.asked is not None:
            parts.expect(early.python)
        await _listen(config, early.inherited, server, ready, lock)
    finally:
        await parts.close()
    return 0


def _prepare(parts: Parts) -> None:
    outcome = parts.durability.after_boot()
    if outcome.discarded:
        log.warning("%d entries were torn by a crash of the machine and dropped", len(outcome.discarded))
    parts.store.packs.sweep(set(parts.store.entries()))
    parts.realiser.prepare_client()
    parts.direct.prepare(parts.realiser.client_digest)
    _record_program(parts.config.store)


def _record_program(store: Path) -> None:
    """Leave this program's path for hooks in interpreters that do not have it beside them."""
    program = Path(sys.argv[0])
    if program.name != "sprawld" or not program.is_absolute():
        program = Path(sys.executable).with_name("sprawld")
    if program.is_file():
        partial = store / "tmp" / f"daemon-{os.getpid()}"
        partial.write_text(f"{program}\n")
        partial.chmod(0o600)
        partial.replace(store / "daemon")


async def _listen(
    config: Config, inherited: socket.socket | None, server: Server, ready: ReadyPipe, lock: DaemonLock
) -> None:
    sockets: list[socket.socket] = []
    notifier = service.Notifier()
    paths = dict.fromkeys((config.socket, config.store / "run" / "sock"))
    if inherited is not None:
        sockets.append(inherited)
        # The manager's own socket; binding that path would take it away from the manager.
        paths.pop(Path(os.fsdecode(inherited.getsockname())), None)
    with contextlib.ExitStack() as stack:
        for path in paths:
            listener = Listener(path)
            stack.callback(listener.close)
            sockets.append(listener.socket)
        _handle_signals(server)

        def on_listening() -> None:
            log.info("serving %s on %s", config.store, config.socket)
            notifier.ready()
            ready.say(b"\n")

        alive = asyncio.create_task(notifier.keep_alive(lambda: not server.stopping))
        watch = asyncio.create_task(watch_store(lock, server))
        try:
            await server.serve(sockets, on_listening, notifier.stopping)
        finally:
            alive.cancel()
            watch.cancel()


async def watch_store(lock: DaemonLock, server: Server) -> None:
    """Stop the daemon once its store was removed, even if nobody asks for anything."""
    while True:
        if lock.is_lost():
            log.warning("the store was removed: stopping")
            server.stop()
            return
        await asyncio.sleep(WATCH_SECONDS)


def _handle_signals(server: Server) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if server.stopping:
            log.warning("a second signal: leaving at once")
            os._exit(128 + number)
        log.info("stopping on signal %d", number)
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
