"""The start that asks the daemon which set it is to run on, and then runs on it."""

import os

from . import connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Mapping, Optional

    from .connection import PathSet
    from .progress import Progress

__all__ = ["run_on_set"]

# A set can be collected between reply and lease; more often than once in a row it is not.
_ATTEMPTS = 3


def run_on_set(fields: "Mapping[str, str]", execute: bool, meanwhile: "Callable[[], None]") -> bool:
    """Make this process run on the set that the daemon names; False where no lockfile applies.

    `meanwhile` is called while the daemon works on the reply. Raises connection.Refusal.
    """
    for _ in range(_ATTEMPTS):
        reply = _ask(fields, meanwhile)
        if reply is None:
            return False
        from . import activation, finder, lease

        try:
            lease.take_lease(reply[1])
            index = finder.SetIndex(reply[2], reply[1])
            activation.enter_set(index.entrance(), index.start_up, execute)
        except (OSError, ImportError) as error:
            failure: Exception = error
            continue
        except (ValueError, EOFError, TypeError) as error:
            hint = "install one release of virtual-sprawl for both, then: sprawlctl stop"
            raise connection.Refusal("proto.version", "the daemon's set index: %s" % error, hint) from None
        return True
    raise connection.Refusal("store.damaged", "the set cannot be used: %s" % failure, "sprawlctl verify")


def _ask(fields: "Mapping[str, str]", meanwhile: "Callable[[], None]") -> "Optional[PathSet]":
    """Ask the daemon; what a cold start has to tell meanwhile is drawn, and gone afterwards."""
    bars: "List[Progress]" = []

    def show(event: "List[bytes]") -> None:
        if not bars:
            from .progress import Progress

            bars.append(Progress(bool(os.environ.get("VIRTUAL_SPRAWL_QUIET"))))
        bars[0].show(event)

    try:
        return connection.resolve(fields, show, meanwhile)
    finally:
        if bars:
            bars[0].clear()
