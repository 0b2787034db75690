"""Unpacks a wheel of a test, as a worker does it."""

from __future__ import annotations

from pathlib import Path

from sprawld.acquire.unpack import unpack_wheel
from sprawld.store.manifest import ManifestSummary

__all__ = ["unpack"]


def unpack(
    wheel: Path, entry: Path, *, share_from: int | None = None, allow_bad_record: bool = False
) -> ManifestSummary:
    """Unpack into `entry`, an empty directory."""
    return unpack_wheel(
        str(wheel),
        str(entry),
        filename=wheel.name,
        digest="a" * 64,
        boot_id="boot",
        allow_bad_record=allow_bad_record,
        share_from=share_from,
    )
