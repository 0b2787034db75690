"""Packs are made here: in the background, one process at a time, by the interpreter that will use them.

1. Nobody waits for a pack. What is wanted is noted, and made at the lowest priority when there is time.
2. The builder (`_packer`) reads entries and writes into tmp/; its work is published by the daemon, which
   knows whether the entry is still there.
3. What could not be made once is not tried again by this daemon: a pack only saves time. Where the disk had
   no room it is: everything that is wanted waits RETRY_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import SprawlError, StoreError
from sprawld.store.manifest import read_summary
from sprawld.store.staging import Staging

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Iterable

    from sprawld.model import Digest, Environment
    from sprawld.store.tree import Store

__all__ = ["Packer", "builder_command", "builder_environ", "pack_tag"]

_LOG = logging.getLogger(__name__)

BUILD_SECONDS: Final = 900.0
"""The largest wheels known take a minute; a builder that hangs must not keep the others from being made."""

RETRY_SECONDS: Final = 300.0
"""A disk that was full is looked at again after this long."""

END_SECONDS: Final = 5.0
"""How long something that escaped the kill may keep the builder's pipe open."""

CATALOGUE_FILES: Final = 4000
"""Entries with more files come last: they are catalogues of which a program imports a few."""

_SITE_PACKAGES: Final = "lib/python/site-packages"
_PROGRAM: Final = Path(__file__).with_name("_packer.py")


def pack_tag(environment: Environment) -> str:
    """Return the name of the directory below `packs/` that the finder of this interpreter looks into.

    The suffix of extension modules tells more than the cache tag, which may be the same with and without GIL.
    """
    suffix = environment.module_suffixes[0]
    return suffix[1:].removesuffix(".so") if suffix.endswith(".so") else environment.cache_tag


def builder_command(environment: Environment) -> list[str]:
    """Return the command that builds packs for an interpreter; to be run in `/` with `builder_environ`.

    What -I would add to these options is to ignore the environment, and with it the seed of hashes: then the
    bytes of a pack would differ from run to run before Python 3.11. Only root can put a module into `/`.
    """
    program = _PROGRAM.read_text(encoding="utf-8")
    return [environment.executable, "-s", "-S", "-B", "-X", "utf8", "-W", "ignore", "-c", program]


def builder_environ() -> dict[str, str]:
    """Return the whole environment of a builder: nothing of the daemon's reaches it."""
    return {"PATH": os.defpath, "PYTHONHASHSEED": "0"}


class Packer:
    """Makes packs for one store; belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._staging = Staging(store)
        self._wanted: dict[tuple[str, Digest], Environment] = {}
        self._failed: set[tuple[str, Digest]] = set()
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False
        self._built = self._built_bytes = 0

    def want(self, environment: Environment, entries: Iterable[Digest]) -> None:
        """Have packs made of these entries where there are none; returns at once."""
        tag = pack_tag(environment)
        for digest in entries:
            if (tag, digest) not in self._failed:
                self._wanted.setdefault((tag, digest), environment)
        self._go_on()

    def _go_on(self) -> None:
        if self._wanted and self._task is None and self._retry is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def _try_again(self) -> None:
        self._retry = None
        self._go_on()

    def is_wanted(self, entries: Iterable[str]) -> bool:
        """Tell whether a pack of one of these entries is still to be made. Thread-safe."""
        return not {digest for _, digest in tuple(self._wanted)}.isdisjoint(entries)

    async def close(self) -> None:
        """Stop what is under way and wait for its end; what is still wanted is asked for again some day."""
        self._closed = True
        self._wanted.clear()
        if self._retry is not None:
            self._retry.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def idle(self) -> None:
        """Wait until nothing is wanted any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    def statistics(self) -> dict[str, int]:
        """Return counters for `status`: since the daemon started, and how many are still to be made."""
        return {
            "built": self._built,
            "built_bytes": self._built_bytes,
            "failed": len(self._failed),
            "waiting": len(self._wanted),
        }

    async def _work(self) -> None:
        try:
            while self._wanted:
                environment = next(iter(self._wanted.values()))
                tag = pack_tag(environment)
                digests = [digest for known, digest in self._wanted if known == tag]
                missing = await asyncio.to_thread(self._missing, tag, digests)
                for digest in set(digests).difference(missing):
                    self._wanted.pop((tag, digest), None)
                if missing:
                    await self._build_all(environment, tag, missing)
        except (OSError, SprawlError) as error:
            _LOG.warning("packs are not made: %s", error)
            if isinstance(error, StoreError) and error.code == "disk.full":
                loop = asyncio.get_running_loop()
                self._retry = loop.call_later(RETRY_SECONDS, self._try_again)
            else:
                self._failed.update(self._wanted)
                self._wanted.clear()
        finally:
            self._task = None

    def _missing(self, tag: str, digests: Iterable[Digest]) -> list[Digest]:
        """Return the entries without a pack, what takes longest to import first, as far as that shows."""
        missing = [
            digest
            for digest in digests
            if self._store.has_entry(digest) and not self._store.packs.has(tag, digest)
        ]
        files = {digest: self._count_files(digest) for digest in missing}
        return sorted(missing, key=lambda digest: (files[digest] > CATALOGUE_FILES, -files[digest]))

    def _count_files(self, digest: Digest) -> int:
        try:
            return read_summary(self._store.entry_path(digest) / "manifest").files
        except StoreError:
            return 0

    async def _build_all(self, environment: Environment, tag: str, digests: Iterable[Digest]) -> None:
        process = await asyncio.create_subprocess_exec(
            *builder_command(environment),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=builder_environ(),
            cwd="/",
            # Its forks are to be reached, too.
            start_new_session=True,
        )
        try:
            for digest in digests:
                answer = await self._build(process, tag, digest)
                if answer == "full":
                    raise StoreError("disk.full", f"{self._store.root}: no room for packs")
                self._wanted.pop((tag, digest), None)
                if answer != "done":
                    _LOG.warning("wheels/%s: no pack for %s: %s", digest, tag, answer)
                    self._failed.add((tag, digest))
                if answer in ("", "late"):  # it died or hangs; the rest gets another one
                    break
        finally:
            await asyncio.shield(_end(process))

    async def _build(self, process: Process, tag: str, digest: Digest) -> str:
        """Have one pack made and publish it; return the builder's answer."""
        assert process.stdin is not None
        assert process.stdout is not None
        staged = await self._staging.new("pack")
        try:
            source = self._store.entry_path(digest) / _SITE_PACKAGES
            process.stdin.write(os.fsencode(source) + b"\t" + os.fsencode(staged / "pack") + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
            async with asyncio.timeout(BUILD_SECONDS):
                answer = (await process.stdout.readline()).decode("ascii", "replace").strip()
            if answer == "done":
                size = (staged / "pack").stat().st_size
                if await asyncio.to_thread(self._store.publish_pack, staged / "pack", tag, digest):
                    self._built += 1
                    self._built_bytes += size
            return answer
        except TimeoutError:
            return "late"
        finally:
            await self._staging.remove(staged)


async def _end(process: Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.stdin.close()
    await process.wait()
    # To the end of the pipe, for only then does the loop close its own end of it.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await process.stdout.read()
