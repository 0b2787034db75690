"""Forgets what site directories brought into this process, where that is more than our own start-up file.

Modules from dropped directories go, and the import hooks that they define. What cannot be undone in a running
process (a C extension, an import hook of unknown origin) is undone by starting again.
"""

import sys

from . import reexec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, List, Tuple

__all__ = ["clean"]

_MODULE = type(sys)
_IMPORT_SYSTEM = ("_frozen_importlib", "_frozen_importlib_external", "zipimport")


def clean(kept: "List[str]", dropped: "List[str]", python: str, execute: bool) -> "List[str]":
    """Forget them; return the names of this package's own modules among them, which are still needed.

    With `execute`, or where that is not possible, the process is replaced by the interpreter `python`.
    """
    origin = _Origin(kept, dropped)
    stale = [name for name, module in list(sys.modules.items()) if origin.is_dropped(module)]
    own = [name for name in stale if name.partition(".")[0] == __package__]
    stale = [name for name in stale if name not in own]
    if execute or _is_entangled(stale):
        reexec.execute(python)
    every: "Tuple[List[Any], ...]" = (sys.meta_path, sys.path_hooks)
    for hooks in every:
        hooks[:] = [hook for hook in hooks if getattr(hook, "__module__", None) not in stale]
    for name in stale:
        sys.modules.pop(name, None)
    return own


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
            return path.startswith(self._dropped) and self._owns(path)
        # Namespace packages, and those that old start-up files put together by hand.
        portions = known.get("__path__") if known is not None else getattr(module, "__path__", None)
        return portions is not None and any(self._owns(str(path)) for path in portions)

    def _owns(self, path: str) -> bool:
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
