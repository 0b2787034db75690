"""What a set's own `bin/python` does at start: holds the set, and finds its modules by the set index.

Called by the start-up files in the set, where this package has the name `_virtual_sprawl`; so only relative
imports. Python must work whatever happens here: without the finder CPython's own one serves the same modules.
"""

import os
import sys

from . import claim, lease, sitelast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["enter"]

_settled: "Any" = None
"""The module that has led a link to its set, where there was one."""
_entered = False
_site_packages = ""
_THIS: "Any" = sys.modules[__name__]


def enter() -> None:
    """Take the lease and claim the set that is `sys.prefix`. Idempotent; never raises."""
    global _entered, _settled, _site_packages
    if _entered:
        # Start-up files run twice in some versions.
        if _settled is not None:
            _settled.tidy()
        return
    _entered = True
    directory = sys.prefix
    try:
        # This file lies in the copy of the client in there.
        site_packages = os.path.dirname(os.path.dirname(__file__))
        if not os.path.dirname(directory).endswith("/sets"):
            from . import linked

            inner = site_packages[len(directory) :]
            directory = linked.settle(directory)
            site_packages = directory + inner
            _settled = linked
        _hold(directory)
        claim.claim_set(directory, site_packages)
        _site_packages = site_packages
        sys.meta_path.insert(0, _THIS)
    except Exception:
        # CPython's own finder goes on alone, and must not write into the store.
        sys.dont_write_bytecode = True


def _hold(directory: str) -> None:
    try:
        lease.take_lease(directory)
    except Exception:
        # Collected while we started: what is still there runs on.
        pass


def find_spec(fullname: str, path: object = None, target: object = None) -> None:
    """Never find anything; spare the import system a search that finds nothing.

    This module itself waits at the head of sys.meta_path, once: to make a class takes longer than the rest.
    """
    if fullname == sitelast.SITE_END:
        sys.meta_path.remove(_THIS)
        sitelast.refuse_if_absent(_site_packages)
