"""The finder of a path set: the answers of CPython's FileFinder, without its system calls.

It sits in `sys.path_hooks`, so that PathFinder stays in charge: the order of sys.path decides, namespace
packages are merged over all entries, and everything that asks PathFinder, pkgutil or importlib.metadata sees
the set as it sees any directory.

1. It claims the set's site-packages, directories below it, and directories below the store's `wheels/`;
   everything else is left to the next hook.
2. Top-level names are answered from the set index, names below from the pack of the entry they lie in. A
   directory that no pack knows is listed once: nothing in the store ever changes while a process runs.
3. Within one directory FileFinder decides: package over module over namespace portion, and among files the
   interpreter's own order of suffixes.
4. Bytecode comes from the pack, or from a file that exists; none is written into the store.
"""

# Under these names the import system is always loaded; `importlib.machinery` would be four more modules.
import _frozen_importlib_external as external
import _imp
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import FileFinder, SourceFileLoader

from . import packs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any, Callable, Dict, Optional, Tuple

__all__ = ["SetIndex", "TopFinder", "install"]

INDEX_FORMAT = 2

NAMESPACE = 2


class StoreSourceLoader(SourceFileLoader):
    """Loads a source file of the store; takes bytecode from the pack, and writes none into the store."""

    packed: "Optional[Tuple[packs.Pack, packs.Place]]" = None
    """Where the code lies, for loaders that the set's finder made."""

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


class SetIndex:
    """What is known of one set: its index, its packs, and the directories that were listed so far.

    `top` is the index's table: top-level name -> kind (0 package, 1 module, 2 namespace) and path relative to
    `site_packages`. `start_up` names the `.pth` files there, where the index tells.
    """

    __slots__ = (
        "_below",
        "_details",
        "_digests",
        "_listings",
        "_owners",
        "_pack_directory",
        "_packs",
        "forms",
        "loaders",
        "site_packages",
        "start_up",
        "top",
    )

    def __init__(self, data: bytes, directory: str) -> None:
        """Decode the index of the set in `directory`; only bytes that this user's own daemon wrote.

        Raises ValueError for an index of another format or interpreter.
        """
        version, tag, *fields = marshal.loads(data)
        if version != INDEX_FORMAT or tag != sys.implementation.cache_tag:
            raise ValueError("the set index is of another format or interpreter")
        recorded, site_packages, top, start_up, digests, owners = fields
        # The store may have been moved as a whole since the index was written.
        self.site_packages: str = directory + site_packages[len(recorded) :]
        self.top: "Dict[str, Tuple[int, str]]" = top
        self.start_up: "Optional[Tuple[str, ...]]" = start_up
        self._digests: "Tuple[str, ...]" = digests
        self._owners: "Dict[str, int]" = owners
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
        # What follows a module's name in its path -> its loader, and whether it is a package.
        self.forms = {suffix: (loader, False) for suffix, loader in self.loaders}
        self.forms.update({"/__init__" + suffix: (loader, True) for suffix, loader in self.loaders})
        self._pack_directory = store + "/packs/" + packs.tag(tag, self.loaders[0][0]) + "/"
        self._packs: "Dict[int, Optional[packs.Pack]]" = {}

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
        if path.startswith(self._below) and "/../" not in path + "/":
            if path.startswith(self._below[0]):
                relative = path[len(self._below[0]) :]
                pack = self.pack(relative)
                table = None if pack is None else pack.table(relative)
                if pack is not None and table is not None:
                    return PackedFinder(path, self, details, pack, table)
            if self.listing(path) is not None:
                return DirectoryFinder(path, self, details)
        raise ImportError("not a directory of the path set", path=path)

    def pack(self, relative: str) -> "Optional[packs.Pack]":
        """Return the pack of the entry that a path below site-packages leads into; None without one."""
        owner = None
        end = 0
        # Directories that several entries share lie in none of them; what is in them does.
        while owner is None and end >= 0:
            end = relative.find("/", end + 1)
            owner = self._owners.get(relative if end < 0 else relative[:end])
        if owner is None:
            return None
        if owner not in self._packs:
            # Looked for once: a pack that comes later is for the next process.
            path = self._pack_directory + self._digests[owner] + ".pack"
            self._packs[owner] = packs.open_pack(path, [suffix for suffix, _ in self.loaders])
        return self._packs[owner]

    def set_packed(self, spec: ModuleSpec, base: str, form: str) -> None:
        """Let the loader of the source file `base` + `form`, a path below site-packages, use its pack."""
        pack = self.pack(base + form)
        if pack is not None:
            directory, _, tail = base.rpartition("/")
            place = (pack.table(directory) or {}).get(tail)
            # The entry may have a file of this name that comes first in it, and not in the set.
            if place and place[2] and place[0] == form:
                spec.loader.packed = pack, place  # type: ignore[union-attr]

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
                for suffix, _ in index.loaders:
                    if inside.get("__init__" + suffix) is False:
                        return self._spec(fullname, "/__init__" + suffix)
        for suffix, _ in index.loaders:
            if names.get(tail + suffix) is False:
                return self._spec(fullname, suffix)
        return _namespace(fullname, base) if is_directory else None

    def _spec(self, fullname: str, form: str) -> ModuleSpec:
        index = self._index
        base = self.path + "/" + fullname.rpartition(".")[2]
        loader, is_package = index.forms[form]
        spec = _spec(fullname, base + form, loader, base if is_package else "")
        below = index.site_packages + "/"
        if loader is StoreSourceLoader and base.startswith(below):
            index.set_packed(spec, base[len(below) :], form)
        return spec


class PackedFinder(DirectoryFinder):
    """Finds modules in one directory of an entry, from the entry's pack."""

    def __init__(
        self, path: str, index: SetIndex, details: "Any", pack: "packs.Pack", table: "Dict[str, packs.Place]"
    ) -> None:
        super().__init__(path, index, details)
        self._pack = pack
        self._table = table

    def find_spec(self, fullname: str, target: "Optional[ModuleType]" = None) -> "Optional[ModuleSpec]":
        """Return the spec of a module in this directory, or None if it has none of that name."""
        tail = fullname.rpartition(".")[2]
        place = self._table.get(tail)
        if place is None:
            return None
        base = self.path + "/" + tail
        if not place[0]:
            return _namespace(fullname, base)
        loader, is_package = self._index.forms[place[0]]
        spec = _spec(fullname, base + place[0], loader, base if is_package else "")
        if place[2]:
            spec.loader.packed = self._pack, place  # type: ignore[union-attr]
        return spec


class TopFinder(DirectoryFinder):
    """Finds the set's top-level modules, from the set index."""

    def find_spec(self, fullname: str, target: "Optional[ModuleType]" = None) -> "Optional[ModuleSpec]":
        """Return the spec of a top-level module of the set, or None."""
        tail = fullname.rpartition(".")[2]
        found = self._index.top.get(tail)
        if found is None:
            return None
        kind, relative = found
        if kind == NAMESPACE:
            return _namespace(fullname, self.path + "/" + relative)
        form = relative[len(tail) :]
        return self._spec(fullname, form) if form in self._index.forms else None


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
