"""A store directory in which wheels become entries and entries become path sets, as in the daemon."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprawld.acquire.environment import probe
from sprawld.acquire.unpack import unpack_wheel
from sprawld.model import Digest
from sprawld.pathsets import clientcopy, startup
from sprawld.pathsets.bundle import build_bundle, plan_bundles
from sprawld.pathsets.pathset import SetEntry, build_set, set_digest

from .wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sprawld.model import Environment, Overlay
    from sprawld.pathsets.bundle import BundlePlan
    from sprawld.pathsets.older import OlderSets

__all__ = ["CLIENT", "Workshop", "environment_of"]

CLIENT = Path(__file__).resolve().parents[2] / "client/virtual_sprawl"

_known: dict[Path, Environment] = {}


def environment_of(python: Path) -> Environment:
    """Ask an interpreter, once per test run."""
    if python not in _known:
        _known[python] = probe(str(python))
    return _known[python]


@dataclass
class Workshop:
    """What is made from wheels; everything goes below `store`, the wheels beside it."""

    store: Path
    client: Path = CLIENT
    """Package directory of the client that sets get a copy of."""

    def entry(self, name: str, version: str = "1.0", *args: Any, **options: Any) -> SetEntry:
        """Build a wheel (arguments as for `build_wheel`) and unpack it into `wheels/`."""
        return self.unpack(build_wheel(self.store.parent / "built", name, version, *args, **options))

    def unpack(self, wheel: Path) -> SetEntry:
        """Unpack a wheel file into `wheels/`."""
        digest = Digest(hashlib.sha256(wheel.read_bytes()).hexdigest())
        place = self.store / "wheels" / digest
        place.mkdir(parents=True)
        summary = unpack_wheel(str(wheel), str(place), filename=wheel.name, digest=digest, boot_id="boot")
        return SetEntry(digest=digest, name=summary.name, version=summary.version, summary=summary)

    def path(self, entry: SetEntry) -> Path:
        """Return where an entry lies."""
        return self.store / "wheels" / entry.digest

    def build(
        self,
        python: Path,
        *entries: SetEntry,
        overlays: Sequence[Overlay] = (),
        allowed: Collection[str] = startup.ALLOWED,
        older: OlderSets | None = None,
    ) -> Path:
        """Build the set of the entries in `tmp/`, rename it to its place and return that."""
        environment = environment_of(python)
        client = clientcopy.ensure_client_copy(self.store, self.client)
        digests = [entry.digest for entry in entries]
        digest = set_digest(digests, environment, client, overlays, allowed)
        bundles = [self.bundle(plan) for plan in plan_bundles(entries, self.store)]
        staged, final = self.store / "tmp" / digest, self.store / "sets" / digest
        staged.mkdir(parents=True)
        final.parent.mkdir(exist_ok=True)
        build_set(
            staged,
            final,
            entries,
            environment,
            store_root=self.store,
            client_digest=client,
            lock=self.store / "uv.lock",
            overlays=overlays,
            bundles=bundles,
            allowed=allowed,
            older=older,
        )
        return staged.rename(final)

    def bundle(self, plan: BundlePlan) -> str:
        """Build a bundle, unless it is there, and return its digest."""
        staged, final = self.store / "tmp" / plan.digest, self.store / "bundles" / plan.digest
        if not final.exists():
            staged.mkdir(parents=True)
            final.parent.mkdir(exist_ok=True)
            build_bundle(staged, plan, self.store)
            staged.rename(final)
        return plan.digest
