"""Turns the running interpreter into a path set, as if the set's own `bin/python` had been started.

1. The lease comes first, and is the caller's to take: a failure leaves Python as it was.
2. What stays on sys.path is what was there before `site` came: PYTHONPATH and the standard library. All site
   directories go, with the modules and import hooks that came out of them, this package's among them.
3. What cannot be undone in a running process (a C extension from a dropped directory, an import hook of
   unknown origin) is undone by starting again, in the set's `bin/python`.
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
    if start_up is None:
        start_up = os.listdir(site_packages)
    start_up = [name for name in start_up if name.endswith(".pth") and name != "_virtual_sprawl.pth"]
    read_start_up_files: "Any" = None
    if start_up:
        # While this package can be found.
        from .startup_files import read_start_up_files
    kept, dropped = _divide(sys.path)
    origin = _Origin(kept, dropped)
    stale = [name for name, module in list(sys.modules.items()) if origin.is_dropped(module)]
    # This package is still needed for a moment.
    own = [name for name in stale if name.partition(".")[0] == __package__]
    stale = [name for name in stale if name not in own]
    if execute or _is_entangled(stale):
        from . import reexec

        reexec.execute(directory + "/bin/python")
    claim.claim_set(directory, site_packages)
    _purge(stale)
    for path in list(sys.path_importer_cache):
        if origin.owns(path):
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
    by_user = {os.path.abspath(path) for path in chosen.split(os.pathsep)} if chosen else ()
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
    moved = tuple(path + "/" for path in dropped)
    dropped += [path for path in kept if path.startswith(moved) and path not in by_user and path != library]
    return [path for path in kept if path not in dropped], dropped


class _Origin:
    """Tells what came from a dropped directory: the nearest of all directories on sys.path owns a file."""

    __slots__ = ("_dropped", "_kept")

    def __init__(self, kept: "Iterable[str]", dropped: "Iterable[str]") -> None:
        self._kept = tuple(path + "/" for path in kept)
        self._dropped = tuple(path + "/" for path in dropped)

    def is_dropped(self, module: "Any") -> bool:
        """Tell whether a module came from a dropped directory."""
        # Most modules of a start are built in: an attribute that is not there costs more than all the rest.
        known: "Any" = module.__dict__ if type(module) is _MODULE else None
        path = known.get("__file__") if known is not None else getattr(module, "__file__", None)
        if isinstance(path, str):
            return path.startswith(self._dropped) and self.owns(path)
        # Namespace packages, and those that old start-up files put together by hand.
        portions = known.get("__path__") if known is not None else getattr(module, "__path__", None)
        return portions is not None and any(self.owns(str(path)) for path in portions)

    def owns(self, path: str) -> bool:
        """Tell whether a path is a dropped directory, or belongs to one."""
        path += "/"
        # A start-up file may have added a directory that holds the standard library too.
        return _longest(path, self._dropped) > _longest(path, self._kept)


def _longest(path: str, directories: "Iterable[str]") -> int:
    return max((len(directory) for directory in directories if path.startswith(directory)), default=0)


def _is_entangled(stale: "Iterable[str]") -> bool:
    """Tell whether what the dropped directories did to this process cannot be undone in it."""
    for name in stale:
        if type(getattr(sys.modules[name], "__loader__", None)).__name__ == "ExtensionFileLoader":
            return True
    for hook in (*sys.meta_path, *sys.path_hooks):
        module = getattr(hook, "__module__", None)
        if module not in _IMPORT_SYSTEM and module not in sys.modules:
            return True
    return False


def _purge(stale: "List[str]") -> None:
    """Forget modules, and the import hooks that they define."""
    every: "Tuple[List[Any], ...]" = (sys.meta_path, sys.path_hooks)
    for hooks in every:
        hooks[:] = [hook for hook in hooks if getattr(hook, "__module__", None) not in stale]
    for name in stale:
        sys.modules.pop(name, None)


def _move_prefix(directory: str) -> None:
    """Set what `site` sets in a virtual environment, and what was computed from the old values."""
    sys.prefix = sys.exec_prefix = directory
    sys.executable = directory + "/bin/python"
    base = getattr(sys, "_base_executable", "")
    sys._home = os.path.dirname(base) if base else None  # type: ignore[attr-defined]
    site.PREFIXES[:] = [directory]
    site.ENABLE_USER_SITE = False
    configuration: "Any" = sys.modules.get("sysconfig")
    if configuration is not None:
        configuration._PREFIX = configuration._EXEC_PREFIX = directory
        configuration._CONFIG_VARS = None
        configuration._CONFIG_VARS_INITIALIZED = False
    spawn: "Any" = sys.modules.get("multiprocessing.spawn")
    if spawn is not None:
        spawn.set_executable(sys.executable)
