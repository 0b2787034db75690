"""One artifact into the store: locate, fetch, check, unpack, publish; once, however many wait for it.

1. A wheel is known by its sha256 from the moment the lock names it; until then by index, name and file name.
2. Nothing is unpacked before its size and hashes were checked, and nothing shows in the store before it
   was unpacked and checked whole.
3. A failure is reported to everybody who waits and leaves nothing behind; the next request tries again.
4. Where a wheel came from is recorded before its entry is published (`Origins`), so that `verify --repair`
   can fetch it once more.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from .acquire.slots import Slots
from .acquire.workers import UnpackJob
from .errors import FetchError
from .model import Artifact, Digest, Hash, IndexSettings, Pin, Source, digest_of
from .progress import Transfer
from .singleflight import SingleFlight
from .store import files
from .store.failpoints import failpoint
from .store.firstuse import Release
from .store.origins import Origin, Origins, manifest_digest
from .store.reserve import require_room
from .store.staging import Staging, to_the_end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from .acquire.fetch import Fetched, Fetcher
    from .acquire.index import IndexClient
    from .acquire.transport import Transport
    from .acquire.workers import WorkerPool
    from .config import Config
    from .model import Choice
    from .store.firstuse import FirstUse
    from .store.tree import Store

__all__ = ["Provider"]

ENTRY = "entry"
"""Beside the wheel, in its staging directory."""
WHEELS_AT_ONCE = 32
"""Fetched, waiting for a worker or unpacked; twice as many as are fetched at once."""


class Provider:
    """Brings artifacts into the store."""

    def __init__(
        self,
        *,
        config: Config,
        store: Store,
        first_use: FirstUse,
        transport: Transport,
        index: IndexClient,
        fetcher: Fetcher,
        workers: WorkerPool,
        published: Callable[[], None],
    ) -> None:
        self._config = config
        self._store = store
        self._staging = Staging(store)
        self._first_use = first_use
        self._transport = transport
        self._index = index
        self._fetcher = fetcher
        self._workers = workers
        self._published = published
        self._origins = Origins(store.root)
        self._places = Slots(WHEELS_AT_ONCE)
        self._flights: SingleFlight[str, Digest] = SingleFlight()
        self._transfers: dict[str, Transfer] = {}
        self.fetched = 0
        """Artifacts fetched and published since start."""
        self.fetched_bytes = 0

    def statistics(self) -> dict[str, int]:
        """Return counters for `status`."""
        return {
            "fetched": self.fetched,
            "fetched_bytes": self.fetched_bytes,
            "flights": self._flights.started,
            "joined": self._flights.joined,
        }

    def known_digest(self, choice: Choice) -> Digest | None:
        """Return the digest of the wheel if it is known before it is fetched; blocks."""
        artifact, pin = choice.artifact, choice.pin
        if artifact is None:
            return None
        known = _locked_digest(pin, artifact)
        if known is not None or artifact.hashes:
            return known
        return digest_of(self._as_first_used(_release(pin, artifact), artifact))

    async def provide(
        self, choice: Choice, settings: IndexSettings, watch: Callable[[Transfer], None]
    ) -> Digest:
        """Return the digest of the entry for this choice, bringing it in if it is not there.

        `watch` gets the transfer, if there is one.
        """
        artifact = choice.artifact
        assert artifact is not None
        known = _locked_digest(choice.pin, artifact)
        if known is None:
            known = await asyncio.to_thread(self.known_digest, choice)
        if known is not None and self._store.has_entry(known):
            return known
        key = known or f"{choice.pin.source.index}\n{choice.pin.name}\n{artifact.filename}\n{artifact.url}"
        return await self._fly(key, artifact, watch, lambda t: self._bring(choice, artifact, settings, t))

    async def prepare(self, count: int, *, secure: bool = False) -> None:
        """Load what fetching needs and start workers for `count` wheels; `secure`: some come by https."""
        await asyncio.gather(self._workers.warm(count), self._transport.prepare(secure=secure))

    async def provide_file(self, artifact: Artifact) -> Digest:
        """Bring in a wheel file that the user named."""
        none = IndexSettings()
        return await self._fly(
            f"file\n{artifact.path}",
            artifact,
            lambda transfer: None,
            lambda transfer: self._fetch_and_unpack(artifact, none, None, transfer),
        )

    async def stage_again(
        self, digest: Digest, origin: Origin, settings: IndexSettings, transfer: Transfer
    ) -> Path:
        """Bring a wheel that was here before into a directory that can be published as its entry.

        Its parent, a directory in tmp/, is the caller's. Raises what `provide` raises; the file has to have
        this very digest.
        """
        artifact = Artifact(
            filename=origin.filename,
            url=origin.url,
            path=Path(origin.path) if origin.path else None,
            hashes=(Hash(algorithm="sha256", value=digest),),
            size=origin.size,
        )
        pin = Pin(
            name=canonicalize_name(origin.name),
            version=origin.version,
            source=Source(kind="registry", index=origin.index),
        )
        staging = await self._stage(artifact)
        try:
            try:
                located = await self._index.locate(pin, artifact, settings)
                fetched = await self._fetch(located, staging, settings, pin, transfer)
            except FetchError:
                if origin.path:
                    raise
                # Moved, or recorded without the token that its address needs.
                bare = replace(artifact, url=None)
                located = await self._index.locate(pin, bare, settings, refresh=True)
                fetched = await self._fetch(located, staging, settings, pin, transfer)
            await self._unpack(fetched, staging, origin.filename)
        except BaseException:
            await self._staging.remove(staging)
            raise
        return staging / ENTRY

    async def close(self) -> None:
        """Cancel what is under way."""
        await self._flights.close()

    async def _fly(
        self,
        key: str,
        artifact: Artifact,
        watch: Callable[[Transfer], None],
        start: Callable[[Transfer], Coroutine[Any, Any, Digest]],
    ) -> Digest:
        transfer = self._transfers.setdefault(key, Transfer(artifact.filename, artifact.size or 0))
        watch(transfer)
        try:
            return await self._flights.run(key, lambda: start(transfer))
        finally:
            if key not in self._flights:
                self._transfers.pop(key, None)

    async def _bring(
        self, choice: Choice, artifact: Artifact, indexes: IndexSettings, transfer: Transfer
    ) -> Digest:
        pin = choice.pin
        if artifact.url is None and artifact.path is None:
            return await self._bring_from_index(pin, artifact, indexes, transfer)
        return await self._bring_located(pin, artifact, indexes, transfer)

    async def _bring_from_index(
        self, pin: Pin, artifact: Artifact, indexes: IndexSettings, transfer: Transfer
    ) -> Digest:
        located = await self._index.locate(pin, artifact, indexes)
        try:
            return await self._bring_located(pin, located, indexes, transfer)
        except FetchError as error:
            if error.code != "net.gone":
                raise
        # Where the file was the last time it was seen; the index may know where it is now.
        located = await self._index.locate(pin, artifact, indexes, refresh=True)
        return await self._bring_located(pin, located, indexes, transfer)

    async def _bring_located(
        self, pin: Pin, artifact: Artifact, indexes: IndexSettings, transfer: Transfer
    ) -> Digest:
        if artifact.hashes:
            return await self._fetch_and_unpack(artifact, indexes, pin, transfer)
        # Nothing pins this very file: the first answer is trusted, and held to from then on.
        release = _release(pin, artifact)
        artifact = await asyncio.to_thread(self._as_first_used, release, artifact)
        digest = await self._fetch_and_unpack(artifact, indexes, pin, transfer)
        artifact = replace(artifact, hashes=(Hash(algorithm="sha256", value=digest),))
        await asyncio.to_thread(self._first_use.remember, release, (artifact,))
        return digest

    def _as_first_used(self, release: Release, artifact: Artifact) -> Artifact:
        for known in self._first_use.recall(release) or ():
            if known.filename == artifact.filename:
                return replace(artifact, hashes=known.hashes)
        return artifact

    async def _fetch_and_unpack(
        self, artifact: Artifact, settings: IndexSettings, pin: Pin | None, transfer: Transfer
    ) -> Digest:
        # Without it every wheel of a lock would be staged before the first request is sent.
        async with self._places.taken(artifact.size or 0):
            return await self._fetch_and_publish(artifact, settings, pin, transfer)

    async def _fetch_and_publish(
        self, artifact: Artifact, settings: IndexSettings, pin: Pin | None, transfer: Transfer
    ) -> Digest:
        staging = await self._stage(artifact)
        try:
            failpoint("fetch.created")
            fetched = await self._fetch(artifact, staging, settings, pin, transfer)
            if self._store.has_entry(fetched.sha256):
                await self._staging.remove(staging)
            else:
                transfer.stage = "unpack"
                await self._unpack(fetched, staging, artifact.filename)
                failpoint("unpack.done")
                origin = _origin(artifact, pin, fetched.size)
                await to_the_end(lambda: self._publish(staging, fetched, origin))
        except BaseException:
            await self._staging.remove(staging)
            raise
        transfer.stage = "done"
        self.fetched += 1
        self.fetched_bytes += fetched.size
        return fetched.sha256

    async def _stage(self, artifact: Artifact) -> Path:
        """Return a directory in tmp/ for a wheel, with a directory ENTRY for what is unpacked from it."""

        def fill(path: Path) -> None:
            if artifact.size is not None:
                require_room(self._store.root, artifact.filename, artifact.size)
            with files.writing(f"the store {self._store.root}", path):
                (path / ENTRY).mkdir(0o700)

        return await self._staging.new("wheel-", fill)

    async def _fetch(
        self, artifact: Artifact, staging: Path, settings: IndexSettings, pin: Pin | None, transfer: Transfer
    ) -> Fetched:
        transfer.total = artifact.size or 0
        transfer.stage = "fetch"
        any_of = pin.hashes if pin else ()
        fetched = await self._fetcher.fetch(
            artifact, staging, progress=transfer.add, settings=settings, any_of=any_of
        )
        failpoint("fetch.checked")
        transfer.total = transfer.done = fetched.size
        return fetched

    async def _unpack(self, fetched: Fetched, staging: Path, filename: str) -> None:
        """Unpack a wheel into the directory ENTRY of its staging directory."""
        name = filename.partition("-")[0]
        await self._workers.unpack(
            UnpackJob(
                wheel=str(fetched.path),
                destination=str(staging / ENTRY),
                filename=filename,
                digest=fetched.sha256,
                boot_id=self._store.boot,
                size=fetched.size,
                allow_bad_record=canonicalize_name(name)
                in map(canonicalize_name, self._config.allow_bad_record),
                alone=len(self._flights.keys()) <= 1,
            )
        )

    def _publish(self, staging: Path, fetched: Fetched, origin: Origin) -> None:
        entry, digest = staging / ENTRY, fetched.sha256
        try:
            self._origins.record(digest, replace(origin, manifest=manifest_digest(entry)))
            failpoint("origin.recorded")
            self._store.publish_entry(entry, digest)
        finally:
            self._clear(staging, fetched.path)
        self._published()

    def _clear(self, staging: Path, wheel: Path) -> None:
        """Remove a staging directory, in which the wheel is all that is left as a rule."""
        try:
            wheel.unlink()
            staging.rmdir()
        except OSError:
            # By way of the trash, with six times as many system calls.
            self._staging.remove_now(staging)


def _origin(artifact: Artifact, pin: Pin | None, size: int) -> Origin:
    name, _, rest = artifact.filename.partition("-")
    return Origin(
        filename=artifact.filename,
        name=pin.name if pin else name,
        version=(pin and pin.version) or rest.partition("-")[0],
        size=size,
        url=artifact.url,
        index=pin.source.index if pin else None,
        path=str(artifact.path) if artifact.path else None,
    )


def _locked_digest(pin: Pin, artifact: Artifact) -> Digest | None:
    """Return the sha256 that the lock gives for the file, or as the only one for the release."""
    locked = [item.value for item in pin.hashes if item.algorithm == "sha256"]
    only = len(locked) == 1 and (artifact.hashes or len(pin.hashes) == 1)
    return digest_of(artifact) or (Digest(locked[0]) if only else None)


def _release(pin: Pin, artifact: Artifact) -> Release:
    """Return under which name the first use of a file that nothing pins is recorded."""
    source = pin.source.index or artifact.url or str(artifact.path)
    return Release(index=source, name=pin.name, version=pin.version or "")
