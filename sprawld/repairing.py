"""Making good what `verify` has found, from the places that the wheels came from.

1. Only what nobody uses is touched: see `store.repair`. What is in use is reported, to be repaired when the
   programs have ended.
2. A sound copy is here before a damaged one is moved. So without a source, or without the network, everything
   stays as it is; and with `offline` nothing is deleted at all, permission bits are all that is set right.
3. A source is tried in this order: the entry's own origin, the first-use records, and the index by the name
   that the entry's manifest has. Whichever answers, the file must have the entry's sha256.
4. A damaged set is discarded: the next request for it builds it anew from its entries. So is a damaged pack,
   under a program too: it goes on from the sources. Another one is made where a set still wants it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SprawlError, StoreError
from .findings import settle
from .pathsets import clientcheck, setcheck
from .pathsets.clientcopy import COPY_NAME, compile_client_copy, ensure_client_copy
from .progress import Transfer
from .store import manifest, references, repair
from .store.origins import Origin, manifest_digest
from .store.packs import MODE as PACK_MODE
from .store.staging import to_the_end
from .store.verify import restore_modes, verify_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from .findings import Finding, Status
    from .model import Digest, IndexSettings
    from .provide import Provider
    from .store.firstuse import FirstUse
    from .store.origins import Origins
    from .store.state import State
    from .store.tree import Store

__all__ = ["Repairer"]


class Repairer:
    """Repairs; each method settles the findings that it is given."""

    def __init__(
        self,
        *,
        store: Store,
        state: State,
        origins: Origins,
        first_use: FirstUse,
        provider: Provider,
        client: str,
        package: Path,
        published: Callable[[], None],
        forget_sets: Callable[[Sequence[str]], None],
        pack_set: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._state = state
        self._origins = origins
        self._first_use = first_use
        self._provider = provider
        self._client = client
        self._package = package
        self._published = published
        self._forget_sets = forget_sets
        self._pack_set = pack_set

    def state(self, findings: Sequence[Finding]) -> None:
        """Begin the database anew; the damaged one is set aside. Blocks."""
        self._state.begin_anew()
        settle(findings, "repaired")

    async def entry(
        self,
        digest: Digest,
        findings: Sequence[Finding],
        settings: Callable[[], IndexSettings],
        *,
        offline: bool,
    ) -> None:
        """Repair one entry: its modes, what does not belong to it, or all of it."""
        kinds = {finding.kind for finding in findings}
        if kinds == {"mode"} and await asyncio.to_thread(self._restore_modes, digest):
            settle(findings, "repaired")
            return
        if offline:
            settle(findings, "offline", "nothing is fetched or deleted with --offline")
            return
        if kinds <= {"extra", "mode"}:
            outcome = await asyncio.to_thread(self._remove_extras, digest)
            if outcome is not None:
                settle(findings, outcome)
                return
        try:
            settle(findings, *await self._replace(digest, settings))
        except SprawlError as error:
            settle(findings, "failed", str(error))

    async def set(self, name: str, findings: Sequence[Finding], *, offline: bool) -> None:
        """Discard one set."""
        if offline:
            settle(findings, "offline", "nothing is deleted with --offline")
            return
        outcome = await asyncio.to_thread(self._discard_set, name)
        if outcome == "repaired":
            self._forget_sets([name])
        settle(findings, outcome)

    async def bundle(self, name: str, findings: Sequence[Finding], *, offline: bool) -> None:
        """Discard one bundle and the sets on it: the next request for one of these makes both anew."""
        if offline:
            settle(findings, "offline", "nothing is deleted with --offline")
            return
        path_sets = await asyncio.to_thread(
            lambda: [path.name for path in references.users(self._store.root, name)]
        )
        outcome = await asyncio.to_thread(repair.discard_bundle, self._store, name)
        if outcome == "repaired":
            self._forget_sets(path_sets)
        settle(findings, outcome)

    async def client(self, digest: str, findings: Sequence[Finding], *, offline: bool) -> None:
        """Mend a client copy. The sources of another release cannot be had: its sets are discarded."""
        if offline:
            settle(findings, "offline", "nothing is deleted with --offline")
            return
        try:
            settle(findings, await asyncio.to_thread(self._mend_client, digest, findings))
        except (SprawlError, OSError) as error:
            settle(findings, "failed", str(error))

    async def packs(self, findings: Sequence[Finding], *, offline: bool) -> None:
        """Set the modes of packs right, discard what is damaged, and have it made again."""
        damaged = set()
        for finding in findings:
            path = Path(finding.path)
            try:
                if finding.kind == "mode":
                    await asyncio.to_thread(path.chmod, PACK_MODE)
                elif offline:
                    settle([finding], "offline", "nothing is deleted with --offline")
                    continue
                else:
                    await asyncio.to_thread(self._store.remove, path)
                    damaged.add(finding.name)
                settle([finding], "repaired")
            except (SprawlError, OSError) as error:
                settle([finding], "failed", str(error))
        for name, executable in await asyncio.to_thread(lambda: [*self._sets_with(damaged)]):
            self._pack_set(name, executable)

    def _sets_with(self, digests: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield (set, interpreter) for each set with one of these entries."""
        for name in self._store.sets():
            described = setcheck.describe_set(self._store.set_path(name))
            if described is not None and not {*described.entries}.isdisjoint(digests):
                yield name, described.executable

    def _restore_modes(self, digest: Digest) -> bool:
        problems = verify_entry(self._store, digest, contents=False)
        return restore_modes(self._store, digest, problems)

    def _remove_extras(self, digest: Digest) -> Status | None:
        """Return what became of it; None when something cannot be removed."""
        with contextlib.suppress(OSError, StoreError):
            outcome = repair.remove_extras(self._store, digest)
            if outcome == "in use" or self._restore_modes(digest):
                return outcome
        return None

    async def _replace(self, digest: Digest, settings: Callable[[], IndexSettings]) -> tuple[Status, str]:
        if not await asyncio.to_thread(self._is_unused, digest):
            return "in use", ""
        origin = await asyncio.to_thread(self._origin, digest)
        if origin is None:
            return "no source", "where it came from is not known"
        transfer = Transfer(origin.filename, origin.size or 0)
        indexes = await asyncio.to_thread(settings)
        staged = await self._provider.stage_again(digest, origin, indexes, transfer)
        try:
            outcome = await asyncio.to_thread(repair.replace_entry, self._store, digest, staged)
            now = replace(origin, manifest=manifest_digest(self._store.entry_path(digest)))
            if outcome == "repaired":
                await asyncio.to_thread(self._origins.record, digest, now)
        finally:
            await to_the_end(lambda: self._store.remove(staged.parent))
        self._published()
        return outcome, ""

    def _is_unused(self, digest: Digest) -> bool:
        with repair.unused(self._store, digest) as free:
            return free

    def _origin(self, digest: Digest) -> Origin | None:
        known = self._origins.recall(digest)
        if known is not None:
            return known
        recorded = self._first_use.find(digest)
        if recorded is not None:
            release, artifact = recorded
            return Origin(
                filename=artifact.filename,
                name=release.name,
                version=release.version,
                size=artifact.size,
                url=artifact.url,
                index=release.index,
            )
        try:
            summary = manifest.read_summary(self._store.entry_path(digest) / manifest.NAME)
        except StoreError:
            return None
        if summary.digest != digest:
            return None
        return Origin(filename=summary.filename, name=summary.name, version=summary.version)

    def _discard_set(self, name: str) -> repair.Outcome:
        outcome = repair.discard_set(self._store, name)
        if outcome == "repaired":
            self._state.forget_set(name)
        return outcome

    def _mend_client(self, digest: str, findings: Sequence[Finding]) -> Status:
        copy = self._store.client_path(digest)
        if any(_is_of_sources(finding) for finding in findings):
            if digest != self._client:
                return self._retire_client(digest)
            # Programs that run have imported it; who starts in between starts without the finder.
            self._store.quarantine.take(copy)
            ensure_client_copy(self._store.root, self._package)
        else:
            for finding in findings:
                if finding.kind == "mode":
                    Path(finding.path).chmod(clientcheck.SOURCE_MODE)
                elif finding.kind in ("extra", "changed"):
                    self._store.trash.take(Path(finding.path))
        for executable in self._interpreters(digest):
            compile_client_copy(executable, copy / COPY_NAME)
        clientcheck.record_bytecode(copy)
        return "repaired"

    def _interpreters(self, digest: str) -> list[str]:
        """Return the interpreters of the sets that link a client copy."""
        found = (setcheck.describe_set(self._store.set_path(name)) for name in self._store.sets())
        return sorted({one.executable for one in found if one is not None and one.client == digest})

    def _retire_client(self, digest: str) -> Status:
        """Discard the sets that link a damaged copy of another release, and then the copy."""
        for name in list(self._store.sets()):
            found = references.read_references(self._store.set_path(name))
            if found is not None and digest in found.names and self._discard_set(name) == "in use":
                return "in use"
        self._store.set_apart(self._store.client_path(digest))
        return "repaired"


def _is_of_sources(finding: Finding) -> bool:
    """Tell whether a problem of a client copy is one of its sources or of its frame."""
    if finding.kind not in ("changed", "missing"):
        return False
    path = Path(finding.path)
    return path.suffix != ".pyc" or path.parent.name != "__pycache__"
