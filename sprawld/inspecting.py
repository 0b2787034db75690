"""Looking at everything in the store: entries, sets, client copies, packs, the database. Changes nothing.

1. What is looked at is held meanwhile, so that a collection does not show as damage.
2. A set is built once more in tmp/ and compared; one with a damaged entry is left out, since it could not be
   built: when the entry is repaired the set is looked at again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from .errors import InterpreterError, SprawlError
from .findings import Finding
from .pathsets import bundlecheck, clientcheck, setcheck
from .store import bundles, manifest, references
from .store.origins import Origins, manifest_digest
from .store.publication import is_name
from .store.verify import verify_entry

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from .acquire.environment import Environments
    from .model import Digest
    from .pathsets.setcheck import Description
    from .store.state import State
    from .store.tree import Store

__all__ = ["Inspector"]


class Inspector:
    """Finds what is wrong; `package` is the installed client's directory, `client` the digest of its copy."""

    def __init__(
        self, store: Store, state: State, environments: Environments, *, client: str, package: Path
    ) -> None:
        self._store = store
        self._state = state
        self._environments = environments
        self._origins = Origins(store.root)
        self._client = client
        self._package = package

    def digests(self) -> list[Digest]:
        """Return every entry that is there or that a set needs, sorted; blocks."""
        found = set(self._store.entries())
        for name in self._store.sets():
            described = setcheck.describe_set(self._store.set_path(name))
            if described is not None:
                found.update(described.entries)
        return sorted(found)

    def state(self) -> list[Finding]:
        """Look at the database; blocks."""
        problem = self._state.damage()
        path = str(self._store.root / "state.sqlite")
        return (
            [Finding(kind="database", where="state", name="", path=path, detail=problem)] if problem else []
        )

    def entry(self, digest: Digest, *, contents: bool) -> list[Finding]:
        """Look at one entry; blocks for reading all of it if `contents` is true."""
        path = self._store.entry_path(digest)
        with self._store.holds.hold([digest]):
            if not os.path.lexists(path):
                # Collected since it was listed, unless a set still needs it.
                if not self._is_needed(digest):
                    return []
                return [self._of_entry(digest, "missing", "")]
            try:
                problems = verify_entry(self._store, digest, contents=contents)
            except OSError as error:
                finding = self._of_entry(digest, "unreadable", "")
                finding.detail = error.strerror or type(error).__name__
                return [finding]
            found = [self._of_entry(digest, problem.kind, problem.path) for problem in problems]
            origin = self._origins.recall(digest)
            edited = origin and origin.manifest and origin.manifest != manifest_digest(path)
            if edited and not any(problem.kind == "manifest" for problem in problems):
                found.append(self._of_entry(digest, "manifest", manifest.NAME))
        return found

    def title(self, digest: str) -> str:
        """Return name and version of an entry, as far as its manifest can be read; blocks."""
        return manifest.title_of(self._store.entry_path(digest) / manifest.NAME)

    async def set(self, name: str, damaged: Collection[str]) -> tuple[list[Finding], str]:
        """Look at one set; the second value is "current", "stale", "unchecked" or "gone".

        damaged: entries that are not sound.
        """
        path = self._store.set_path(name)
        with self._store.holds.hold([name]):
            described = await asyncio.to_thread(setcheck.describe_set, path)
            if described is None:
                if not await asyncio.to_thread(os.path.lexists, path):
                    return [], "gone"
                return [self._of_set(name, "description", "set.json")], "unchecked"
            with self._store.holds.hold([*described.entries, described.client]):
                return await self._described_set(name, path, described, damaged)

    def bundle(self, name: str, damaged: Collection[str]) -> list[Finding]:
        """Look at one bundle, unless an entry of it is damaged: then it goes with that; blocks."""
        with self._store.holds.hold([name]):
            path = self._store.bundle_path(name)
            if not os.path.lexists(path):
                return []
            with contextlib.suppress(SprawlError):
                entries = bundles.read_record(self._store.root, name).entries
                if not all(entry not in damaged and self._store.has_entry(entry) for entry in entries):
                    return []
            return [
                Finding(kind=kind, where="bundles", name=name, path=str(path / relative))
                for kind, relative in bundlecheck.check_bundle(self._store, name)
            ]

    def client(self, digest: str) -> list[Finding]:
        """Look at one client copy; blocks."""
        path = self._store.client_path(digest)
        package = self._package if digest == self._client else None
        return [
            Finding(kind=kind, where="client", name=digest, path=str(path / relative))
            for kind, relative in clientcheck.verify_client(path, package)
        ]

    def packs(self, digests: Collection[str], *, hashed: Collection[str], of: str = "") -> list[Finding]:
        """Look at every pack, or at those of one entry, of entries `hashed` at the contents too; blocks.

        digests: entries, as `digests` gave them. What has neither entry nor name of a pack is extra.
        """
        packs, found = self._store.packs, []
        for tag, name in packs.all():
            digest = name.partition(".")[0]
            if of not in ("", digest):
                continue
            with self._store.holds.hold([digest]):
                # A pack that was published since has its entry, too.
                keep = {digest} if digest in digests or self._is_there(digest) else set()
                kind = packs.problem(tag, name, keep, contents=digest in hashed)
            if kind is not None:
                path = str(packs.path(tag, name))
                title = self.title(digest) if keep else ""
                found.append(Finding(kind=kind, where="packs", name=digest, path=path, package=title))
        return found

    def _is_there(self, digest: str) -> bool:
        return is_name("wheels", digest) and any(
            os.path.lexists(self._store.root / kind / digest) for kind in ("wheels", "bundles")
        )

    async def _described_set(
        self, name: str, path: Path, described: Description, damaged: Collection[str]
    ) -> tuple[list[Finding], str]:
        if not {*described.entries}.isdisjoint(damaged):
            return [], "unchecked"
        try:
            environment = await self._environments.get(described.executable)
            current = setcheck.is_current(name, described, environment)
        except InterpreterError:
            current = False
        if not current:
            differences = await asyncio.to_thread(setcheck.outline, path, described)
            return [self._of_set(name, *difference) for difference in differences], "stale"

        def compare() -> list[Finding]:
            with self._store.staging("verify-") as staged:
                try:
                    setcheck.rebuild(staged, path, described, environment, self._store.root)
                except SprawlError as error:
                    finding = self._of_set(name, "description", "set.json")
                    finding.detail = str(error)
                    return [finding]
                return [self._of_set(name, *difference) for difference in setcheck.compare(path, staged)]

        return await asyncio.to_thread(compare), "current"

    def _is_needed(self, digest: str) -> bool:
        found = (references.read_references(self._store.set_path(name)) for name in self._store.sets())
        return any(digest in reference.names for reference in found if reference is not None)

    def _of_entry(self, digest: str, kind: str, relative: str) -> Finding:
        path = self._store.entry_path(digest) / relative
        return Finding(kind=kind, where="wheels", name=digest, path=str(path), package=self.title(digest))

    def _of_set(self, name: str, kind: str, relative: str) -> Finding:
        path = self._store.set_path(name) / relative
        return Finding(kind=kind, where="sets", name=name, path=str(path))
