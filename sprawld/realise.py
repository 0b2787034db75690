"""The verb: a selection becomes a path set, everything missing brought in at once.

    selection -> which entries are missing -> provide them -> the set -> reply

1. Names are held from before the store is asked until the set is published, so gc cannot take an entry that
   this request has just found.
2. A reply is kept for the next request only if nothing it depends on changed while it was made.
3. What blocks runs in threads; this file only says what follows what.
4. Packs are asked for when the set is there, and nobody waits for them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import FetchError, SprawlError
from .given import GivenSets
from .hotpath import Ready, check_of
from .inturn import large_first, start_in_turn
from .model import PathSet
from .pathsets import startup
from .pathsets.bundle import ensure_bundles, plan_bundles
from .pathsets.clientcheck import record_bytecode
from .pathsets.clientcopy import COPY_NAME, compile_client_copy, ensure_client_copy, is_compiled
from .pathsets.distributions import entry_points_of
from .pathsets.older import OlderSets
from .pathsets.pathset import SetEntry, build_set, set_digest
from .pathsets.prefix import beside
from .progress import Tally, keep_reporting
from .selecting import overlays_of, packages_of, refuse_builds, settled
from .singleflight import SingleFlight
from .store.failpoints import failpoint
from .store.manifest import read_summary
from .store.references import read_references

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .hotpath import Check
    from .model import Choice, Digest, Environment, Selection
    from .pathsets.pack import Packer
    from .progress import Progress
    from .provide import Provider
    from .request import ResolveRequest
    from .selecting import Selected, Selector
    from .standing import Standing
    from .store.tree import Store

__all__ = ["Realiser"]

_PROVIDED_AT_ONCE = 256
"""More than are ever fetched at once."""
_ENTRIES_KEPT = 512
"""Summaries of entries; most take some 2 kB."""


class Realiser:
    """Makes path sets; one per daemon."""

    def __init__(
        self,
        *,
        store: Store,
        selector: Selector,
        provider: Provider,
        packer: Packer,
        standing: Standing,
        published: Callable[[], None],
        allow_startup: Iterable[str] = (),
        configuration: tuple[Check, ...] = (),
    ) -> None:
        """`allow_startup`: distributions whose start-up code runs beside that of `startup.ALLOWED`.

        `configuration`: the user's configuration file as it was read. Once it is another, no reply holds.
        """
        self._store = store
        self._selector = selector
        self._provider = provider
        self._packer = packer
        self._given = GivenSets(store, standing)
        self._published = published
        self._configuration = configuration
        self.allowed = startup.ALLOWED.union(allow_startup)
        self._sets: SingleFlight[str, PathSet] = SingleFlight()
        self._older = OlderSets(store.root / "sets")
        self._entries: dict[tuple[Digest, str], SetEntry] = {}
        """What manifests say; entries never change, and whether they are there is asked for each set."""
        self._compiling = threading.Lock()
        self.client_digest = ""
        """Of the copy that new sets link to."""

    def prepare_client(self) -> None:
        """Put the client files that sets link to into the store; blocks."""
        import virtual_sprawl

        self.client_digest = ensure_client_copy(self._store.root, Path(virtual_sprawl.__path__[0]))

    async def realise(
        self, request: ResolveRequest, environment: Environment, report: Callable[[Progress], None]
    ) -> tuple[Ready, bool] | None:
        """Return the reply and whether it may be kept; None without a lockfile above the start directory."""
        started = time.time_ns()
        selected = await self._selector.select(request, environment)
        if selected is None:
            return None
        again = await asyncio.to_thread(self._again, selected, request, started)
        if again is None:
            path_set, digests = await self._realise(selected, environment, request, report)
            reply = await asyncio.to_thread(self._reply, selected, request, path_set, started)
            self._given.keep(selected.twin, packages_of(selected.selection), path_set, digests)
        else:
            digests, reply = again
        # Once the reply is on its way: looking which packs there are takes as long as answering.
        asyncio.get_running_loop().call_soon(self._packer.want, environment, digests)
        return reply

    def _again(
        self, selected: Selected, request: ResolveRequest, started: int
    ) -> tuple[list[Digest], tuple[Ready, bool]] | None:
        """Return entries and reply of what an equal selection gave, if nothing is left to do for it."""
        given = self._given.get(selected.twin)
        if given is None:
            return None
        with self._store.holds.hold([given.path_set.digest]):
            if not self._given.stands(given):
                return None
            return given.digests, self._reply(selected, request, given.path_set, started)

    def _reply(
        self,
        selected: Selected,
        request: ResolveRequest,
        path_set: PathSet,
        started: int,
    ) -> tuple[Ready, bool]:
        """Return the reply and whether it may be kept; blocks."""
        checks = selected.checks()
        python = check_of(request.python)
        # The sign that the set still exists; this request may have made it just now.
        index = check_of(str(path_set.path / "index"))
        held = (*checks, python, index, *self._configuration)
        return Ready.of_set(path_set, held), settled((*checks, python), started)

    async def close(self) -> None:
        """Cancel what is under way."""
        await self._sets.close()

    async def _realise(
        self,
        selected: Selected,
        environment: Environment,
        request: ResolveRequest,
        report: Callable[[Progress], None],
    ) -> tuple[PathSet, list[Digest]]:
        choices = packages_of(selected.selection)
        refuse_builds(choices)
        known = await asyncio.to_thread(lambda: [*map(self._provider.known_digest, choices)])
        with self._store.holds.hold([*filter(None, known), self.client_digest]):
            digests = await self._provide(choices, known, selected, environment, request, report)
            # Some were known by another hash than sha256 until now.
            with self._store.holds.hold(digests):
                path_set = await self._path_set(choices, digests, environment, selected.selection)
        return path_set, digests

    async def _provide(
        self,
        choices: Sequence[Choice],
        known: Sequence[Digest | None],
        selected: Selected,
        environment: Environment,
        request: ResolveRequest,
        report: Callable[[Progress], None],
    ) -> list[Digest]:
        present = await asyncio.to_thread(
            lambda: [digest if digest and self._store.has_entry(digest) else None for digest in known]
        )
        missing = [choice for choice, digest in zip(choices, present, strict=True) if digest is None]
        if not missing:
            return [digest for digest in present if digest is not None]
        if request.offline:
            _refuse_offline(missing)
        brought = await self._bring(missing, selected, environment, report)
        return [
            digest if digest is not None else brought[choice.pin.name]
            for choice, digest in zip(choices, present, strict=True)
        ]

    async def _bring(
        self,
        missing: Sequence[Choice],
        selected: Selected,
        environment: Environment,
        report: Callable[[Progress], None],
    ) -> dict[str, Digest]:
        settings = await asyncio.to_thread(selected.settings)
        tally = Tally(total=len(missing))
        brought: dict[str, Digest] = {}

        async def provide(choice: Choice) -> None:
            brought[choice.pin.name] = await self._provider.provide(choice, settings, tally.transfers.append)
            tally.done += 1

        try:
            async with asyncio.TaskGroup() as all_of_it:
                reporting = all_of_it.create_task(keep_reporting(tally, report))
                async with asyncio.TaskGroup() as group:
                    # Here it costs no time, and its record waits for no disk that all the rest is written to.
                    group.create_task(asyncio.to_thread(self.compile_client, environment))
                    group.create_task(self._provider.prepare(len(missing), secure=_by_https(missing)))
                    jobs = (functools.partial(provide, choice) for choice in large_first(missing, _size))
                    await start_in_turn(group, jobs, _PROVIDED_AT_ONCE)
                reporting.cancel()
        except* SprawlError as refusals:
            refusal = _first(refusals)
        else:
            return brought
        # Not in the handler: Python before 3.11.4 would put it into a group again.
        raise refusal

    async def _path_set(
        self,
        choices: Sequence[Choice],
        digests: Sequence[Digest],
        environment: Environment,
        selection: Selection,
    ) -> PathSet:
        name = self.name_of(digests, environment, selection)
        return await self._sets.run(
            name, lambda: asyncio.to_thread(self._make, name, choices, digests, environment, selection)
        )

    def name_of(self, digests: Sequence[Digest], environment: Environment, selection: Selection) -> str:
        """Return the digest of the set of these entries."""
        overlays = overlays_of(selection)
        return set_digest(digests, environment, self.client_digest, overlays, self.allowed)

    def _make(
        self,
        name: str,
        choices: Sequence[Choice],
        digests: Sequence[Digest],
        environment: Environment,
        selection: Selection,
    ) -> PathSet:
        final = self._store.set_path(name)
        with self._store.holds.hold([name]):
            if not self._store.has_set(name) or self._lacks_bundles(final):
                self.compile_client(environment)
                entries = [self._entry(*pair) for pair in zip(choices, digests, strict=True)]
                plans = plan_bundles(entries, self._store.root)
                with self._store.holds.hold([plan.digest for plan in plans]):
                    bundles = ensure_bundles(self._store, plans)
                    if not self._store.has_set(name):
                        self._build(name, entries, bundles, environment, selection)
                    self._older.note(name, bundles)
                self._published()
            self._older.note(name, [*digests, self.client_digest, environment.executable])
            return PathSet(digest=name, path=final, index=(final / "index").read_bytes())

    def _lacks_bundles(self, path_set: Path) -> bool:
        """Tell whether somebody has deleted a bundle under a set."""
        found = read_references(path_set)
        return found is None or not all(map(self._store.has_bundle, found.bundles))

    def _build(
        self,
        name: str,
        entries: Sequence[SetEntry],
        bundles: Sequence[str],
        environment: Environment,
        selection: Selection,
    ) -> None:
        with self._store.staging("set-") as staged:
            build_set(
                staged,
                self._store.set_path(name),
                entries,
                environment,
                store_root=self._store.root,
                client_digest=self.client_digest,
                lock=selection.lock,
                overlays=overlays_of(selection),
                bundles=bundles,
                allowed=self.allowed,
                older=self._older,
            )
            failpoint("set.built")
            self._store.publish_set(staged, name)

    def _entry(self, choice: Choice, digest: Digest) -> SetEntry:
        key = digest, choice.pin.name
        known = self._entries.get(key)
        if known is not None:
            return known
        path = self._store.entry_path(digest)
        summary = read_summary(path / "manifest")
        entry = SetEntry(
            digest=digest,
            name=choice.pin.name,
            version=summary.version,
            summary=summary,
            beside=beside(os.fspath(path)),
            entry_points=entry_points_of(os.fspath(path), summary.dist_info),
        )
        if len(self._entries) >= _ENTRIES_KEPT:
            self._entries.clear()
        self._entries[key] = entry
        return entry

    def compile_client(self, environment: Environment) -> None:
        """Let an interpreter that is new to this client copy write its bytecode, once; blocks."""
        copy = self._store.client_path(self.client_digest) / COPY_NAME
        with self._compiling:
            if not is_compiled(copy, environment.cache_tag):
                compile_client_copy(environment.executable, copy)
                record_bytecode(copy.parent, environment.cache_tag)


def _size(choice: Choice) -> int:
    return (choice.artifact.size or 0) if choice.artifact else 0


def _by_https(choices: Sequence[Choice]) -> bool:
    """Tell whether some of the files are to be fetched by https, as far as that is known yet."""
    urls = (choice.artifact.url for choice in choices if choice.artifact and not choice.artifact.path)
    return any(url is None or url.startswith("https:") for url in urls)


def _first(refusals: BaseExceptionGroup[SprawlError]) -> SprawlError:
    for refusal in refusals.exceptions:
        if isinstance(refusal, BaseExceptionGroup):
            return _first(refusal)
        return refusal
    raise AssertionError("an exception group is never empty")


def _refuse_offline(missing: Sequence[Choice]) -> None:
    names = ", ".join(f"{choice.pin.name} {choice.pin.version}" for choice in missing)
    raise FetchError(
        "net.offline",
        f"not in the store, and --offline forbids fetching: {names}",
        hint="run once without it",
    )
