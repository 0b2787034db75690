"""A store with its state and projects: what gc decides about."""

from __future__ import annotations

import time
from pathlib import Path

from sprawld.store import gc
from sprawld.store.gc import GcPlan
from sprawld.store.state import State
from sprawld.store.tree import Store
from tests.support import entries

DAY = 86400.0
NOW = time.time() + 100 * DAY
"""The time that tests call now: everything they make is old by then."""


class World:
    """A store, its state, and projects with lockfiles."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store.open(directory / "store", boot="boot-1")
        self.state = State.open(self.store.root)
        self.state.record_gc(now=NOW - DAY)

    def project(self, name: str, *packages: str, used: float = NOW - DAY, client: str = "") -> str:
        """Make a set of these packages, used by a lockfile that exists; return its digest."""
        lock = self.lock(name)
        lock.write_text("")
        for package in packages:
            entries.publish_entry(self.store, package)
        digest = entries.publish_set(self.store, packages, lock, client=client)
        self.state.touch(lock, digest, now=used)
        return digest

    def lock(self, name: str) -> Path:
        return self.directory / f"{name}.lock"

    def plan(self, **options: float | str | bool) -> GcPlan:
        return gc.plan(self.store, self.state, **({"now": NOW} | options))  # type: ignore[arg-type]

    def names(self) -> set[str]:
        return {*self.store.entries(), *self.store.sets(), *self.store.clients()}
