"""Origins: where each entry's wheel came from, so that a damaged entry can be fetched once more.

    origins/<sha256>.json    {"format", "filename", "name", "version", "size", "url", "index", "path", ...}

1. One small file per entry, written before the entry is published; so they do not depend on the state
   database, and an entry without one is the exception.
2. Nothing waits for the disk: the sync that makes the entry durable covers its record. A record that cannot
   be read is as good as none, because what is fetched by it has to have the entry's sha256 all the same.
3. Records hold no secrets: user names, passwords and queries are left out of addresses. Where a file cannot
   be had without them, the index is asked again, with the credentials that the user has configured.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import files, manifest, publication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sprawld.model import Digest

__all__ = ["Origin", "Origins", "manifest_digest"]

_FORMAT: Final = 1
_RECORD_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one wheel was found."""

    filename: str
    name: str
    """Project name as the lock or the file name gives it."""
    version: str
    size: int | None = None
    """Bytes of the wheel."""
    url: str | None = None
    """Without user name, password, query and fragment."""
    index: str | None = None
    """URL of the index that the lock names, as bare as `url`; None for the user's default one."""
    path: str | None = None
    """Absolute path, of a wheel that was a local file."""
    manifest: str | None = None
    """sha256 of the entry's manifest: what tells an edited manifest from an edited file."""


class Origins:
    """The directory `origins/` of the store `root`. Every method blocks for the disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "origins"
        self._staging = root / "tmp"

    def record(self, digest: Digest, origin: Origin) -> None:
        """Write where the wheel came from, in place of an earlier record.

        StoreError `disk.full` or `store.unwritable`.
        """
        content = {name: getattr(origin, name) for name in Origin.__slots__} | {
            "format": _FORMAT,
            "url": origin.url and files.without_secrets(origin.url),
            "index": origin.index and files.without_secrets(origin.index),
        }
        staged = self._staging / files.random_name("origin")
        with files.writing(f"the origin of {origin.filename}", self._staging):
            descriptor = os.open(staged, files.CREATE, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(json.dumps(content).encode("ascii"))
                self._move(staged, self._file(digest))
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged)
                raise

    def recall(self, digest: str) -> Origin | None:
        """Return the record of an entry; None when there is none, or none that can be read."""
        try:
            content = json.loads(files.read_small(self._file(digest), _RECORD_BYTES))
            if content.pop("format") != _FORMAT or not _is_sound(content):
                return None
            return Origin(**{key: content.get(key) for key in Origin.__slots__})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def forget(self, digest: str) -> None:
        """Drop the record of an entry that nobody needs any more."""
        self._file(digest).unlink(missing_ok=True)

    def sweep(self, keep: set[str], *, before: float) -> int:
        """Drop the records of everything but `keep` and return how many; for the time after a gc.

        Records written after `before` (seconds since the epoch) stay: their entries may be about to come.
        """
        gone = 0
        for digest in self._digests():
            with contextlib.suppress(FileNotFoundError):
                if digest not in keep and self._file(digest).lstat().st_mtime < before:
                    self.forget(digest)
                    gone += 1
        return gone

    def _move(self, staged: Path, final: Path) -> None:
        try:
            os.rename(staged, final)
        except FileNotFoundError:
            # A store that was made before there were origins, or that was removed under the daemon.
            self._path.mkdir(mode=0o700, exist_ok=True)
            os.rename(staged, final)

    def _digests(self) -> Iterator[str]:
        try:
            names = os.listdir(self._path)
        except FileNotFoundError:
            return
        for name in names:
            digest = name.removesuffix(".json")
            if publication.is_name("wheels", digest):
                yield digest

    def _file(self, digest: str) -> Path:
        return self._path / f"{digest}.json"


def manifest_digest(entry: Path) -> str | None:
    """Return the sha256 of the manifest in an entry's directory; None when it cannot be read."""
    try:
        with open(os.open(entry / manifest.NAME, files.READ), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _is_sound(content: dict[str, object]) -> bool:
    texts = all(isinstance(content[key], str) for key in ("filename", "name", "version"))
    maybe = all(isinstance(content.get(key), str | None) for key in ("url", "index", "path", "manifest"))
    filename = str(content["filename"])
    return (
        texts
        and maybe
        and isinstance(content.get("size"), int | None)
        # It becomes a file's name in tmp/.
        and filename == os.path.basename(filename)
        and filename not in ("", ".", "..")
        and "\0" not in filename
    )
