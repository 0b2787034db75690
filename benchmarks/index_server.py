"""A package index on 127.0.0.1 that serves one directory of wheels to every contender alike.

Run as a process of its own, `python -m benchmarks.index_server DIRECTORY PORT`: what it costs is on nobody's
bill. Files go out by sendfile. Specifications: PEP 503 (pages), PEP 691 (JSON), PEP 658 (metadata).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["main"]

JSON = "application/vnd.pypi.simple.v1+json"


class Index:
    """The wheels of a directory, each hashed once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pages: dict[str, list[dict[str, Any]]] = {}
        self.metadata: dict[str, bytes] = {}
        known = directory / "hashes.json"
        hashes: dict[str, str] = json.loads(known.read_text()) if known.exists() else {}
        for path in sorted(directory.glob("*.whl")):
            if path.name not in hashes:
                with path.open("rb") as file:
                    hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
            self._add(path, hashes[path.name])
        known.write_text(json.dumps(hashes))

    def _add(self, path: Path, digest: str) -> None:
        with zipfile.ZipFile(path) as wheel:
            (name,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = self.metadata[path.name] = wheel.read(name)
        project = re.sub(r"[-_.]+", "-", path.name.partition("-")[0]).lower()
        self.pages.setdefault(project, []).append(
            {
                "filename": path.name,
                "url": f"/files/{path.name}",
                "hashes": {"sha256": digest},
                "size": path.stat().st_size,
                "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
            }
        )

    def page(self, project: str, as_json: bool) -> bytes | None:
        """Return a project's page; None for a project without wheels."""
        files = self.pages.get(project)
        if files is None:
            return None
        if as_json:
            return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files}).encode()
        links = (
            f'<a href="{file["url"]}#sha256={file["hashes"]["sha256"]}" '
            f'data-core-metadata="sha256={file["core-metadata"]["sha256"]}">{file["filename"]}</a><br>'
            for file in files
        )
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    protocol_version = "HTTP/1.1"
    index: ClassVar[Index]

    def do_GET(self) -> None:
        """Send a page, a file or a file's metadata."""
        path = self.path.partition("?")[0]
        if path.startswith("/simple/"):
            as_json = JSON in self.headers.get("Accept", "")
            page = self.index.page(path.split("/")[2], as_json)
            if page is not None:
                return self._send(page, JSON if as_json else "text/html")
        elif path.startswith("/files/"):
            name = path.rpartition("/")[2]
            if name.endswith(".metadata") and name[:-9] in self.index.metadata:
                return self._send(self.index.metadata[name[:-9]], "text/plain")
            if name in self.index.metadata:
                return self._send_file(self.index.directory / name)
        return self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _send_file(self, path: Path) -> None:
        size = path.stat().st_size
        first, last = 0, size - 1
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if span:
            first, last = int(span[1]), min(int(span[2] or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command != "GET":
            return
        self.wfile.flush()
        with path.open("rb") as file:
            while first <= last:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, last + 1 - first)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Takes as many connections as contenders make at once."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""


def main() -> None:
    """Serve until killed; say so with one line when ready."""
    Handler.index = Index(Path(sys.argv[1]))
    server = Server(("127.0.0.1", int(sys.argv[2])), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
