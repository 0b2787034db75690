"""The last thing that `site` does: to import `sitecustomize`, which few have.

To find that out the import system lists the directories of sys.path, which takes a tenth of a millisecond; to
look for the few files that could be the module takes a fifth of that. A program that imports from these
directories has them listed then.
"""

import _imp
import os
import sys
from _frozen_importlib_external import FileFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SITE_END", "refuse_if_absent"]

SITE_END = "sitecustomize"
_STANDARD_HOOKS = ("_frozen_importlib", "_frozen_importlib_external")


def refuse_if_absent(site_packages: str) -> None:
    """Raise ModuleNotFoundError for `sitecustomize` if the import system would, with the set's directory.

    Returns when it is there, or that cannot be told without the import system.
    """
    for hook in sys.meta_path:
        if getattr(hook, "__module__", None) not in _STANDARD_HOOKS:
            return
    if _imp.is_frozen(SITE_END):
        return
    for path in sys.path:
        # None: nothing can be imported from there.
        known: "Any" = sys.path_importer_cache.get(path, _imp)
        if known is _imp:
            if (path != site_packages and not path.endswith("/lib-dynload")) or _may_hold(
                path + "/" + SITE_END
            ):
                return
        elif known is not None and (type(known) is not FileFinder or known.find_spec(SITE_END) is not None):
            return
    raise ModuleNotFoundError("No module named %r" % SITE_END, name=SITE_END)


def _may_hold(base: str) -> bool:
    """Tell whether any file that could be the module is there; `base` is its path without a suffix."""
    for suffix in ("", ".py", ".pyc", *_imp.extension_suffixes()):
        if os.access(base + suffix, os.F_OK):
            return True
    return False
