"""The finder of a set's top-level modules, and the hook that claims the set's directories.

It needs the set's index only when a name is asked for, and leaves the set to CPython's own finder where that
cannot be had.
"""

# Under this name the import system is always loaded; `importlib.machinery` would be four more modules.
import _frozen_importlib_external as external
import _imp
import marshal
import os
import sys
from _frozen_importlib_external import FileFinder, PathFinder, SourceFileLoader
from _thread import get_ident

from . import ownfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _frozen_importlib import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any, Callable, List, Optional, Set, Tuple

    from .finder import SetIndex
    from .packs import Pack, Place

    Details = List[Tuple[Any, List[str]]]

__all__ = [
    "INDEX_FORMAT",
    "Entrance",
    "StoreSourceLoader",
    "TopFinder",
    "decode_index",
    "loader_details",
]

INDEX_FORMAT = 2

# While a module of the set is executed, young objects are collected after so many only...
_YOUNG_DURING_IMPORTS = 10_000
# ...and where there are more than these at a module's end, they are looked at once and put with the old ones.
_YOUNG_AFTER_IMPORT = 600
# Python 3.12 freezes some hundred objects when it starts; who freezes later freezes all there are, thousands.
_FROZEN_BY_PROGRAMS = 1000
# A collector without generations looks at everything each time, whatever is moved.
_HAS_GENERATIONS = "t" not in getattr(sys, "abiflags", "")

# An index of 10,000 top-level names is about 1 MiB.
_INDEX_LIMIT = 16 << 20


class StoreSourceLoader(SourceFileLoader):
    """Loads a source file of the store; takes bytecode from the pack, and writes none into the store."""

    packed: "Optional[Tuple[Pack, Place]]" = None
    """Where the code lies, for loaders that the set's finder made."""

    def exec_module(self, module: "ModuleType") -> None:
        """Execute the module; what it makes is not searched for garbage again and again meanwhile.

        Importing makes objects that stay, and the collector walks them all several times: a tenth of what
        large packages take to import. A program that changes the thresholds itself, or froze objects, keeps
        what it chose.
        """
        import gc

        chosen = gc.get_threshold()
        raised = (_YOUNG_DURING_IMPORTS, chosen[1], chosen[2])
        is_outermost = _HAS_GENERATIONS and 0 < chosen[0] < raised[0]
        if is_outermost:
            gc.set_threshold(*raised)
        try:
            _call(exec, self.get_code(module.__name__), module.__dict__)
        finally:
            if is_outermost and gc.get_threshold() == raised:
                gc.set_threshold(*chosen)
            if _HAS_GENERATIONS and gc.get_count()[0] > _YOUNG_AFTER_IMPORT:
                _make_all_old()

    def get_code(self, fullname: str) -> "Optional[CodeType]":
        """Return the module's code, with the names of files as they are in this set."""
        path = self.get_filename(fullname)
        if self.packed is not None:
            pack, place = self.packed
            code = pack.code(place)
            if code is not None:
                # As the import system does with a .pyc that was moved since it was compiled.
                _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
                return code
        return super().get_code(fullname)

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]
        """Write only where the user has sent all bytecode to a place of its own."""
        if sys.pycache_prefix is not None:
            super().set_data(path, data, _mode=_mode)


def _make_all_old() -> None:
    """Let objects pass for such that survived several collections."""
    import gc

    if gc.isenabled() and gc.get_freeze_count() < _FROZEN_BY_PROGRAMS:
        # Half of them are tuples of constants, which a collection takes from its lists when it has seen them:
        # for the one that every process ends with it is twice the work to find them then.
        gc.collect(0)
        gc.freeze()
        gc.unfreeze()


def _hide_from_tracebacks(function: "Any") -> None:
    """Let frames of a function pass for those of the import system, which Python leaves out of tracebacks."""
    function.__code__ = function.__code__.replace(co_filename=_call.__code__.co_filename)


# It names the frame that tells tracebacks where the import system ends and the module begins.
_call: "Any" = external._bootstrap._call_with_frames_removed  # type: ignore[attr-defined]
_hide_from_tracebacks(StoreSourceLoader.exec_module)
_hide_from_tracebacks(StoreSourceLoader.get_code)


def loader_details() -> "Details":
    """Return the interpreter's own (loader, suffixes), with the loader of sources replaced."""
    return [
        (StoreSourceLoader if loader is SourceFileLoader else loader, suffixes)
        # The stubs do not have the function; every CPython from 3.8 on has it.
        for loader, suffixes in external._get_supported_file_loaders()  # type: ignore[attr-defined]
    ]


class Entrance:
    """One set, of which nothing is read before a module is asked for that may lie in it.

    `load` makes the index of its decoded fields and the set's directory. Whatever goes wrong then leaves the
    set to CPython's own finder, which serves the same modules.
    """

    __slots__ = ("_fields", "_hook", "_index", "_load", "_opening", "details", "directory", "site_packages")

    def __init__(
        self, directory: str, site_packages: str, load: "Callable[[Any, str], SetIndex]", fields: "Any" = None
    ) -> None:
        self.directory = directory
        self.site_packages = site_packages
        self.details = loader_details()
        self._load = load
        self._fields = fields
        self._hook: "Any" = None
        self._index: "Optional[SetIndex]" = None
        self._opening: "Set[int]" = set()

    def path_hook(self) -> "Callable[[str], FileFinder]":
        """Return the entry for `sys.path_hooks`.

        It is made as CPython makes its own, and so passes for that where others look for it, to put a hook of
        theirs in front or to learn the loaders (beartype.claw).
        """
        if self._hook is None:
            make: "Any" = FileFinder.path_hook
            self._hook = make.__func__(self.finder, *self.details)
            _know_distributions(self.directory, self.site_packages)
        hook: "Callable[[str], FileFinder]" = self._hook
        return hook

    def finder(self, path: str, *details: "Any") -> FileFinder:
        """Return the finder of a directory; ImportError for one that is not claimed."""
        path = path.rstrip("/")
        if path == self.site_packages:
            return TopFinder(path, self, details)
        store = self.directory.rpartition("/sets/")[0]
        below = self.site_packages + "/", store + "/wheels/", store + "/bundles/"
        if path.startswith(below) and "/../" not in path + "/":
            index = self.index()
            if index is not None:
                return index.finder(path, details)
        raise ImportError("not a directory of the path set", path=path)

    def has(self, name: str) -> bool:
        """Tell whether a top-level name is in the set, or that cannot be told."""
        if self._fields is None:
            try:
                self._fields = decode_index(ownfile.read_own(self.directory + "/index", _INDEX_LIMIT))
            except Exception:
                self._withdraw()
                return True
        return name in self._fields[4]

    def index(self) -> "Optional[SetIndex]":
        """Return the set's index; None where it cannot be had, and to the imports of `load`."""
        thread = get_ident()
        if self._index is None and thread not in self._opening:
            self._opening.add(thread)
            try:
                if self._fields is None:
                    self._fields = decode_index(ownfile.read_own(self.directory + "/index", _INDEX_LIMIT))
                self._index = self._load(self._fields, self.directory)
            except Exception:
                self._withdraw()
            finally:
                self._opening.discard(thread)
        return self._index

    def before_coverage(self) -> None:
        """Let coverage know the store: it resolves links before it asks whose a file is."""
        try:
            # By its name in the set: after an activation this package has no other any more.
            outside: "Any" = __import__("_virtual_sprawl.outside").outside
            outside.name_the_store(self.directory, os.path.dirname(__file__))
        except Exception:
            pass  # then it counts what it should not

    def _withdraw(self) -> None:
        """Leave the set to CPython's own finder, which must not write into the store."""
        sys.dont_write_bytecode = True
        if self._hook in sys.path_hooks:
            sys.path_hooks.remove(self._hook)
        sys.path_importer_cache.pop(self.site_packages, None)


def _know_distributions(directory: str, site_packages: str) -> None:
    """Let PathFinder's distributions of the set know their entry points; what it finds stays the same."""
    finder: "Any" = PathFinder
    search: "Any" = getattr(finder, "find_distributions", None)

    def find_distributions(*args: "Any", **named: "Any") -> "Any":
        found = search(*args, **named)
        try:
            # By its name in the set: after an activation this package has no other any more.
            known: "Any" = __import__("_virtual_sprawl.known").known
        except Exception:
            return found
        return known.known_distributions(found, directory, site_packages)

    if search is not None:
        finder.find_distributions = staticmethod(find_distributions)


class TopFinder(FileFinder):
    """Finds the set's top-level modules, from the set index.

    A subclass of FileFinder, because pkgutil, pkg_resources and others choose what they do by that type.
    """

    def __init__(self, path: str, entrance: Entrance, details: "Any") -> None:
        super().__init__(path, *details)
        self._entrance = entrance

    def invalidate_caches(self) -> None:
        """Do nothing: what is in the store never changes."""

    def find_spec(self, fullname: str, target: "Optional[ModuleType]" = None) -> "Optional[ModuleSpec]":
        """Return the spec of a top-level module of the set, or None."""
        tail = fullname.rpartition(".")[2]
        if not self._entrance.has(tail):
            return None
        if tail == "coverage":
            self._entrance.before_coverage()
        index = self._entrance.index()
        if index is None:
            return super().find_spec(fullname, target)
        return index.top_spec(fullname, tail)


def decode_index(data: bytes) -> "Any":
    """Return the fields of a set index; only of bytes that this user's own daemon wrote.

    Raises ValueError for an index of another format or interpreter.
    """
    fields = marshal.loads(data)
    if fields[:2] != (INDEX_FORMAT, sys.implementation.cache_tag):
        raise ValueError("the set index is of another format or interpreter")
    return fields
