"""Ways in which a scripted reply of the test index can be broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Fault",
    "dripping",
    "encoded",
    "ignoring_range",
    "instead",
    "longer",
    "partial",
    "redirect",
    "reset",
    "reset_in_headers",
    "stalled",
    "status",
    "truncated",
    "wrong_bytes",
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One dishonest reply; the fields left alone are those of the honest one."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent instead of the file's content."""
    spoil: bool = False
    """Send the right number of wrong bytes."""
    more: int = 0
    """Send this many bytes too many (the length says so)."""
    cut: int | None = None
    """Stop after this many bytes of the body."""
    head: int | None = None
    """Stop after this many bytes of the head."""
    ending: Literal["close", "reset", "stall", "drip"] = "close"
    """`drip` sends the rest one byte at a time until the client leaves."""
    length: bool = True
    """Announce the length of the body (the whole body, whatever `cut` says)."""
    honour_range: bool = True
    shift: int = 0
    """Added to the start of the range that was asked for."""


def status(code: int, **headers: str) -> Fault:
    """Reply with a status and no content; header names are written with underscores."""
    return Fault(status=code, body=b"", headers=_named(headers))


def truncated(at: int, *, length: bool = True) -> Fault:
    """Close the connection after `at` bytes of the body."""
    return Fault(cut=at, length=length)


def longer(by: int = 1, *, length: bool = True) -> Fault:
    """Send `by` bytes more than the file has."""
    return Fault(more=by, length=length)


def wrong_bytes() -> Fault:
    """Send other content of the same size."""
    return Fault(spoil=True)


def encoded() -> Fault:
    """Compress the body and say so, whatever the client accepts."""
    return Fault(headers={"Content-Encoding": "gzip"})


def redirect(location: str, code: int = 302) -> Fault:
    """Send the client elsewhere."""
    return Fault(status=code, body=b"", headers={"Location": location})


def reset(at: int) -> Fault:
    """Reset the connection (RST) after `at` bytes of the body."""
    return Fault(cut=at, ending="reset")


def reset_in_headers(at: int = 12) -> Fault:
    """Reset the connection after `at` bytes of the head."""
    return Fault(head=at, ending="reset")


def stalled(at: int = 0) -> Fault:
    """Send `at` bytes of the body, and the rest only after `SimpleIndex.release`."""
    return Fault(cut=at, ending="stall")


def dripping(at: int = 0) -> Fault:
    """Send `at` bytes of the body, and the rest one by one."""
    return Fault(cut=at, ending="drip")


def ignoring_range(**headers: str) -> Fault:
    """Answer a range request with the whole file and status 200."""
    return Fault(honour_range=False, headers=_named(headers))


def partial(shift: int = 0, **headers: str) -> Fault:
    """Answer a range request with a range that starts `shift` bytes later."""
    return Fault(shift=shift, headers=_named(headers))


def instead(body: bytes, content_type: str = "text/html") -> Fault:
    """Send something else than the file, with status 200."""
    return Fault(body=body, headers={"Content-Type": content_type})


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
