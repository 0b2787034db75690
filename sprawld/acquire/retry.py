"""What is tried again, how often, and after which pause."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sprawld.config import Limits
    from sprawld.errors import SprawlError

__all__ = ["Transient", "is_transient_status", "pause_seconds", "retry_after_seconds", "with_retries"]

# A host that asks for a longer pause is not waited for: 30 s with the default back-off.
_LONGEST_PAUSE_IN_BACKOFFS: Final = 120

T = TypeVar("T")


class Transient(Exception):  # noqa: N818 - not an error yet: it becomes one after the last attempt
    """An attempt failed in a way that may pass; `error` is what is raised when no attempt is left."""

    def __init__(self, error: SprawlError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        """Seconds the host asks to wait for (Retry-After)."""


async def with_retries(attempt: Callable[[], Awaitable[T]], limits: Limits) -> T:
    """Return what `attempt` returns, calling it again while it raises Transient and attempts are left."""
    number = 1
    while True:
        try:
            return await attempt()
        except Transient as failure:
            if number >= limits.attempts:
                raise failure.error from failure.__cause__
            pause = pause_seconds(number, limits.backoff_seconds, failure.after)
        await asyncio.sleep(pause)
        number += 1


def pause_seconds(number: int, backoff: float, after: float | None) -> float:
    """Return how long to wait after failure `number` (from 1).

    Doubles each time; the jitter keeps many clients from coming back at the same moment. What the host asks
    for counts if it is longer, up to a bound.
    """
    wanted = backoff * (1 << (number - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
    return min(max(wanted, after or 0.0), backoff * _LONGEST_PAUSE_IN_BACKOFFS)


def is_transient_status(status: int) -> bool:
    """Tell whether an HTTP status may pass by itself."""
    return status in (408, 429) or 500 <= status < 600


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, given as a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    # float() and strip() do not agree on what is white space.
    if (number := value.strip()).isdecimal():
        return float(number)
    # Imported here: few hosts send a date, and the module brings a mail parser with it.
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a day or year of forty digits
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
