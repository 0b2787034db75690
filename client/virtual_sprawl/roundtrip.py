"""The start that asks the daemon which set it is to run on, and then runs on it."""

import os

from . import connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional

    from .connection import PathSet
    from .progress import Progress

__all__ = ["run_on_set"]

# A set can be collected between reply and lease; more often than once in a row it is not.
_ATTEMPTS = 3


def run_on_set(fields: "Mapping[str, str]", execute: bool) -> bool:
    """Make this process run on the set that the daemon names; False where no lockfile applies.

    Raises connection.Refusal.
    """
    for _ in range(_ATTEMPTS):
        reply = _ask(fields)
        if reply is None:
            return False
        from . import activation, lease, topfinder

        try:
            lease.take_lease(reply[1])
            _, _, recorded, site_packages, _, start_up, _, _ = topfinder.decode_index(reply[2])
            # The store may have been moved as a whole since the index was written.
            site_packages = reply[1] + site_packages[len(recorded) :]
            activation.enter_set(reply[1], site_packages, start_up, execute)
        except (OSError, ImportError) as error:
            failure: Exception = error
            continue
        except (ValueError, EOFError, TypeError) as error:
            hint = "install one release of virtual-sprawl for both, then: sprawlctl stop"
            raise connection.Refusal("proto.version", "the daemon's set index: %s" % error, hint) from None
        return True
    raise connection.Refusal("store.damaged", "the set cannot be used: %s" % failure, "sprawlctl verify")


def _ask(fields: "Mapping[str, str]") -> "Optional[PathSet]":
    """Ask the daemon; what a cold start has to tell meanwhile is drawn, and gone afterwards."""
    bars: "List[Progress]" = []

    def show(event: "List[bytes]") -> None:
        if not bars:
            from .progress import Progress

            bars.append(Progress(bool(os.environ.get("VIRTUAL_SPRAWL_QUIET"))))
        bars[0].show(event)

    try:
        return connection.resolve(fields, show, _load_the_rest)
    finally:
        if bars:
            bars[0].clear()


def _load_the_rest() -> None:
    """Load what the answer needs while the daemon works on it."""
    from . import activation, lease, topfinder  # noqa: F401
