"""Directories in tmp/ as coroutines use them: whoever is cancelled, none stays behind.

1. A coroutine that is cancelled while it waits for a thread takes work that has not begun off the thread
   pool's queue. What must happen all the same goes through `to_the_end`.
2. What cannot be removed is noted in the log and tried again before the next directory is made; it never
   hides the error for which it was to be removed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from sprawld.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .tree import Store

__all__ = ["Staging", "to_the_end"]

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


async def to_the_end(work: Callable[[], _T]) -> _T:
    """Run `work` in a thread and return its outcome; a caller that is cancelled leaves when it has ended."""
    # No task: those are cancelled where the loop ends, which waits for its threads.
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class Staging:
    """Makes and removes staging directories of a store; belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left: set[Path] = set()

    async def new(self, prefix: str, fill: Callable[[Path], None] = lambda _: None) -> Path:
        """Return a directory in tmp/, the caller's; one whose caller is cancelled meanwhile goes at once.

        `fill` is called with it in the same thread; where that fails there is no directory.
        """
        making = asyncio.ensure_future(asyncio.to_thread(self._new, prefix, fill))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._unwanted)
            raise

    async def remove(self, path: Path) -> None:
        """Remove a directory, if it is there; to the end, and without an error of the disk."""
        await to_the_end(lambda: self.remove_now(path))

    def remove_now(self, path: Path) -> None:
        """Do what `remove` does in this thread; blocks."""
        try:
            self._store.remove(path)
        except StoreError as error:
            _LOG.warning("tmp/%s stays until the next request: %s", path.name, error)
            self._left.add(path)
        else:
            self._left.discard(path)

    def _new(self, prefix: str, fill: Callable[[Path], None]) -> Path:
        for path in self._left.copy():
            self.remove_now(path)
        path = self._store.new_staging(prefix)
        try:
            fill(path)
        except BaseException:
            self.remove_now(path)
            raise
        return path

    def _unwanted(self, making: asyncio.Future[Path]) -> None:
        if not making.cancelled() and making.exception() is None:
            asyncio.get_running_loop().run_in_executor(None, self.remove_now, making.result())
