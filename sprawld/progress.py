"""What one cold request waits for, as events for its client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from virtual_sprawl import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Progress", "Tally", "Transfer", "keep_reporting"]

REPORT_SECONDS = 0.1
"""Between two events; the only timer of the cold path, and it ends with the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event: counts of packages and bytes, and the name in work."""

    stage: str
    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    name: str = ""

    def frame(self) -> bytes:
        """Encode for the wire: decimals as ASCII."""
        numbers = (self.done, self.total, self.bytes_done, self.bytes_total)
        strings = (self.stage, *map(str, numbers), self.name)
        return protocol.encode_frame(protocol.PROGRESS, protocol.encode_strings(s.encode() for s in strings))


@dataclass(slots=True)
class Transfer:
    """What is going on with one artifact; shared by all who wait for it, read while it changes."""

    name: str
    total: int
    """Bytes, 0 while unknown."""
    stage: str = "index"
    """`index`, `fetch`, `unpack`, `done`."""
    done: int = 0

    def add(self, count: int) -> None:
        """Count bytes received; negative when an attempt starts over."""
        self.done += count


@dataclass(slots=True)
class Tally:
    """What one request waits for."""

    total: int
    """Packages."""
    done: int = 0
    transfers: list[Transfer] = field(default_factory=list)

    def progress(self) -> Progress:
        """Return the state of now as an event."""
        active = [
            transfer
            for transfer in self.transfers
            if transfer.stage != "done" and (transfer.done < transfer.total or not transfer.total)
        ]
        # At the end one that is unpacked is waited for, not the small one that was asked for last.
        waited = active or [transfer for transfer in self.transfers if transfer.stage == "unpack"]
        newest = waited[-1] if waited else None
        return Progress(
            stage=newest.stage if newest else "link" if self.done == self.total else "prepare",
            done=self.done,
            total=self.total,
            bytes_done=sum(transfer.done for transfer in self.transfers),
            bytes_total=sum(transfer.total for transfer in self.transfers),
            name=newest.name if newest else "",
        )


async def keep_reporting(tally: Tally, report: Callable[[Progress], None]) -> None:
    """Report until cancelled."""
    while True:
        report(tally.progress())
        await asyncio.sleep(REPORT_SECONDS)
