"""The question "which artifact of each package": find the lock, read it, select, ask the index for the rest.

1. Nothing is fetched but project pages, and those only for locks without file names.
2. What an index said of a pinned version is recorded at first use and not asked again while it serves; a
   later answer with other hashes for the same file name is refused, not believed.
3. Stats for later checks are taken by the caller after everything was read; see `settled`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .acquire.hashes import is_strong
from .errors import LockError, SelectionError
from .hotpath import Check, check_of
from .lockfiles.choose import choose_from
from .lockfiles.find import find_lock, no_lock
from .lockfiles.overlays import with_overlays
from .lockfiles.selection import select
from .lockfiles.twins import Twins
from .model import digest_of
from .store.firstuse import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .acquire.findlinks import FileFinder
    from .config import Config
    from .lockfiles.find import Found
    from .lockfiles.read import LockCache
    from .model import Choice, Environment, IndexSettings, Overlay, Selection
    from .request import ResolveRequest
    from .store.firstuse import FirstUse

__all__ = ["Selected", "Selector", "overlays_of", "packages_of", "refuse_builds", "settled", "why_no_lock"]

RACY_NANOSECONDS = 20_000_000
"""A file changed this shortly before it was read may change again within the same tick of its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A selection with every file named, and the paths it depends on."""

    selection: Selection
    watched: tuple[Path, ...]
    settings: Callable[[], IndexSettings]
    """The index settings of the request; read when first asked for."""
    twin: object = None
    """The same object for selections that are the same but for their place; None where that is not known."""

    def checks(self) -> tuple[Check, ...]:
        """Return the checks of now, the lockfile's first; blocks."""
        paths = dict.fromkeys((str(self.selection.lock), *map(str, self.watched)))
        return tuple(check_of(path) for path in paths)


class Selector:
    """Answers the question; one per daemon."""

    def __init__(
        self,
        *,
        config: Config,
        first_use: FirstUse,
        locks: LockCache,
        files: FileFinder,
        settings: Callable[[ResolveRequest], IndexSettings],
    ) -> None:
        self._config = config
        self._first_use = first_use
        self._locks = locks
        self._files = files
        self._settings = settings
        self._twins = Twins()

    async def select(self, request: ResolveRequest, environment: Environment) -> Selected | None:
        """Return the selection; None when no lockfile lies in the start directory or above it."""
        read = await asyncio.to_thread(self._read, environment, request)
        if read is None:
            return None
        selection = read.selection
        if any(choice.kind == "unresolved" for choice in selection.choices):
            with_file = (self._with_file(choice, environment, read.settings) for choice in selection.choices)
            choices = tuple(await asyncio.gather(*with_file))
            # What an index says is not in the files.
            return replace(read, selection=replace(selection, choices=choices), twin=None)
        return read

    def _read(self, environment: Environment, request: ResolveRequest) -> Selected | None:
        """Return what the files say, before an index is asked; None without a lockfile."""
        found = _find(request)
        if found is None:
            return None
        key = self._twins.key_of(found, environment, request.wanted)
        known = self._twins.get(key, found)
        if known is not None:
            selection, twin = known
            inputs = self._twins.inputs(found)
        else:
            selection, inputs = self._select(found, environment, request)
            twin = self._twins.keep(key, found, environment, selection)
        return Selected(
            selection=selection,
            watched=(*inputs, *found.watched),
            settings=functools.cache(lambda: self._settings(request)),
            twin=twin,
        )

    def _select(
        self, found: Found, environment: Environment, request: ResolveRequest
    ) -> tuple[Selection, tuple[Path, ...]]:
        """Return the selection, and the files that were read for it."""
        lock = self._locks.get(found.lock, found.root)
        allow_weak = self._config.allow_weak_hashes
        try:
            selection = select(found, lock, environment, request.wanted, allow_weak=allow_weak)
        except SelectionError as error:
            if error.code != "select.requires-python" or error.hint:
                raise
            hint = "run another Python, as in `sprawl +3.X run`, or lock for this one"
            raise SelectionError(error.code, error.message, hint=hint) from None
        selection, looked_at = with_overlays(selection, request.wanted)
        if self._config.require_hashes:
            _refuse_unpinned(selection)
        return selection, (*lock.inputs, *looked_at)

    async def _with_file(
        self, choice: Choice, environment: Environment, settings: Callable[[], IndexSettings]
    ) -> Choice:
        """Ask the index for the files of a package that the lock only names."""
        if choice.kind != "unresolved":
            return choice
        pin = choice.pin
        indexes = await asyncio.to_thread(settings)
        if is_strong(pin.hashes):
            # Pages seen before will do, unless they lack a wheel for this interpreter.
            with contextlib.suppress(SelectionError):
                return choose_from(await self._files.candidates(pin, indexes), pin, environment)
            return choose_from(await self._files.candidates(pin, indexes, refresh=True), pin, environment)
        release = Release(
            index=pin.source.index or indexes.default or "", name=pin.name, version=pin.version or ""
        )
        known = None
        if not pin.source.no_index:
            known = await asyncio.to_thread(self._first_use.recall, release)
        if known is not None:
            # The page may have grown a wheel for this interpreter since it was recorded: then ask again.
            linked = await self._files.linked(pin, indexes)
            with contextlib.suppress(SelectionError):
                return choose_from((*linked, *known), pin, environment)
        candidates = await self._files.candidates(pin, indexes)
        chosen = choose_from(candidates, pin, environment)
        hashed = [artifact for artifact in candidates if digest_of(artifact) is not None]
        await asyncio.to_thread(self._first_use.remember, release, hashed)
        return chosen


def why_no_lock(request: ResolveRequest) -> LockError:
    """Return the error for a request that no lockfile applies to; blocks."""
    return no_lock(request.start, script=_script(request))


def _find(request: ResolveRequest) -> Found | None:
    return find_lock(request.start, script=_script(request), explicit=request.lock)


def _script(request: ResolveRequest) -> Path | None:
    # `python DIRECTORY` runs a program that is no file, and so has no lock of its own.
    return None if request.script is not None and request.script.is_dir() else request.script


def settled(checks: Iterable[Check], started: int) -> bool:
    """Tell whether nothing changed since shortly before `started` (ns since the epoch).

    What changed later may have changed after it was read, within the same tick of the file system's clock;
    such an answer is given once and not kept.
    """
    return all(ctime < started - RACY_NANOSECONDS for _, ctime, _, _ in checks)


def packages_of(selection: Selection) -> tuple[Choice, ...]:
    """Return the choices that become entries: nothing that is served where it lies, or never installed."""
    return tuple(
        choice
        for choice in selection.choices
        if choice.kind != "virtual" and choice.overlay is None and not _is_project(choice, selection)
    )


def overlays_of(selection: Selection) -> tuple[Overlay, ...]:
    """Return the local projects that are served where they lie, sorted by name."""
    return tuple(choice.overlay for choice in selection.choices if choice.overlay is not None)


def _is_project(choice: Choice, selection: Selection) -> bool:
    return choice.kind in ("editable", "directory") and choice.pin.source.path == selection.project.root


def refuse_builds(choices: Iterable[Choice]) -> None:
    """Refuse packages of which only a source fits."""
    builds = [choice for choice in choices if choice.needs_build]
    if builds:
        names = ", ".join(
            f"{choice.pin.name} {choice.pin.version or ''}".strip() + f" ({choice.kind})" for choice in builds
        )
        obstacles = [f"{choice.pin.name}: {choice.obstacle}" for choice in builds if choice.obstacle]
        raise SelectionError(
            "select.needs-build",
            f"only a source fits this interpreter, and it would have to be built: {names}",
            hint="; ".join(obstacles)
            or "another Python may have wheels (sprawl +VERSION run), or lock a version that has them",
        )


def _refuse_unpinned(selection: Selection) -> None:
    for choice in packages_of(selection):
        if not choice.pin.hashes and not (choice.artifact and choice.artifact.hashes):
            raise LockError(
                "lock.hash-missing",
                f"{selection.lock}: {choice.pin.name} has no hash, and your configuration requires hashes",
                hint="lock with hashes, or remove require-hashes from your configuration",
            )
