"""Artifacts: from a URL or a local path to a file in a staging directory whose size and hashes are right.

1. Nothing is returned, and nothing is left in the staging directory, unless every locked hash and the locked
   size hold for the whole file. sha256 is always computed.
2. What may pass is tried again (`retry`, `download`), anything else ends the matter.
3. The file's name comes from the lock, and a local file is copied: its owner may go on writing to it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sprawld.errors import FetchError, LockError
from sprawld.model import Digest, Hash, IndexSettings

from .download import Download
from .hashes import is_strong
from .retry import with_retries
from .slots import Slots
from .staged import StagedFile, disk_refusal
from .urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from sprawld.config import Limits
    from sprawld.model import Artifact

    from .transport import Transport

__all__ = ["Fetched", "Fetcher"]

_NO_SETTINGS: Final = IndexSettings()
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A whole and checked file in a staging directory, which belongs to the caller."""

    path: Path
    sha256: Digest
    size: int
    """Bytes."""


class Fetcher:
    """Brings artifacts here, `Limits.downloads` at a time and the largest first."""

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits
        self._slots = Slots(limits.downloads)
        self._files = 0
        self._bytes = 0

    def statistics(self) -> dict[str, int]:
        """Return files and bytes fetched since creation."""
        return {"files": self._files, "bytes": self._bytes}

    async def fetch(
        self,
        artifact: Artifact,
        staging_dir: Path,
        *,
        progress: Callable[[int], None] = lambda _: None,
        settings: IndexSettings = _NO_SETTINGS,
        any_of: tuple[Hash, ...] = (),
    ) -> Fetched:
        """Bring an artifact with a URL or a path to `staging_dir / artifact.filename`.

        `progress` is called with the number of bytes that arrived since its last call; the number is negative
        when a download starts over. `settings` name the user's indexes, for credentials and trusted hosts.
        Of the hashes `any_of`, if there are any, one must hold in addition to all of `artifact.hashes`.

        Raises FetchError, StoreError `disk.full` or `store.unwritable`.
        """
        name = artifact.filename
        if not name or name != Path(name).name or name == ".." or "\0" in name:
            raise LockError("lock.filename-mismatch", f"not a file name: {name!r}")
        file = _create(staging_dir / name, artifact, (*artifact.hashes, *any_of))
        try:
            if artifact.path is not None:
                await asyncio.to_thread(_copy, artifact.path, artifact, file)
                progress(file.size)
                _check(artifact, file, any_of)
            else:
                await self._download(artifact, file, progress, settings, any_of)
            fetched = Fetched(path=file.path, sha256=file.sha256(), size=file.size)
        except BaseException:
            file.close()
            file.path.unlink(missing_ok=True)
            raise
        file.close()
        self._files += 1
        self._bytes += fetched.size
        return fetched

    async def _download(
        self,
        artifact: Artifact,
        file: StagedFile,
        progress: Callable[[int], None],
        settings: IndexSettings,
        any_of: tuple[Hash, ...],
    ) -> None:
        url = artifact.url
        if url is None:
            raise AssertionError(f"{artifact.filename}: neither URL nor path; locate it first")
        if (
            url.startswith("http:")
            and not is_strong((*artifact.hashes, *any_of))
            and not self._transport.trusts(url, settings)
        ):
            raise FetchError(
                "net.insecure", f"{artifact.filename}: no hash pins it, and its URL is plain http"
            )
        download = Download(self._transport, self._limits, artifact, file, progress, settings)
        clock, left = asyncio.get_running_loop().time, self._limits.file_seconds

        async def attempt() -> None:
            nonlocal left
            # A pause between attempts holds no place.
            async with self._slots.taken(artifact.size or 0):
                begun = clock()
                try:
                    async with asyncio.timeout(left):
                        await download.attempt(url)
                except TimeoutError:
                    late = f"{redact(url)}: not here after {self._limits.file_seconds:g} seconds of transfer"
                    raise FetchError("net.timeout", late) from None
                finally:
                    left -= clock() - begun
                try:
                    _check(artifact, file, any_of)
                except FetchError as error:
                    raise download.distrust(error) from None

        await with_retries(attempt, self._limits)


def _check(artifact: Artifact, file: StagedFile, any_of: tuple[Hash, ...]) -> None:
    """Refuse a file whose size or content is not the locked one."""
    if artifact.size is not None and file.size != artifact.size:
        raise FetchError(
            "fetch.size-mismatch", f"{artifact.filename}: {file.size} bytes instead of {artifact.size}"
        )
    for wanted in artifact.hashes:
        if not file.has(wanted):
            _refuse_content(artifact, f"{wanted.algorithm} {wanted.value}")
    if any_of and not any(file.has(wanted) for wanted in any_of):
        _refuse_content(artifact, f"one of {len(any_of)} locked hashes")


def _refuse_content(artifact: Artifact, wanted: str) -> NoReturn:
    raise FetchError(
        "fetch.hash-mismatch",
        f"{artifact.filename}: the content does not have {wanted}",
        hint="the file changed on its host after it was locked, or it was tampered with",
    )


def _create(path: Path, artifact: Artifact, hashes: tuple[Hash, ...]) -> StagedFile:
    try:
        return StagedFile(path, hashes)
    except ValueError as error:
        # A hash nobody can check must not count as one that holds.
        raise FetchError(
            "fetch.hash-mismatch", f"{artifact.filename}: hash algorithm {str(error)[:40]!r} is not supported"
        ) from None
    except OSError as error:
        raise disk_refusal(error, path, artifact.size) from error


def _copy(source: Path, artifact: Artifact, file: StagedFile) -> None:
    """Copy a local file; it is not linked, for its owner may go on writing to it."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
        with os.fdopen(
            os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0
        ) as original:
            if not stat.S_ISREG(os.fstat(original.fileno()).st_mode):
                raise FetchError("fetch.unreadable", f"{source}: not a regular file")
            blocks: Any = iter(lambda: original.read(_BLOCK_BYTES), b"")
            for block in blocks:
                if artifact.size is not None and file.size + len(block) > artifact.size:
                    raise FetchError(
                        "fetch.size-mismatch", f"{source}: more than the locked {artifact.size} bytes"
                    )
                _write_block(file, block, artifact)
    except OSError as error:
        raise FetchError(
            "fetch.unreadable", f"{source}: {os.strerror(error.errno or errno.EIO).lower()}"
        ) from error


def _write_block(file: StagedFile, block: bytes, artifact: Artifact) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise disk_refusal(error, file.path, artifact.size) from error
