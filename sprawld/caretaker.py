"""`verify` from its first look to the last repair: what is looked at, in which order, what the reply says.

    state -> entries -> bundles -> sets -> client copies -> packs    each: look, repair if asked, look again

1. Entries come before sets, because a set can only be compared with what its entries would give.
2. One verify at a time; it goes on beside requests, and ends when its client goes away.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any, TypeVar

from .findings import Finding, is_sound, sample, settle
from .model import Digest
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from .findings import Level
    from .inspecting import Inspector
    from .model import IndexSettings
    from .repairing import Repairer
    from .store.tree import Store

__all__ = ["Caretaker"]

_T = TypeVar("_T")


class Caretaker:
    """Verifies and repairs the store."""

    def __init__(self, *, store: Store, inspector: Inspector, repairer: Repairer) -> None:
        self._store = store
        self._inspector = inspector
        self._repairer = repairer
        self._one_at_a_time = asyncio.Lock()

    async def verify(
        self,
        level: Level,
        *,
        repair: bool,
        offline: bool,
        settings: Callable[[], IndexSettings],
        report: Callable[[Progress], None],
    ) -> dict[str, Any]:
        """Look at everything and return the document of the reply; with `repair` mend what can be mended.

        settings: the index settings of the request, asked for only when something has to be fetched.
        """
        async with self._one_at_a_time:
            run = _Run(self._store, self._inspector, self._repairer, repair, offline, settings, report)
            await run.state()
            await run.entries(level)
            await run.bundles()
            await run.sets()
            await run.clients()
            await run.packs()
        return {
            "level": level,
            "repair": repair,
            "sound": is_sound(run.findings),
            "checked": run.checked,
            "problems": [finding.document() for finding in run.findings],
        }

    async def look_at(
        self,
        kind: str,
        name: str,
        damaged: set[str],
        *,
        pool: Executor,
        repair: bool,
        settings: Callable[[], IndexSettings],
    ) -> tuple[list[Finding], int]:
        """Look at one thing to its last byte; return what was found, and how many bytes were read.

        kind: "wheels" (with the packs of that entry), "bundles", "sets" or "client". damaged: entries that
        are known not to be sound. pool: where the reading is done.
        """
        async with self._one_at_a_time:
            run = _Run(
                self._store, self._inspector, self._repairer, repair, False, settings, lambda _: None, pool
            )
            run.damaged = damaged
            if kind == "wheels":
                await run.entry(Digest(name), True)
                await run.packs(name)
            elif kind == "bundles":
                await run.bundle(name)
            elif kind == "sets":
                await run.set(name)
            else:
                await run.client(name)
        size = await asyncio.to_thread(self._store.packs.bytes_of, name) if kind == "wheels" else 0
        return run.findings, run.checked["bytes"] + size


class _Run:
    """One verify."""

    def __init__(
        self,
        store: Store,
        inspector: Inspector,
        repairer: Repairer,
        repair: bool,
        offline: bool,
        settings: Callable[[], IndexSettings],
        report: Callable[[Progress], None],
        pool: Executor | None = None,
    ) -> None:
        self.findings: list[Finding] = []
        self.checked = dict.fromkeys(
            ("entries", "hashed", "bytes", "bundles", "sets", "stale", "unchecked", "clients", "packs"), 0
        )
        self._store = store
        self._inspector = inspector
        self._repairer = repairer
        self._repair = repair
        self._offline = offline
        self._settings = settings
        self._report = report
        self._pool = pool
        self.damaged: set[str] = set()
        self._digests: list[Digest] = []
        self._hashed: set[str] = set()

    async def state(self) -> None:
        """Look at the database."""
        found = await asyncio.to_thread(self._inspector.state)
        if found and self._repair and self._offline:
            settle(found, "offline", "nothing is set aside with --offline")
        elif found and self._repair:
            await asyncio.to_thread(self._repairer.state, found)
        self.findings += found

    async def entries(self, level: Level) -> None:
        """Look at every entry, and at the contents of those that the level asks for."""
        digests = await asyncio.to_thread(self._inspector.digests)
        chosen: set[str] = {*digests} if level == "all" else set()
        if level == "sample":
            chosen = sample(digests, time.time())
        self._digests, self._hashed = digests, chosen
        for done, digest in enumerate(digests):
            title = await asyncio.to_thread(self._inspector.title, digest)
            self._report(
                Progress(
                    stage="verify",
                    done=done,
                    total=len(digests),
                    bytes_done=self.checked["bytes"],
                    name=title,
                )
            )
            await self.entry(digest, digest in chosen)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def entry(self, digest: Digest, contents: bool) -> None:
        """Look at one entry."""
        found = await self._in_thread(lambda: self._inspector.entry(digest, contents=contents))
        self.checked["entries"] += 1
        if contents:
            self.checked["hashed"] += 1
            self.checked["bytes"] += await asyncio.to_thread(self._store.entry_bytes, digest)
        if not found:
            return
        self.findings += found
        if self._repair:
            self._report(Progress(stage="repair", name=found[0].package))
            await self._repairer.entry(digest, found, self._settings, offline=self._offline)
            self.findings += await self._look_again(
                found, lambda: self._inspector.entry(digest, contents=contents)
            )
        if not is_sound(finding for finding in self.findings if finding.name == digest):
            self.damaged.add(digest)

    async def bundles(self) -> None:
        """Look at every bundle whose entries are sound."""
        for name in await asyncio.to_thread(lambda: sorted(self._store.bundles())):
            await self.bundle(name)

    async def bundle(self, name: str) -> None:
        """Look at one bundle."""
        found = await self._in_thread(lambda: self._inspector.bundle(name, self.damaged))
        self.checked["bundles"] += 1
        self.findings += found
        if found and self._repair:
            await self._repairer.bundle(name, found, offline=self._offline)

    async def sets(self) -> None:
        """Look at every set whose entries are sound."""
        for name in await asyncio.to_thread(lambda: sorted(self._store.sets())):
            await self.set(name)

    async def set(self, name: str) -> None:
        """Look at one set."""
        found, condition = await self._inspector.set(name, self.damaged)
        self.checked["sets"] += condition != "gone"
        self.checked["stale"] += condition == "stale"
        self.checked["unchecked"] += condition == "unchecked" and not found
        self.findings += found
        if found and self._repair:
            await self._repairer.set(name, found, offline=self._offline)

    async def clients(self) -> None:
        """Look at every client copy."""
        for digest in await asyncio.to_thread(lambda: sorted(self._store.clients())):
            await self.client(digest)

    async def client(self, digest: str) -> None:
        """Look at one client copy."""
        look = functools.partial(self._inspector.client, digest)
        found = await self._in_thread(look)
        self.checked["clients"] += 1
        self.findings += found
        if found and self._repair:
            await self._repairer.client(digest, found, offline=self._offline)
            self.findings += await self._look_again(found, look)

    async def packs(self, of: str = "") -> None:
        """Look at every pack, or those of one entry, at the contents of those whose entries were hashed."""
        one = {of} if of else set()
        digests, hashed = {*self._digests} | one, self._hashed | one

        def look() -> list[Finding]:
            return self._inspector.packs(digests, hashed=hashed, of=of)

        self.checked["packs"] = len(await asyncio.to_thread(self._store.packs.all))
        found = await self._in_thread(look)
        self.findings += found
        if found and self._repair:
            await self._repairer.packs(found, offline=self._offline)
            self.findings += await self._look_again(found, look)

    async def _look_again(self, found: list[Finding], look: Callable[[], list[Finding]]) -> list[Finding]:
        """Return what is wrong after a repair that says it was one, so that no word is taken for it."""
        if not is_sound(found):
            return []
        return await asyncio.to_thread(look)
