"""Turns the running interpreter into a path set, as if the set's own `bin/python` had been started.

1. The lease comes first, and is the caller's to take: a failure leaves Python as it was.
2. What stays on sys.path is what was there before `site` came: PYTHONPATH and the standard library. All site
   directories go, with the modules and import hooks that came out of them, this package's among them.
3. What cannot be undone in a running process is undone by starting again, in the set's `bin/python`.

Every function, loops in brackets included, is an object that a start has to make before it does anything; so
they are few, and what few starts need is in `cleaning`.
"""

import os
import site
import sys

from . import claim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, List, Optional, Tuple

__all__ = ["enter_set"]

_MODULE = type(os)
_IMPORT_SYSTEM = ("_frozen_importlib", "_frozen_importlib_external", "zipimport")


def enter_set(directory: str, site_packages: str, start_up: "Optional[Iterable[str]]", execute: bool) -> None:
    """Make this process run on the set in `directory`; `start_up` names its `.pth` files, None: look.

    The lease is held already. With `execute`, or where the process cannot be cleaned, it is replaced by the
    set's own interpreter. Raises OSError when the set is gone (ask again).
    """
    start_up = set(os.listdir(site_packages) if start_up is None else start_up)
    start_up -= {"_virtual_sprawl.pth", "_virtual_sprawl.start"}
    read_start_up_files: "Any" = None
    if start_up:
        # While this package can be found.
        from .startup_files import read_start_up_files
    kept, dropped = _divide(sys.path)
    own, is_alone = _look(dropped)
    if execute or not is_alone:
        from . import cleaning

        own = cleaning.clean(kept, dropped, directory + "/bin/python", execute)
    claim.claim_set(directory, site_packages)
    inner = _inner(dropped)
    for path in list(sys.path_importer_cache):
        if path in dropped or (path not in kept and path.startswith(inner)):
            del sys.path_importer_cache[path]
    _move_prefix(directory)
    sys.path[:] = [*kept, site_packages]
    if start_up:
        read_start_up_files(site_packages, start_up)
    for name in own:
        del sys.modules[name]


def _divide(paths: "List[str]") -> "Tuple[List[str], List[str]]":
    """Return (kept, dropped): the first site directory goes, and everything that was appended after it."""
    chosen = os.environ.get("PYTHONPATH")
    by_user = set(map(os.path.abspath, chosen.split(os.pathsep))) if chosen else ()
    library = os.path.dirname(os.__file__)
    kept: "List[str]" = []
    dropped: "List[str]" = []
    for path in paths:
        if path in by_user or path == library or path.endswith("/lib-dynload"):
            kept.append(path)
        # `site-packages`, or `dist-packages` of a system's own Python.
        elif dropped or path.endswith("-packages"):
            dropped.append(path)
        else:
            kept.append(path)
    # Old start-up files move what they add to the front.
    inner = _inner(dropped)
    for path in kept[:]:
        if path in dropped or (path.startswith(inner) and path not in by_user and path != library):
            kept.remove(path)
            dropped.append(path)
    return kept, dropped


def _inner(directories: "List[str]") -> "Tuple[str, ...]":
    """Return how paths in these directories begin."""
    return tuple(map("{}/".format, directories))


def _look(dropped: "List[str]") -> "Tuple[List[str], bool]":
    """Return the names of this package's modules, and whether nothing else came from dropped directories.

    False where that takes a closer look.
    """
    own: "List[str]" = []
    inner = _inner(dropped)
    is_alone = True
    for name, module in list(sys.modules.items()):
        # Most modules of a start are built in: an attribute that is not there costs more than all the rest.
        known: "Any" = module.__dict__ if type(module) is _MODULE else None
        path = known.get("__file__") if known is not None else None
        if path.startswith(inner) if isinstance(path, str) else known is None or "__path__" in known:
            if name.partition(".")[0] == __package__:
                own.append(name)
            else:
                is_alone = False
    for hook in (*sys.meta_path, *sys.path_hooks):
        if getattr(hook, "__module__", None) not in _IMPORT_SYSTEM:
            is_alone = False
    return own, is_alone


def _move_prefix(directory: str) -> None:
    """Set what `site` sets in a virtual environment, and what was computed from the old values."""
    sys.prefix = sys.exec_prefix = directory
    sys.executable = directory + "/bin/python"
    base = getattr(sys, "_base_executable", "")
    sys._home = os.path.dirname(base) if base else None  # type: ignore[attr-defined]
    # Python 3.14 knows the prefixes of an environment before `site` does, and lists both.
    site.PREFIXES[:] = [directory] if sys.version_info < (3, 14) else [directory, directory]
    site.ENABLE_USER_SITE = False
    configuration: "Any" = sys.modules.get("sysconfig")
    if configuration is not None:
        configuration._PREFIX = configuration._EXEC_PREFIX = directory
        configuration._CONFIG_VARS = None
        configuration._CONFIG_VARS_INITIALIZED = False
    spawn: "Any" = sys.modules.get("multiprocessing.spawn")
    if spawn is not None:
        spawn.set_executable(sys.executable)
