"""One download: the bytes of a URL into a staged file, over as many attempts as it takes.

1. It stops at the first byte beyond the locked or announced size.
2. The content is taken as it is stored on the host: a compressed transfer is refused, not undone.
3. A later attempt goes on where the last one stopped if the host named the content by a strong ETag, and only
   if it still has the same. What was kept is hashed again; anything odd starts the download over.

Specification: RFC 9110 (range requests 14, If-Range 13.1.5, Content-Encoding 8.4).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NoReturn

from sprawld.errors import FetchError
from sprawld.store.reserve import require_room

from .retry import Transient
from .staged import disk_refusal
from .transport import status_refusal
from .urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sprawld.config import Limits
    from sprawld.model import Artifact, IndexSettings

    from .staged import StagedFile
    from .transport import Reply, Transport

__all__ = ["Download"]

# Handed to a thread at once: large enough that the hand-over costs nothing beside hashing.
_BLOCK_BYTES: Final = 1 << 19
_FEW_PARTS: Final = 32
# Slower than this over the idle time counts as stalled.
_LOWEST_BYTES_PER_SECOND: Final = 1024


class Download:
    """What one download keeps between its attempts."""

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        artifact: Artifact,
        file: StagedFile,
        progress: Callable[[int], None],
        settings: IndexSettings,
    ) -> None:
        from aiofiles.threadpool import wrap

        self._transport = transport
        self._limits = limits
        self._artifact = artifact
        self._file = file
        self._writer = wrap(file)
        self._progress = progress
        self._settings = settings
        self._etag = ""
        """Of the content that the file has the beginning of; empty when it cannot be resumed."""
        self._total = artifact.size
        """Bytes of the whole file, as soon as somebody said it."""
        self._resumed = False

    async def attempt(self, url: str) -> None:
        """Receive the rest of the file, or all of it. Raises FetchError, StoreError or Transient."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self._file.size and not self._etag:
            self._restart()
        start = self._file.size
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self._etag}
        async with self._transport.get(url, headers, self._settings) as reply:
            if start and reply.status in (206, 416):
                await self._resume(reply, start)
            elif reply.status == 200:
                self._begin(reply)
            else:
                raise status_refusal(reply)
            await self._receive(reply)

    def distrust(self, error: FetchError) -> FetchError | Transient:
        """Return what to raise for a wrong file: one put together from two replies is tried again whole."""
        if not self._resumed:
            return error
        self._restart()
        return Transient(error)

    def _begin(self, reply: Reply) -> None:
        """Take a reply that carries the whole file."""
        if self._file.size:  # the host ignored the range, or the content is another one by now
            self._restart()
        self._refuse_encoding(reply)
        announced = _number(reply.headers.get("Content-Length"))
        self._total = self._agreed(reply, announced)
        if self._artifact.size is None and self._total is not None:
            # Of a size that the lock tells, whoever asked for the file has made sure before.
            require_room(self._file.path.parent, self._artifact.filename, self._total)
        etag = reply.headers.get("ETag", "")
        resumable = etag.startswith('"') and reply.headers.get("Accept-Ranges", "").strip().lower() == "bytes"
        self._etag = etag if resumable else ""

    async def _resume(self, reply: Reply, start: int) -> None:
        """Take a reply that carries the rest; whatever is odd about it starts the download over."""
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", reply.headers.get("Content-Range", "").strip())
        same = reply.headers.get("ETag", self._etag) == self._etag
        fits = match is not None and int(match[1]) == start
        if match is not None and self._total is not None:
            fits = fits and match[3] in ("*", str(self._total)) and int(match[2]) == self._total - 1
        if reply.status != 206 or not same or not fits:
            self._restart()
            raise Transient(FetchError("net.truncated", f"{redact(reply.url)}: the host cannot resume"))
        self._refuse_encoding(reply)
        self._resumed = True
        await asyncio.to_thread(self._file.rehash)

    def _refuse_encoding(self, reply: Reply) -> None:
        encoding = reply.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise FetchError(
                "net.encoding-refused",
                f"{redact(reply.url)}: sent as {encoding[:40]!r}, which was not asked for",
            )

    def _agreed(self, reply: Reply, announced: int | None) -> int | None:
        """Return the size of the whole file after comparing the lock with what the host announces."""
        locked = self._artifact.size
        if locked is None:
            if announced is not None and announced > self._limits.artifact_bytes:
                self._refuse_length(reply)
            return announced
        if announced is not None and announced > locked:
            self._refuse_length(reply)
        if announced is not None and announced < locked:
            raise FetchError(
                "fetch.size-mismatch",
                f"{self._artifact.filename}: {announced} bytes instead of {locked}",
                hint=_page_hint(reply),
            )
        return locked

    async def _receive(self, reply: Reply) -> None:
        limit = self._limits.artifact_bytes if self._total is None else self._total
        clock = asyncio.get_running_loop().time
        window_end, window_size = clock() + self._limits.idle_seconds, self._file.size
        held: list[bytes] = []
        size = self._file.size
        try:
            while part := await reply.read():
                size += len(part)
                if size > limit:
                    self._refuse_length(reply)
                held.append(part)
                self._progress(len(part))
                if size - self._file.size >= _BLOCK_BYTES:
                    await self._write(held)
                now = clock()
                if now > window_end:
                    if size - window_size < _LOWEST_BYTES_PER_SECOND * self._limits.idle_seconds:
                        raise Transient(FetchError("net.timeout", f"{redact(reply.url)}: too slow"))
                    window_end, window_size = now + self._limits.idle_seconds, size
        except Transient:
            # What arrived before the failure is what the next attempt goes on from.
            await self._write(held)
            raise
        await self._write(held)
        if self._total is not None and size < self._total:
            raise Transient(
                FetchError("net.truncated", f"{redact(reply.url)}: {size} of {self._total} bytes arrived")
            )

    async def _write(self, held: list[bytes]) -> None:
        # One block from a fast host comes in a few large parts, from a slow or strange one in thousands.
        parts = held if len(held) <= _FEW_PARTS else [b"".join(held)]
        try:
            await self._writer.writelines(parts)
        except OSError as error:
            raise disk_refusal(error, self._file.path, self._total) from error
        held.clear()

    def _restart(self) -> None:
        self._progress(-self._file.size)
        self._file.restart()
        self._etag = ""
        self._resumed = False

    def _refuse_length(self, reply: Reply) -> NoReturn:
        limit = self._artifact.size or self._total or self._limits.artifact_bytes
        raise FetchError(
            "net.too-large",
            f"{redact(reply.url)}: more than {limit} bytes",
            hint=_page_hint(reply),
        )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text.strip()) else None


def _page_hint(reply: Reply) -> str:
    if reply.headers.get("Content-Type", "").lower().startswith("text/html"):
        return "the host answered with a web page, as log-in and error pages are"
    return ""
