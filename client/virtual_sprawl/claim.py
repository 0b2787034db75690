"""Claims the directories of a set for its finder, which is loaded when the first of them is asked for.

Many programs never ask, so this much is what a start pays for. Python must work whatever happens here:
without the finder CPython's own one serves the same modules.
"""

import os
import sys
from _frozen_importlib_external import SourceFileLoader

from . import finder  # noqa: F401 - see `_load_finder`

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["claim_set"]

# What the finder is loaded as, while it is; the name leads nowhere afterwards.
_FINDER = "_virtual_sprawl_finder"


def claim_set(directory: str, site_packages: str) -> None:
    """Put a hook for a set in front of the others, and forget finders made for its directories before."""
    below = site_packages + "/"
    for path in list(sys.path_importer_cache):
        if path == site_packages or path.startswith(below):
            del sys.path_importer_cache[path]
    store = directory.rpartition("/sets/")[0] + "/"

    def hook(path: str) -> "Any":
        """Make room for the set's own hook, when it is needed."""
        if path.startswith(store):
            try:
                module = _load_finder()
                entrance = module.topfinder.Entrance(directory, site_packages, module.SetIndex)
                real: "Any" = entrance.path_hook()
            except Exception:
                # CPython's own finder goes on alone, and must not write into the store.
                sys.dont_write_bytecode = True
                if hook in sys.path_hooks:
                    sys.path_hooks.remove(hook)
            else:
                if hook in sys.path_hooks:
                    sys.path_hooks[sys.path_hooks.index(hook)] = real
                return real(path)
        raise ImportError("not a directory of the path set", path=path)

    print_error: "Any" = sys.__excepthook__

    def tell(kind: "Any", error: "Any", trace: "Any") -> None:
        """Print an uncaught error; one about a file of a package gets a line that names the remedy."""
        print_error(kind, error, trace)
        try:
            # By its name in the set: after an activation this package has no other any more.
            readonly: "Any" = __import__("_virtual_sprawl.readonly").readonly
            readonly.tell(error, directory)
        except Exception:
            pass  # nothing more is lost than a hint

    sys.path_hooks.insert(0, hook)
    # Both, for some compare them to see whether anybody has a hook of their own.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = tell
    sys.__excepthook__ = tell


def _load_finder() -> "Any":
    """Load the finder, perhaps long after this package has left `sys.modules`."""
    # In the tree nothing is joined, and this module has imported it.
    module: "Any" = globals().get("finder")
    if module is None:
        loader = SourceFileLoader(_FINDER, os.path.dirname(__file__) + "/_finder.py")
        module = sys.modules[_FINDER] = type(sys)(_FINDER)
        try:
            loader.exec_module(module)
        finally:
            del sys.modules[_FINDER]
    return module
