"""Project pages kept on disk between runs of the daemon, so that an unchanged page is not sent again.

    <store>/pages/<sha256 of the URL>     a JSON line (url, type, encoding, etag), then the body as received

1. A cache and nothing else: whatever cannot be read, parsed or written is as good as absent.
2. Files appear by rename, are readable by their owner only, and together stay under a limit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PageStore", "StoredPage"]

_log = logging.getLogger(__name__)

# Some hundred projects: pages come compressed, the largest have a few hundred kilobytes.
_LIMIT_BYTES: Final = 64 << 20
_HEAD_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPage:
    """A page as it came from the index."""

    url: str
    """Where it came from, after redirects."""
    type: str
    encoding: str
    etag: str
    body: bytes


class PageStore:
    """The directory of pages; its calls block and belong into a thread."""

    def __init__(self, directory: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._directory = directory
        self._limit = limit_bytes
        # A first write looks at what earlier runs have left.
        self._written_since_trim = limit_bytes

    def read(self, page_url: str) -> StoredPage | None:
        """Return the page kept for a URL, or None."""
        try:
            with self._path(page_url).open("rb") as file:
                head = json.loads(file.readline(_HEAD_BYTES))
                body = file.read()
            if not all(isinstance(head[key], str) for key in ("url", "type", "encoding", "etag")):
                return None
            return StoredPage(
                url=head["url"], type=head["type"], encoding=head["encoding"], etag=head["etag"], body=body
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, page_url: str, page: StoredPage) -> None:
        """Keep a page; a full disk or a read-only store only costs the next run a download."""
        head = json.dumps({"url": page.url, "type": page.type, "encoding": page.encoding, "etag": page.etag})
        if len(head) >= _HEAD_BYTES:
            return
        path = self._path(page_url)
        staged = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(head.encode() + b"\n" + page.body)
            staged.replace(path)
        except OSError as error:
            _log.info("page not kept: %s", type(error).__name__)
            with suppress(OSError):
                staged.unlink()
            return
        self._written_since_trim += len(page.body)
        if self._written_since_trim > self._limit // 8:
            self._trim()

    def _trim(self) -> None:
        """Remove the pages written longest ago until the rest fits the limit."""
        self._written_since_trim = 0
        found = []
        for path in self._directory.iterdir():
            try:
                status = path.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self._limit
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _path(self, page_url: str) -> Path:
        return self._directory / hashlib.sha256(page_url.encode()).hexdigest()
