"""What a set's own `bin/python` does at start: holds the set, and finds its modules by the set index.

Called by the start-up files in the set, where this package has the name `_virtual_sprawl`; so only relative
imports. Python must work whatever happens here: without the finder CPython's own one serves the same modules.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .finder import SetIndex

__all__ = ["enter"]


def enter() -> None:
    """Take the lease and install the finder of the set that is `sys.prefix`. Idempotent; never raises."""
    directory = sys.prefix
    try:
        from . import topfinder

        # Start-up files run twice in some versions.
        if any(isinstance(found, topfinder.TopFinder) for found in sys.path_importer_cache.values()):
            linked: "Any" = sys.modules.get((__package__ or "") + ".linked")
            if linked is not None:
                linked.tidy()
            return
        # This file lies in the copy of the client in there.
        site_packages = os.path.dirname(os.path.dirname(__file__))
        if not os.path.dirname(directory).endswith("/sets"):
            from .linked import settle

            inner = site_packages[len(directory) :]
            directory = settle(directory)
            site_packages = directory + inner
        topfinder.install(topfinder.Entrance(directory, site_packages, _open_index))
    except Exception:
        # CPython's own finder goes on alone, and must not write into the store.
        sys.dont_write_bytecode = True
    try:
        from . import lease

        lease.take_lease(directory)
    except Exception:
        # Collected while we started: what is still there runs on.
        pass


def _open_index(fields: "Any", directory: str) -> "SetIndex":
    from . import finder

    return finder.SetIndex(fields, directory)
