"""The parts of a running daemon, made once and handed to whoever answers requests."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

import virtual_sprawl
from virtual_sprawl import __version__, locations

from .acquire.environment import Environments
from .acquire.fetch import Fetcher
from .acquire.findlinks import FileFinder
from .acquire.index import IndexClient
from .acquire.settings import resolve_settings
from .acquire.transport import Transport
from .acquire.workers import WorkerPool
from .config import config_file
from .direct import DirectRecords
from .early import INTERPRETERS
from .following import Following
from .hotpath import ReadyTable, check_of
from .lockfiles.read import LockCache
from .memory import give_back
from .model import Digest
from .pathsets.pack import Packer
from .provide import Provider
from .realise import Realiser
from .scrubbing import Scrubber
from .selecting import Selector
from .standing import Standing
from .store.durability import Durability
from .store.firstuse import FirstUse
from .store.origins import Origins
from .store.publication import is_name
from .store.references import read_references
from .store.reserve import Reserve
from .store.state import State
from .store.tree import Store
from .store.writable import WritableCopies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .caretaker import Caretaker
    from .config import Config
    from .hotpath import Ready
    from .model import IndexSettings
    from .request import ResolveRequest
    from .server import Server

__all__ = ["Parts"]

log = logging.getLogger(__name__)

SYNC_DELAY_SECONDS = 2.0
"""Publications are made durable together, this long after the first of them."""
FLUSH_DELAY_SECONDS = 60.0
"""Last uses are written this long after the first that is not; a crash loses at most that much."""
DIRECT_DELAY_SECONDS = 4.0
"""Longer than it takes until what was just made is durable, as a rule."""
TRIM_DELAY_SECONDS = 20.0
"""Memory is given back this long after something was published, or later while requests are under way."""
GC_DELAY_SECONDS = 120.0
"""A budget is looked at this long after something was published, or later while requests are under way."""


class Parts:
    """Everything that answers need; made under the daemon's lock, closed by `close`."""

    def __init__(self, config: Config, environ: dict[str, str], server: Server) -> None:
        self.version = __version__
        self.started = time.monotonic()
        self.config = config
        self.configuration = (check_of(str(config_file())),)
        """Of the file that `config` was read from."""
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.collecting = threading.Lock()
        """One gc at a time; held in threads."""
        self.copying = asyncio.Lock()
        """One writable copy at a time: two of the same would be in each other's way."""
        self._home = Path(locations.home_directory(environ))
        self._environ = environ
        self._told: dict[str, str] = {}
        """What clients told of their environment: `learn_credentials`."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._chores: set[asyncio.Task[object]] = set()
        self._scrub: asyncio.Task[object] | None = None

        self.store = Store.open(config.store)
        self.durability = Durability(self.store)
        self.state = State.open(config.store)
        self.first_use = FirstUse(config.store)
        self.origins = Origins(config.store)
        self.writable = WritableCopies(config.store)
        self.reserve = Reserve(config.store)
        self.environments = Environments(config.store / INTERPRETERS)
        self.ready = ReadyTable(config.store / "replies")
        self.standing = Standing(self.store)
        self.transport = Transport(
            config.limits, environ, self._home, allow_hosts=config.allow_hosts, keyring=config.keyring
        )
        self.index = IndexClient(self.transport, config.limits, pages=config.store / "pages")
        self.workers = WorkerPool(config.workers)
        self.provider = Provider(
            config=config,
            store=self.store,
            first_use=self.first_use,
            transport=self.transport,
            index=self.index,
            fetcher=Fetcher(self.transport, config.limits),
            workers=self.workers,
            published=self.sync_soon,
        )
        self.selector = Selector(
            config=config,
            first_use=self.first_use,
            locks=LockCache(),
            files=FileFinder(self.index),
            settings=self._settings,
        )
        self.packer = Packer(self.store)
        self.direct = DirectRecords(self.store, self.packer, self.standing)
        self.realiser = Realiser(
            store=self.store,
            selector=self.selector,
            provider=self.provider,
            packer=self.packer,
            standing=self.standing,
            published=self.sync_soon,
            allow_startup=map(canonicalize_name, config.allow_startup),
            configuration=self.configuration,
        )
        self.following = Following(self.store, self.state.projects, self.environments, self.realiser)

    @functools.cached_property
    def caretaker(self) -> Caretaker:
        """Return who verifies the store; made when first asked for, from modules that nothing else needs."""
        from .caretaker import Caretaker
        from .inspecting import Inspector
        from .repairing import Repairer

        package = Path(virtual_sprawl.__path__[0])
        return Caretaker(
            store=self.store,
            inspector=Inspector(
                self.store,
                self.state,
                self.environments,
                client=self.realiser.client_digest,
                package=package,
            ),
            repairer=Repairer(
                store=self.store,
                state=self.state,
                origins=self.origins,
                first_use=self.first_use,
                provider=self.provider,
                client=self.realiser.client_digest,
                package=package,
                published=self.sync_soon,
                forget_sets=self.ready.forget_sets,
                pack_set=self.pack_set,
            ),
        )

    @functools.cached_property
    def scrubber(self) -> Scrubber:
        """Return who reads the store in idle time."""
        return Scrubber(
            self.store,
            lambda: self.caretaker,
            age_seconds=self.config.scrub_age,
            quiet=lambda: self.server.quiet_seconds,
            settings=lambda: self.settings_of({}),
            repair=self.config.scrub == "repair",
        )

    def stop(self) -> None:
        """Ask the daemon to stop, after the reply that is being made has been sent."""
        self.loop.call_soon(self.server.stop)

    def used(self, lock: str, digest: str) -> None:
        """Note that a lockfile's set was used; costs no I/O."""
        self.state.touch(Path(lock), digest, now=time.time())
        self._later("flush", FLUSH_DELAY_SECONDS, self._flush)

    def offer(self, request: bytes, ready: Ready) -> None:
        """Let the next start take this answer by itself, as soon as nothing is left to do for the set."""
        self.direct.offer(request, ready)
        self._later("direct", DIRECT_DELAY_SECONDS, self._write_direct)

    def record(self, request: bytes, ready: Ready) -> None:
        """Leave an answer on disk for clients without a daemon; nobody waits for that."""
        self._spawn(functools.partial(self.ready.record, request, ready))

    def sync_soon(self) -> None:
        """Make what was just published durable, soon and together with what follows. Thread-safe."""
        self.loop.call_soon_threadsafe(self._later, "sync", SYNC_DELAY_SECONDS, self.durability.make_durable)
        self.loop.call_soon_threadsafe(self._later, "trim", TRIM_DELAY_SECONDS, self._give_back)
        if self.config.has_budget:
            self.loop.call_soon_threadsafe(self._later, "gc", GC_DELAY_SECONDS, self._keep_budget)

    def expect_work(self) -> None:
        """Load what fetching and unpacking need, if nothing can be there yet; to go on beside a request."""
        if not any(self.store.entries()):
            self._own(self.loop.create_task(self.provider.prepare(self.config.workers)))

    def expect(self, python: str) -> None:
        """Get ready for a request with an interpreter that is new to the store."""
        self.expect_work()
        self._own(self.loop.create_task(self._expect(python)))

    async def _expect(self, python: str) -> None:
        environment = await self.environments.get(python)
        await asyncio.to_thread(self.realiser.compile_client, environment)

    def pack_set(self, digest: str, python: str) -> None:
        """Have the packs of a set made that an earlier daemon did not get to; `python` runs on it."""
        self._own(self.loop.create_task(self._pack_set(digest, python)))

    def lock_gave(self, lock: str, fields: Mapping[str, str]) -> None:
        """Lead the project links of a lockfile to what it gives now, which may be something new."""
        self._own(self.loop.create_task(self.following.lock_changed(Path(lock), fields)))

    def tidy(self) -> None:
        """Do at leisure what an earlier daemon left behind, and what comes round again and again."""
        if self.config.has_budget:
            self._later("gc", GC_DELAY_SECONDS, self._keep_budget)
        if self.config.scrub != "off":
            self._scrub = self.loop.create_task(self.scrubber.run())
            self._scrub.add_done_callback(self._done)
        self._spawn(self.store.empty_trash)
        self._spawn(self.reserve.make)
        self._own(self.loop.create_task(self.following.catch_up()))

    async def close(self) -> None:
        """End what runs, write what is only in memory."""
        for timer in self._timers.values():
            timer.cancel()
        if self._scrub is not None:
            self._scrub.cancel()
            await asyncio.wait([self._scrub])
        await self.realiser.close()
        await self.packer.close()
        await self.provider.close()
        await self.index.close()
        await self.workers.close()
        await self.transport.close()
        if self._chores:
            await asyncio.wait(self._chores)
        # What is volatile is trusted until the machine restarts; but that may be why the daemon stops.
        await asyncio.to_thread(self.durability.make_durable)
        await asyncio.to_thread(self.state.close)

    async def _pack_set(self, digest: str, python: str) -> None:
        environment = await self.environments.get(python)
        found = await asyncio.to_thread(read_references, self.store.set_path(digest))
        names = () if found is None else found.names
        self.packer.want(environment, [Digest(name) for name in names if is_name("wheels", name)])

    def learn_credentials(self, variables: Mapping[str, str]) -> bool:
        """Keep uv's variables with credentials, in memory; tell whether anything is new."""
        before = dict(self._told)
        self._told.update(variables)
        return self._told != before

    def settings_of(self, fields: Mapping[str, str]) -> IndexSettings:
        """Return the indexes that a request with these fields means; blocks."""
        return resolve_settings(fields, self.config, self._environ | self._told, self._home)

    def _settings(self, request: ResolveRequest) -> IndexSettings:
        return self.settings_of(request.fields)

    def _flush(self) -> None:
        if not self.state.flush() and self.reserve.drop_if_scarce():
            self.state.flush()

    def _write_direct(self) -> None:
        # Starts that ask nobody never name their lock again; it must outlive this daemon.
        if self.state.flush():
            self.direct.write()

    def _give_back(self) -> None:
        if self.server.busy:
            self.loop.call_soon_threadsafe(self._later, "trim", TRIM_DELAY_SECONDS, self._give_back)
        else:
            asyncio.run_coroutine_threadsafe(self.transport.rest(), self.loop).result()
            give_back()

    def _keep_budget(self) -> None:
        """Collect what is over the budget, unless somebody waits for an answer: then later."""
        if self.server.busy:
            self.loop.call_soon_threadsafe(self._later, "gc", GC_DELAY_SECONDS, self._keep_budget)
        else:
            from .storecommands import collect

            report = collect(self)
            log.info("gc by budget: %d sets, %d bytes", report["sets"], report["bytes"])

    def _later(self, name: str, delay: float, chore: Callable[[], object]) -> None:
        """Run a blocking chore in a thread after `delay` seconds, unless it is due already."""
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(delay, self._due, name, chore)

    def _due(self, name: str, chore: Callable[[], object]) -> None:
        del self._timers[name]
        self._spawn(chore)

    def _spawn(self, chore: Callable[[], object]) -> None:
        self._own(self.loop.create_task(asyncio.to_thread(chore)))

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A chore is tried again with the next change; meanwhile nothing is lost.
            log.warning("a background chore failed: %s", task.exception())
