"""The finder of a path set: the answers of CPython's FileFinder, without its system calls.

It sits in `sys.path_hooks`, so that PathFinder stays in charge: the order of sys.path decides, namespace
packages are merged over all entries, and everything that asks PathFinder, pkgutil or importlib.metadata sees
the set as it sees any directory.

1. It claims the set's site-packages, directories below it, and directories below the store's `wheels/`;
   everything else is left to the next hook.
2. Top-level names are answered from the set index. A directory below is listed once: nothing there ever
   changes while a process runs, so nothing is looked at twice.
3. Within one directory FileFinder decides: package over module over namespace portion, and among files the
   interpreter's own order of suffixes.
4. Bytecode that exists is read; none is written into the store.
"""

# Under these names the import system is always loaded; `importlib.machinery` would be four more modules.
import _frozen_importlib_external as external
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import FileFinder, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, Optional, Tuple

__all__ = ["SetIndex", "TopFinder", "install"]

INDEX_FORMAT = 1

PACKAGE = 0
NAMESPACE = 2


class StoreSourceLoader(SourceFileLoader):
    """Loads a source file of the store; reads the bytecode it finds, writes none there."""

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:  # type: ignore[override]
        """Write only where the user has sent all bytecode to a place of its own."""
        if sys.pycache_prefix is not None:
            super().set_data(path, data, _mode=_mode)


class SetIndex:
    """What is known of one set: its index, and the directories that were listed so far.

    `top` is the index's table: top-level name -> kind (0 package, 1 module, 2 namespace) and path relative to
    `site_packages`. `start_up` names the `.pth` files there, where the index tells.
    """

    __slots__ = ("_below", "_details", "_listings", "loaders", "site_packages", "start_up", "top")

    def __init__(self, data: bytes, directory: str) -> None:
        """Decode the index of the set in `directory`; only bytes that this user's own daemon wrote.

        Raises ValueError for an index of another format or interpreter.
        """
        version, tag, recorded, site_packages, top, *more = marshal.loads(data)
        if version != INDEX_FORMAT or tag != sys.implementation.cache_tag:
            raise ValueError("the set index is of another format or interpreter")
        # The store may have been moved as a whole since the index was written.
        self.site_packages: str = directory + site_packages[len(recorded) :]
        self.top: "Dict[str, Tuple[int, str]]" = top
        self.start_up: "Optional[Tuple[str, ...]]" = more[0] if more else None
        store = os.path.dirname(os.path.dirname(directory))
        self._below = (self.site_packages + "/", store + "/wheels/")
        self._listings: "Dict[str, Optional[Dict[str, bool]]]" = {}
        # The interpreter's own list, with the loader of sources replaced.
        self._details = [
            (StoreSourceLoader if loader is SourceFileLoader else loader, suffixes)
            # The stubs do not have the function; every CPython from 3.8 on has it.
            for loader, suffixes in external._get_supported_file_loaders()  # type: ignore[attr-defined]
        ]
        self.loaders = [(suffix, loader) for loader, suffixes in self._details for suffix in suffixes]

    def path_hook(self) -> "Callable[[str], FileFinder]":
        """Return the entry for `sys.path_hooks`.

        It is made as CPython makes its own, and so passes for that where others look for it, to put a hook of
        theirs in front or to learn the loaders (beartype.claw).
        """
        make: "Any" = FileFinder.path_hook
        hook: "Callable[[str], FileFinder]" = make.__func__(self.finder, *self._details)
        return hook

    def finder(self, path: str, *details: "Any") -> FileFinder:
        """Return the finder of a directory; ImportError for one that is not claimed."""
        path = path.rstrip("/")
        if path == self.site_packages:
            return TopFinder(path, self, details)
        if path.startswith(self._below) and "/../" not in path + "/" and self.listing(path) is not None:
            return DirectoryFinder(path, self, details)
        raise ImportError("not a directory of the path set", path=path)

    def listing(self, path: str) -> "Optional[Dict[str, bool]]":
        """Return name -> whether it is a directory for what is in `path`; None if that is no directory."""
        try:
            return self._listings[path]
        except KeyError:
            pass
        found = None
        try:
            with os.scandir(path) as entries:
                found = {entry.name: entry.is_dir() for entry in entries}
        except OSError:
            pass
        self._listings[path] = found
        return found


class DirectoryFinder(FileFinder):
    """Finds modules in one directory of the store, from one listing.

    A subclass of FileFinder, because pkgutil, pkg_resources and others choose what they do by that type.
    """

    def __init__(self, path: str, index: SetIndex, details: "Any") -> None:
        super().__init__(path, *details)
        self._index = index

    def invalidate_caches(self) -> None:
        """Do nothing: what is in the store never changes."""

    def find_spec(self, fullname: str, target: "Optional[ModuleType]" = None) -> "Optional[ModuleSpec]":
        """Return the spec of a module in this directory, or None if it has none of that name."""
        index = self._index
        names = index.listing(self.path)
        if names is None:
            return None
        tail = fullname.rpartition(".")[2]
        is_directory = names.get(tail, False)
        if is_directory:
            base = self.path + "/" + tail
            inside = index.listing(base)
            if inside is not None:
                for suffix, loader in index.loaders:
                    if inside.get("__init__" + suffix) is False:
                        return _spec(fullname, base + "/__init__" + suffix, loader, base)
        for suffix, loader in index.loaders:
            if names.get(tail + suffix) is False:
                return _spec(fullname, self.path + "/" + tail + suffix, loader)
        return _namespace(fullname, base) if is_directory else None


class TopFinder(DirectoryFinder):
    """Finds the set's top-level modules, from the set index."""

    def find_spec(self, fullname: str, target: "Optional[ModuleType]" = None) -> "Optional[ModuleSpec]":
        """Return the spec of a top-level module of the set, or None."""
        found = self._index.top.get(fullname.rpartition(".")[2])
        if found is None:
            return None
        kind, relative = found
        path = self.path + "/" + relative
        if kind == NAMESPACE:
            return _namespace(fullname, path)
        for suffix, loader in self._index.loaders:
            if path.endswith(suffix):
                return _spec(fullname, path, loader, os.path.dirname(path) if kind == PACKAGE else "")
        return None


def _spec(name: str, path: str, loader: "Any", package: str = "") -> ModuleSpec:
    spec = ModuleSpec(name, loader(name, path), origin=path)
    spec.has_location = True
    if package:
        spec.submodule_search_locations = [package]
    return spec


def _namespace(name: str, path: str) -> ModuleSpec:
    spec = ModuleSpec(name, None)
    spec.submodule_search_locations = [path]
    return spec


def install(index: SetIndex) -> None:
    """Put the hook of a set in front of the others, and forget finders made for its directories before.

    Raises ImportError, and changes nothing, when the set's site-packages is not there.
    """
    site_packages = index.site_packages
    below = site_packages + "/"
    hook = index.path_hook()
    found = hook(site_packages)
    for path in list(sys.path_importer_cache):
        if path.startswith(below):
            del sys.path_importer_cache[path]
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache[site_packages] = found
