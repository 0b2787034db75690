"""Package indexes: which files a project has, and where the files of a lock lie.

1. A pin that names its index is looked up there. Every other pin belongs to the first index that knows the
   project, the user's extra indexes before the default one: a private name that somebody else registers on a
   public index stays the private one's. A file missing there is never searched for on the user's other
   indexes, or whoever can publish a name there could supply it. Two exceptions: a file with a strong locked
   hash is that file wherever it lies, and indexes that the lock names itself are asked last.
2. An index that does not answer is an error too, not a reason to ask the next one.
3. A file with a strong locked hash is the same wherever and whenever it was listed, so any page seen before
   will do. For everything else a page is as old as its `max-age` allows, and then asked for again by ETag.
4. One request per page at a time, whoever waits for it.

Specifications: PEP 503, 691, 700 (simple repository API), RFC 9110 and 9111 (conditional requests, max-age).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from packaging.utils import canonicalize_name

from sprawld.errors import FetchError, PackageIndexError
from sprawld.singleflight import SingleFlight

from .filenames import of_version
from .hashes import agreement, is_strong, may_be_one_of
from .pages import ACCEPT, decompressed, fresh_seconds, parse_page
from .pagestore import PageStore, StoredPage
from .retry import with_retries
from .settings import default_index
from .transport import status_refusal
from .urls import redact, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from sprawld.config import Limits
    from sprawld.model import Artifact, Hash, IndexSettings, Pin

    from .pages import ProjectFile
    from .transport import Reply, Transport

__all__ = ["IndexClient"]

_log = logging.getLogger(__name__)

# Pages kept in memory, counted in files: about 3 MiB.
_FILES_IN_MEMORY: Final = 5_000
# Larger pages are parsed in a thread: 256 KiB of JSON take 3 ms, of HTML 25 ms.
_PARSED_IN_PLACE_BYTES: Final = 128 << 10
# Statuses of an exchange that ended, as opposed to refusals that say more about the cause.
_UNREACHABLE: Final = frozenset({"net.unreachable", "net.timeout", "net.truncated", "net.status"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Page:
    files: tuple[ProjectFile, ...]
    etag: str
    fresh_until: float
    """On the event loop's clock."""


class IndexClient:
    """Answers from project pages; `pages` is the directory that keeps them between runs, if any."""

    def __init__(self, transport: Transport, limits: Limits, *, pages: Path | None = None) -> None:
        self._transport = transport
        self._limits = limits
        self._store = None if pages is None else PageStore(pages)
        self._memory: OrderedDict[str, _Page] = OrderedDict()
        self._flights: SingleFlight[tuple[str, IndexSettings], _Page] = SingleFlight()
        self._unchanged = 0
        self._requested = 0

    async def close(self) -> None:
        """Cancel what is under way. The transport is left open."""
        await self._flights.close()

    def statistics(self) -> dict[str, int]:
        """Return pages held, pages asked for and pages that had not changed."""
        return {"held": len(self._memory), "requested": self._requested, "unchanged": self._unchanged}

    async def project(self, index_url: str, name: str, settings: IndexSettings) -> tuple[ProjectFile, ...]:
        """Return the files an index lists for a project.

        Raises PackageIndexError `index.not-found`, `.unauthorized`, `.unreachable`, `.malformed`, or the
        FetchError of a refusal (`net.host-refused`, `net.redirect-refused`, `net.tls`).
        """
        return await self.page(_page_url(index_url, name), name, settings)

    async def page(self, url: str, name: str, settings: IndexSettings) -> tuple[ProjectFile, ...]:
        """Return the files a page lists, of the project `name` or of any; raises as `project` does."""
        page = self._memory.get(url)
        if page is not None and page.fresh_until > asyncio.get_running_loop().time():
            self._memory.move_to_end(url)
            return page.files
        page = await self._flights.run((url, settings), lambda: self._refreshed(url, name, settings))
        return page.files

    async def locate(
        self, pin: Pin, artifact: Artifact, settings: IndexSettings, *, refresh: bool = False
    ) -> Artifact:
        """Return the artifact with the URL at which an index lists it, matched by file name and hash.

        The locked hashes stay as they are; without any, those of the index are taken over. `refresh` passes
        by pages seen before, for a URL that turned out to be gone. Raises PackageIndexError, see `project`,
        and `index.file-not-found`.
        """
        if artifact.url is not None or artifact.path is not None:
            return artifact
        indexes, settings = self._indexes(pin, settings)
        if not refresh and is_strong(artifact.hashes):
            for index in indexes:
                seen = await self._seen(_page_url(index, pin.name), pin.name)
                found = None if seen is None else _match(seen.files, artifact)
                if found is not None and agreement(found.hashes, artifact.hashes):
                    return found.locate(artifact)
        self.refuse_plain_http(indexes, artifact.hashes or pin.hashes, artifact.filename, settings)

        def find(index: str, files: tuple[ProjectFile, ...]) -> Artifact:
            found = _match(files, artifact)
            if found is None:
                _not_listed(artifact.filename, index, "does not list the file")
            if agreement(found.hashes, artifact.hashes) is False:
                _not_listed(artifact.filename, index, "lists a file of this name with another hash")
            return found.locate(artifact)

        free = indexes if is_strong((*artifact.hashes, *pin.hashes)) else pin.source.extra_indexes
        return await self._first_that_has(indexes, pin.name, settings, find, free)

    async def candidates(
        self, pin: Pin, settings: IndexSettings, *, refresh: bool = False
    ) -> tuple[Artifact, ...]:
        """Return the wheels and sdists an index lists for the version of a pin without file names.

        Files of a local version (`1.0+cpu` for `1.0`) count only where there is none of the version itself.
        With `pin.hashes`, files that the index shows to be others are left out; where it publishes no
        comparable hash, whoever fetches the file has to check (`Fetcher.fetch(any_of=...)`). With a strong
        hash pages seen before will do, unless `refresh` is set.
        """
        indexes, settings = self._indexes(pin, settings)
        self.refuse_plain_http(indexes, pin.hashes, pin.name, settings)

        def find(index: str, files: tuple[ProjectFile, ...]) -> tuple[Artifact, ...]:
            label = f"{pin.name} {pin.version}"
            fitting = of_version(files, pin.name, pin.version or "")
            if not fitting:
                _not_listed(label, index, "lists no file of this version")
            if pin.hashes:
                fitting = [file for file in fitting if may_be_one_of(file.hashes, pin.hashes)]
            if not fitting:
                _not_listed(label, index, "lists no file with a locked hash")
            return tuple(file.artifact() for file in fitting)

        if is_strong(pin.hashes) and not refresh:
            for index in indexes:
                seen = await self._seen(_page_url(index, pin.name), pin.name)
                with suppress(PackageIndexError):
                    return find(index, () if seen is None else seen.files)
        free = indexes if is_strong(pin.hashes) else pin.source.extra_indexes
        return await self._first_that_has(indexes, pin.name, settings, find, free)

    # --- which index

    def _indexes(self, pin: Pin, settings: IndexSettings) -> tuple[tuple[str, ...], IndexSettings]:
        """Return the indexes to ask, and the settings with the default filled in if it is one of them."""
        source = pin.source
        if source.index is not None and f"{source.index.rstrip('/')}/" != default_index():
            indexes: tuple[str, ...] = (source.index,)
        else:
            # A lock that names the public index means the one the user's settings may replace by a mirror.
            default = settings.default or default_index()
            settings = replace(settings, default=default)
            public = source.index is not None
            indexes = (default, *settings.extra) if public else (*settings.extra, default)
        return tuple(dict.fromkeys((*indexes, *source.extra_indexes))), settings

    async def _first_that_has(
        self,
        indexes: tuple[str, ...],
        name: str,
        settings: IndexSettings,
        find: Callable[[str, tuple[ProjectFile, ...]], T],
        free: Collection[str],
    ) -> T:
        """Return what `find` makes of the first index that has the file.

        `free` are indexes that may be asked for a file that an earlier index, which knows the project, lacks.
        """
        refusal: PackageIndexError | None = None
        for index in indexes:
            if refusal is not None and refusal.code == "index.file-not-found" and index not in free:
                continue
            try:
                return find(index, await self.project(index, name, settings))
            except PackageIndexError as error:
                if error.code not in ("index.not-found", "index.file-not-found"):
                    raise
                if refusal is None or error.code == "index.file-not-found":
                    refusal = error
        if refusal is not None and (len(indexes) == 1 or refusal.code == "index.file-not-found"):
            raise refusal
        shown = ", ".join(redact(index) for index in indexes)
        raise PackageIndexError("index.not-found", f"{name}: not a project of {shown}")

    def refuse_plain_http(
        self, indexes: tuple[str, ...], hashes: tuple[Hash, ...], label: str, settings: IndexSettings
    ) -> None:
        """Refuse to believe a page that anyone on the way could have written, unless hashes pin the file."""
        for index in indexes:
            if (
                index.startswith("http:")
                and not is_strong(hashes)
                and not self._transport.trusts(index, settings)
            ):
                raise FetchError(
                    "net.insecure", f"{label}: no hash pins it, and {redact(index)} is plain http"
                )

    # --- pages

    async def _seen(self, url: str, name: str) -> _Page | None:
        """Return a page from memory or disk, however old."""
        page = self._memory.get(url)
        if page is None and self._store is not None:
            stored = await asyncio.to_thread(self._store.read, url)
            page = None if stored is None else await self._restored(url, stored, name)
        return page

    async def _restored(self, url: str, stored: StoredPage, name: str) -> _Page | None:
        try:
            files = await self._parsed(stored, name)
        except PackageIndexError:
            return None
        return self._remember(url, _Page(files, stored.etag, 0.0))

    async def _refreshed(self, url: str, name: str, settings: IndexSettings) -> _Page:
        """Ask the index; a page that did not change is taken from memory or disk."""
        known = await self._seen(url, name)
        try:
            async with asyncio.timeout(self._limits.page_seconds):
                stored, fresh_seconds = await with_retries(
                    lambda: self._request(url, known.etag if known else "", settings), self._limits
                )
        except TimeoutError:
            late = f"{redact(url)}: the page did not arrive in {self._limits.page_seconds:g} seconds"
            raise PackageIndexError("index.unreachable", late) from None
        except FetchError as error:
            if error.code not in _UNREACHABLE:
                raise
            raise PackageIndexError("index.unreachable", error.message, hint=error.hint) from error
        fresh_until = asyncio.get_running_loop().time() + fresh_seconds
        if stored is None:
            assert known is not None
            self._unchanged += 1
            return self._remember(url, replace(known, fresh_until=fresh_until))
        page = _Page(await self._parsed(stored, name), stored.etag, fresh_until)
        if self._store is not None and stored.etag:
            await asyncio.to_thread(self._store.write, url, stored)
        return self._remember(url, page)

    async def _request(self, url: str, etag: str, settings: IndexSettings) -> tuple[StoredPage | None, float]:
        """Return the page, or None if it is still the one with `etag`, and the seconds it stays fresh."""
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        self._requested += 1
        async with self._transport.get(url, headers, settings) as reply:
            fresh = fresh_seconds(reply.headers.get("Cache-Control", ""))
            if reply.status == 304 and etag:
                return None, fresh
            if reply.status != 200:
                _refuse(reply, url)
            page = StoredPage(
                url=reply.url,
                type=reply.headers.get("Content-Type", ""),
                encoding=reply.headers.get("Content-Encoding", "").strip().lower(),
                etag=reply.headers.get("ETag", ""),
                body=await self._body(reply),
            )
        return page, fresh

    async def _body(self, reply: Reply) -> bytes:
        parts, size = [], 0
        while part := await reply.read():
            size += len(part)
            if size > self._limits.page_bytes:
                raise PackageIndexError(
                    "index.malformed", f"{redact(reply.url)}: more than {self._limits.page_bytes} bytes"
                )
            parts.append(part)
        return b"".join(parts)

    async def _parsed(self, page: StoredPage, name: str) -> tuple[ProjectFile, ...]:
        def parse() -> tuple[ProjectFile, ...]:
            body = decompressed(page.body, page.encoding, self._limits.page_bytes, page.url)
            return parse_page(body, page.type, page.url, name)

        if len(page.body) > _PARSED_IN_PLACE_BYTES or page.encoding:
            return await asyncio.to_thread(parse)
        return parse()

    def _remember(self, url: str, page: _Page) -> _Page:
        self._memory[url] = page
        self._memory.move_to_end(url)
        held = sum(len(kept.files) for kept in self._memory.values())
        while held > _FILES_IN_MEMORY and len(self._memory) > 1:
            _, dropped = self._memory.popitem(last=False)
            held -= len(dropped.files)
        return page


def _page_url(index_url: str, name: str) -> str:
    base = without_credentials(index_url)
    return f"{base}{'' if base.endswith('/') else '/'}{canonicalize_name(name)}/"


def _refuse(reply: Reply, url: str) -> NoReturn:
    shown = redact(url)
    if reply.status in (404, 410):
        raise PackageIndexError("index.not-found", f"{shown}: the index does not know the project")
    refusal = status_refusal(reply)
    if reply.status in (401, 403, 407):
        hint = getattr(refusal, "hint", "")
        raise PackageIndexError(
            "index.unauthorized", f"{shown}: the index answered {reply.status}", hint=hint
        )
    raise refusal


def _not_listed(label: str, index: str, what: str) -> NoReturn:
    raise PackageIndexError(
        "index.file-not-found",
        f"{label}: {redact(index)} {what}",
        hint="other indexes are not searched for a project that this one has",
    )


def _match(files: tuple[ProjectFile, ...], artifact: Artifact) -> ProjectFile | None:
    """Return the listed file of the artifact's name, the one with its hash if several have the name."""
    named = [file for file in files if file.filename == artifact.filename]
    return next((file for file in named if agreement(file.hashes, artifact.hashes)), next(iter(named), None))
