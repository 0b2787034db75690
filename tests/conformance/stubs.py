"""Empty distributions under the names of real files, so that a tool shows which of them it takes.

A tool tells the packages it selects, and seldom the files. But it fetches them: where every URL of a lock
leads to this server, and every hash is that of the empty wheel or sdist it serves under that name, the tool's
own choice is the list of names it asked for. Nothing is guessed about the tool, and nothing real is fetched.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import io
import lzma
import tarfile
import threading
import zipfile
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote

from tests.support.wheels import wheel_members, zip_bytes

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ARCHIVES", "StubServer", "stub", "stub_sha256"]

_BACKEND = """
import base64, hashlib, os, zipfile

NAME, VERSION = {name!r}, {version!r}
METADATA = "Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    stem = NAME.replace("-", "_").replace(".", "_") + "-" + VERSION
    info = stem + ".dist-info/"
    with zipfile.ZipFile(os.path.join(directory, stem + "-py3-none-any.whl"), "w") as wheel:
        wheel.writestr(info + "METADATA", METADATA % (NAME, VERSION))
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "".join(info + n + ",,\\n" for n in ("METADATA", "WHEEL", "RECORD")))
    return stem + "-py3-none-any.whl"
"""
_PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_SDIST_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
ARCHIVES = (".whl", *_SDIST_SUFFIXES)
"""How the names end for which there is a stub."""


@functools.lru_cache(maxsize=20_000)
def stub(filename: str) -> bytes:
    """Return an empty wheel or sdist of that name; sdists build without network and without dependencies."""
    if filename.endswith(".whl"):
        return _wheel(filename)
    suffix = next(suffix for suffix in _SDIST_SUFFIXES if filename.endswith(suffix))
    return _sdist(filename.removesuffix(suffix), suffix)


@functools.lru_cache(maxsize=100_000)
def stub_sha256(filename: str) -> str:
    """Return the hex digest of the stub of that name."""
    return hashlib.sha256(stub(filename)).hexdigest()


def _wheel(filename: str) -> bytes:
    name, version, *build, python, abi, platform = filename.removesuffix(".whl").split("-")
    # No package directory: thousands of stubs lie in one environment.
    return zip_bytes(wheel_members(name, version, {}, tag=f"{python}-{abi}-{platform}", build="".join(build)))


def _sdist(stem: str, suffix: str) -> bytes:
    name, _, version = stem.rpartition("-")
    members = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": _PYPROJECT,
        "backend.py": _BACKEND.format(name=name, version=version),
    }
    buffer = io.BytesIO()
    if suffix == ".zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, text in members.items():
                archive.writestr(zipfile.ZipInfo(f"{stem}/{path}"), text)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in members.items():
            entry = tarfile.TarInfo(f"{stem}/{path}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    content = buffer.getvalue()
    if suffix == ".tar.bz2":
        return bz2.compress(content)
    if suffix == ".tar.xz":
        return lzma.compress(content)
    return content if suffix == ".tar" else gzip.compress(content, mtime=0)


class StubServer:
    """Serves a stub for every name that is asked for below a case, on 127.0.0.1, from a thread of its own."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, None]] = defaultdict(dict)
        asked = self._asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Many small replies on one connection: do not wait to fill a packet.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                _, _, case, quoted = self.path.split("/", 3)
                asked[case][unquote(quoted)] = None
                self.wfile.write(self._head(unquote(quoted)))

            def do_HEAD(self) -> None:
                self._head(unquote(self.path.split("/", 3)[3]))

            def _head(self, filename: str) -> bytes:
                body = stub(filename)
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                return body

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, case: str, filename: str) -> str:
        """Return the URL of a stub; `case` is any word that keeps one run apart from others."""
        return f"http://127.0.0.1:{self._server.server_port}/stubs/{case}/{quote(filename)}"

    def take(self, case: str) -> tuple[str, ...]:
        """Return the names that were asked for in a case, in order, and forget them."""
        return tuple(self._asked.pop(case, ()))
