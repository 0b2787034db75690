"""What a store holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the store holds."""

    entries: int
    bundles: int
    sets: int
    bytes: int
    """Content of the entries, as their manifests tell. Bundles share it: they are links to the same files."""
    staged: int
    """Trees being filled."""
    trash: int
    """Trees waiting for deletion."""
