"""Following: project links are led to the set that their lockfile gives now.

1. A link has its own question (interpreter, extras, groups), asked again whenever somebody's request shows
   that the lockfile gives something new, and at the daemon's start if the lockfile has changed since.
2. At the start nobody has asked for anything, so nothing is fetched; and where the index was told by the
   environment of a user's command, it is not known then, and another one is not asked in its place.
3. Nobody waits for it, and a lock that is refused leaves the link where it was: an editor shows the packages
   of yesterday rather than none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import SprawlError
from .hotpath import check_of
from .request import ResolveRequest
from .selecting import why_no_lock
from .store.projects import INDEX_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .acquire.environment import Environments
    from .hotpath import Ready
    from .progress import Progress
    from .realise import Realiser
    from .store.projects import Follower, Projects
    from .store.tree import Store

__all__ = ["Following"]

log = logging.getLogger(__name__)

_TRIES = 3
"""A gc may take a set between its realisation and the link, once; not again and again."""


class Following:
    """Keeps the project links of one daemon."""

    def __init__(
        self, store: Store, projects: Projects, environments: Environments, realiser: Realiser
    ) -> None:
        self._store = store
        self._projects = projects
        self._environments = environments
        self._realiser = realiser
        self._one_at_a_time = asyncio.Lock()

    async def realise(self, request: ResolveRequest, report: Callable[[Progress], None]) -> Ready:
        """Return the reply to a request; LockError `lock.not-found` where no lockfile applies."""
        environment = await self._environments.get(request.python)
        answer = await self._realiser.realise(request, environment, report)
        if answer is None:
            # It looks once more for what it says of the search.
            raise await asyncio.to_thread(why_no_lock, request)
        return answer[0]

    async def lead(
        self, follower: Follower, request: ResolveRequest, report: Callable[[Progress], None]
    ) -> Follower:
        """Lead a link to the set that the request gives, and return the follower as it is then."""
        async with self._one_at_a_time:
            for _ in range(_TRIES):
                ready = await self.realise(request, report)
                found = replace(
                    follower, digest=ready.digest, check=ready.checks[0], updated=int(time.time())
                )
                if await asyncio.to_thread(self._switch, found):
                    return found
        raise AssertionError("a set is collected again and again")

    async def lock_changed(self, lock: Path, fields: Mapping[str, str]) -> None:
        """Lead the links of a lockfile to what it gives now; `fields` has the index settings to use."""
        settings = {name: fields[name] for name in INDEX_FIELDS if name in fields}
        for follower in await asyncio.to_thread(self._projects.of_lock, lock):
            await self._refresh(follower, settings)

    async def catch_up(self) -> None:
        """Look after the links whose lockfile changed while no daemon ran."""
        for follower in await asyncio.to_thread(self._projects.all):
            changed = follower.check != await asyncio.to_thread(check_of, os.fspath(follower.lock))
            if changed and not follower.told_indexes:
                options = ",".join(filter(None, (follower.fields.get("options", ""), "offline")))
                await self._refresh(follower, {"options": options})

    async def _refresh(self, follower: Follower, more: Mapping[str, str]) -> None:
        if not await asyncio.to_thread(follower.is_alive):
            return
        try:
            request = ResolveRequest.from_fields({**follower.fields, **more})
            now = await self.lead(follower, request, lambda _: None)
        except SprawlError as error:
            log.warning("the link of %s stays where it is: %s", follower.anchor, error)
            return
        if now.digest != follower.digest:
            log.info("the link of %s leads to set %s now", follower.anchor, now.digest)

    def _switch(self, follower: Follower) -> bool:
        with self._store.holds.hold([follower.digest]):
            if not self._store.has_set(follower.digest):
                return False
            self._projects.lead(follower)
            return True
