"""A real package index on 127.0.0.1 for tests: pages, artifacts, request counts and scripted faults.

The server runs in a thread with an event loop of its own, so that synchronous tests can use it too:

    with SimpleIndex([wheel]) as index:
        index.url                    # "http://127.0.0.1:PORT/simple/"
        index.file_url(wheel.name)   # absolute URL of an artifact
        index.requests               # Counter: path ("/simple/six/", "/files/six-1.0-...whl") -> requests
        index.script(index.file_path(wheel.name), status(503), truncated(1000), None)

A script gives the replies to the next requests for a path; tests/support/faults.py has the ways in which they
can be broken. `None` stands for the honest reply, and once the script is used up every reply is honest again,
unless `forever=True` repeats its last step.
Specifications: PEP 503, PEP 691, PEP 700 (pages); RFC 9110 (ranges, conditional requests).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
import threading
import zipfile
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from aiohttp import web

from .replies import FileReply, RawReply, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from .faults import Fault

__all__ = ["JSON_TYPE", "Seen", "SimpleIndex"]

JSON_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _File:
    path: Path
    project: str
    size: int
    sha256: str
    requires_python: str | None
    yanked: bool


async def _some_turns() -> None:
    """Let the loop handle what has already arrived: accept, connect, read, lose."""
    for _ in range(8):
        await asyncio.sleep(0)


class SimpleIndex:
    """The index; enter it as a context manager. `url` and the counters can be used from any thread.

    `html` serves PEP 503 pages only; `hashes=False` leaves the hashes out of the pages; `sizes=False` the
    sizes; `absolute` writes absolute artifact URLs; `tls` serves https. `auth`, when set to (user, password),
    is asked for on every path that starts with `auth_prefix`.
    """

    def __init__(
        self,
        wheels: Iterable[Path] = (),
        html: bool = False,
        hashes: bool = True,
        *,
        sizes: bool = True,
        absolute: bool = False,
        tls: ssl.SSLContext | None = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        self.html = html
        self.hashes = hashes
        self.sizes = sizes
        self.absolute = absolute
        self.auth = auth
        self.auth_prefix = "/"
        self.api_version = "1.1"
        self.page_headers: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.log: list[Seen] = []
        self.stalled = threading.Event()
        """Set while a reply is stalled: tells a test that the client is now waiting."""
        self._tls = tls
        self._files: dict[str, _File] = {}
        self._pages: dict[str, tuple[bytes, str]] = {}
        self._scripts: dict[str, tuple[deque[Fault | None], bool]] = {}
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._released = asyncio.Event()
        self._port = 0
        for wheel in wheels:
            self.add(wheel)

    def __enter__(self) -> Self:
        # Not before: an index that is made and never entered would leave its loop open.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="index", daemon=True)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The index URL; ends with `/simple/`."""
        return f"{self.origin}/simple/"

    def file_path(self, filename: str) -> str:
        """Path of an artifact, the key of `requests` and `script`."""
        return f"/files/{filename}"

    def file_url(self, filename: str) -> str:
        """Absolute URL of an artifact."""
        return self.origin + quote(self.file_path(filename))

    def page_path(self, project: str) -> str:
        """Path of a project page, the key of `requests` and `script`."""
        return f"/simple/{_normalised(project)}/"

    def sha256(self, filename: str) -> str:
        """Hex digest of an artifact's true content."""
        return self._files[filename].sha256

    def add(
        self, path: Path, *, project: str | None = None, sha256: str | None = None, yanked: bool = False
    ) -> None:
        """Offer a file; `project` and `sha256` override what the page would say of it."""
        content = path.read_bytes()
        self._files[path.name] = _File(
            path=path,
            project=_normalised(project or re.split(r"-(?=\d)", path.name, maxsplit=1)[0]),
            size=len(content),
            sha256=sha256 or hashlib.sha256(content).hexdigest(),
            requires_python=_requires_python(path),
            yanked=yanked,
        )

    def remove(self, filename: str) -> None:
        """Take a file off its page and answer 404 for it."""
        del self._files[filename]

    def set_page(self, project: str, body: bytes | str, content_type: str = JSON_TYPE) -> None:
        """Serve `body` as the page of a project, whatever it is."""
        self._pages[_normalised(project)] = (body.encode() if isinstance(body, str) else body, content_type)

    def script(self, path: str, *steps: Fault | None, forever: bool = False) -> None:
        """Set the replies to the next requests for `path`; `forever` repeats the last one."""
        self._scripts[path] = (deque(steps), forever)

    def release(self) -> None:
        """Let stalled replies, present and future, go on."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def _start(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner

    async def _stop(self) -> None:
        self._released.set()
        for site in self._runner.sites:
            await site.stop()
        # A connection that was accepted in the last moment has to be known before all are closed.
        await _some_turns()
        await self._runner.cleanup()
        await _some_turns()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests[path] += 1
        self.log.append(Seen(request.method, path, dict(request.headers)))
        if not self._authorised(request):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="index"'})
        fault = self._next_fault(path)
        reply = self._honest(request, path)
        if fault is not None:
            return RawReply(request, reply, fault, self._released, self.stalled)
        if reply.status != 200 or not reply.file:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        return FileReply(request, reply)

    def _authorised(self, request: web.Request) -> bool:
        if self.auth is None or not request.path.startswith(self.auth_prefix):
            return True
        wanted = "Basic " + base64.b64encode(":".join(self.auth).encode()).decode()
        return request.headers.get("Authorization") == wanted

    def _next_fault(self, path: str) -> Fault | None:
        steps, forever = self._scripts.get(path, (None, False))
        if not steps:
            return None
        return steps[0] if forever and len(steps) == 1 else steps.popleft()

    def _honest(self, request: web.Request, path: str) -> Reply:
        if path.startswith("/files/"):
            found = self._files.get(path.removeprefix("/files/"))
            if found is not None:
                headers = {"ETag": f'"{found.sha256[:20]}"', "Accept-Ranges": "bytes"}
                return Reply(headers=headers, file=found.path, size=found.size)
        elif path.startswith("/simple/"):
            page = self._page(path.removeprefix("/simple/").rstrip("/"), request.headers.get("Accept", ""))
            if page is not None:
                body, content_type = page
                etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
                headers = {"Content-Type": content_type, "ETag": etag, **self.page_headers}
                if request.headers.get("If-None-Match") == etag:
                    return Reply(status=304, headers=headers)
                return Reply(headers=headers, body=body, size=len(body))
        return Reply(status=404, headers={"Content-Type": "text/plain"}, body=b"not here\n", size=9)

    def _page(self, project: str, accept: str) -> tuple[bytes, str] | None:
        if project in self._pages:
            return self._pages[project]
        files = [file for file in self._files.values() if file.project == project]
        if not files:
            return None
        if self.html or JSON_TYPE not in accept:
            return self._html_page(project, files).encode(), "text/html; charset=utf-8"
        document = {
            "meta": {"api-version": self.api_version},
            "name": project,
            "versions": [],
            "files": [self._json_file(file) for file in files],
        }
        return json.dumps(document).encode(), JSON_TYPE

    def _url_on_page(self, file: _File) -> str:
        return self.file_url(file.path.name) if self.absolute else f"../../files/{quote(file.path.name)}"

    def _json_file(self, file: _File) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "filename": file.path.name,
            "url": self._url_on_page(file),
            "hashes": {"sha256": file.sha256} if self.hashes else {},
            "yanked": file.yanked,
        }
        if self.sizes:
            entry["size"] = file.size
        if file.requires_python is not None:
            entry["requires-python"] = file.requires_python
        return entry

    def _html_page(self, project: str, files: list[_File]) -> str:
        lines = [
            f'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="{self.api_version}">'
        ]
        lines.append(f"<title>Links for {html.escape(project)}</title></head><body>")
        for file in files:
            link = self._url_on_page(file) + (f"#sha256={file.sha256}" if self.hashes else "")
            attributes = (
                f' data-requires-python="{html.escape(file.requires_python)}"' if file.requires_python else ""
            )
            attributes += ' data-yanked=""' if file.yanked else ""
            lines.append(f'<a href="{html.escape(link)}"{attributes}>{html.escape(file.path.name)}</a><br/>')
        return "\n".join([*lines, "</body></html>", ""])


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requires_python(path: Path) -> str | None:
    """Return Requires-Python of a wheel; None for anything else, sound or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            match = re.search(r"^Requires-Python: *(.+)$", archive.read(name).decode(), re.MULTILINE)
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, NotImplementedError):
        return None
    return match[1].strip() if match else None
