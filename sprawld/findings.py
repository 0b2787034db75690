"""What `verify` finds: one record per problem, with the exact path, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Finding", "Level", "Status", "is_sound", "sample", "settle"]

Level = Literal["quick", "sample", "all"]
"""quick: no content is hashed; sample: that of a part of the entries (`sample`); all: that of every entry."""

Status = Literal["found", "repaired", "in use", "offline", "no source", "failed"]

SAMPLE_DAYS: Final = 16
"""A daily verify without options has hashed every entry after this many days."""
DAY_SECONDS: Final = 86400


@dataclass(slots=True, kw_only=True)
class Finding:
    """One problem; `kind`: those of `store.verify`, `store.packs` and `pathsets.setcheck`, and "database"."""

    kind: str
    where: Literal["wheels", "bundles", "sets", "client", "packs", "state"]
    name: str
    """Digest of the entry, bundle, set, client copy, or of a pack's entry; empty for the state."""
    path: str
    """Absolute."""
    package: str = ""
    """Name and version, of an entry."""
    status: Status = "found"
    detail: str = ""
    """Why it could not be repaired."""

    def document(self) -> dict[str, Any]:
        """Return the form it has in the reply of `verify`."""
        return asdict(self)


def is_sound(findings: Iterable[Finding]) -> bool:
    """Tell whether no problem remains."""
    return all(finding.status == "repaired" for finding in findings)


def settle(findings: Iterable[Finding], status: Status, detail: str = "") -> None:
    """Note what became of some findings."""
    for finding in findings:
        finding.status, finding.detail = status, detail


def sample(digests: Sequence[str], now: float) -> set[str]:
    """Return the entries whose contents are hashed today: the next sixteenth, in the order of the digests.

    now: seconds since the epoch. The same day gives the same entries; any SAMPLE_DAYS days in a row give all.
    """
    if not digests:
        return set()
    ordered = sorted(digests)
    size = -(-len(ordered) // SAMPLE_DAYS)
    start = int(now // DAY_SECONDS) * size % len(ordered)
    return set((ordered + ordered)[start : start + size])
