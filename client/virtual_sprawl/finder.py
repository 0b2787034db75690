"""The finder of a path set: the answers of CPython's FileFinder, without its system calls.

It sits in `sys.path_hooks`, so that PathFinder stays in charge: the order of sys.path decides, namespace
packages are merged over all entries, and everything that asks PathFinder, pkgutil or importlib.metadata sees
the set as it sees any directory.

1. It claims the set's site-packages, directories below it, and those below `wheels/` and `bundles/`;
   everything else is left to the next hook.
2. Top-level names are answered from the set index, names below from the pack of the entry they lie in. A
   directory that no pack knows is listed once: nothing in the store ever changes while a process runs.
3. Within one directory FileFinder decides: package over module over namespace portion, and among files the
   interpreter's own order of suffixes.
4. Bytecode comes from the pack, or from a file that exists; none is written into the store.
"""

import os
import sys

# Under these names the import system is always loaded; `importlib.machinery` would be four more modules.
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import FileFinder

# By its name only: long after a start, the package that this is loaded into is none to import modules from.
from . import packs, topfinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, Optional, Tuple

__all__ = ["SetIndex"]

INDEX_FORMAT = topfinder.INDEX_FORMAT
StoreSourceLoader = topfinder.StoreSourceLoader

NAMESPACE = 2

# How the names of bytecode files end (PEP 3147); empty where the import system is to work that out.
_compiled = ""
if not sys.flags.optimize and sys.implementation.cache_tag:
    _compiled = "." + sys.implementation.cache_tag + ".pyc"


class SetIndex:
    """What is known of one set: its index, its packs, and the directories that were listed so far.

    `top` is the index's table: top-level name -> kind (0 package, 1 module, 2 namespace) and path relative to
    `site_packages`. `start_up` names the `.pth` files there, where the index tells.
    """

    __slots__ = (
        "_digests",
        "_listings",
        "_owners",
        "_pack_directory",
        "_packs",
        "directory",
        "forms",
        "loaders",
        "site_packages",
        "start_up",
        "top",
    )

    def __init__(self, data: "Any", directory: str) -> None:
        """Take the index of the set in `directory`: its bytes, or what `topfinder.decode_index` made of them.

        Raises what that raises.
        """
        fields = topfinder.decode_index(data) if isinstance(data, bytes) else data
        _, tag, recorded, site_packages, top, start_up, digests, owners = fields
        self.directory = directory
        # The store may have been moved as a whole since the index was written.
        self.site_packages: str = directory + site_packages[len(recorded) :]
        self.top: "Dict[str, Tuple[int, str]]" = top
        self.start_up: "Optional[Tuple[str, ...]]" = start_up
        self._digests: "Tuple[str, ...]" = digests
        self._owners: "Dict[str, int]" = owners
        store = os.path.dirname(os.path.dirname(directory))
        self._listings: "Dict[str, Optional[Dict[str, bool]]]" = {}
        self.loaders = [
            (suffix, loader) for loader, suffixes in topfinder.loader_details() for suffix in suffixes
        ]
        # What follows a module's name in its path -> its loader, and whether it is a package.
        self.forms = {suffix: (loader, False) for suffix, loader in self.loaders}
        self.forms.update({"/__init__" + suffix: (loader, True) for suffix, loader in self.loaders})
        self._pack_directory = store + "/packs/" + packs.tag(tag, self.loaders[0][0]) + "/"
        self._packs: "Dict[int, Optional[packs.Pack]]" = {}

    def entrance(self) -> topfinder.Entrance:
        """Return the entrance to this set, open already."""
        fields: "Any" = (None, None, None, None, self.top)
        return topfinder.Entrance(self.directory, self.site_packages, lambda *_: self, fields)

    def path_hook(self) -> "Callable[[str], FileFinder]":
        """Return the entry for `sys.path_hooks`."""
        return self.entrance().path_hook()

    def finder(self, path: str, details: "Any") -> FileFinder:
        """Return the finder of a directory below; ImportError for what is none."""
        below = self.site_packages + "/"
        if path.startswith(below):
            relative = path[len(below) :]
            pack = self.pack(relative)
            table = None if pack is None else pack.table(relative)
            if pack is not None and table is not None:
                return PackedFinder(path, self, details, pack, table)
        if self.listing(path) is not None:
            return DirectoryFinder(path, self, details)
        raise ImportError("not a directory of the path set", path=path)

    def top_spec(self, fullname: str, tail: str) -> "Optional[ModuleSpec]":
        """Return the spec of a top-level module of the set, or None."""
        found = self.top.get(tail)
        if found is None:
            return None
        kind, relative = found
        if kind == NAMESPACE:
            return _namespace(fullname, self.site_packages + "/" + relative)
        form = relative[len(tail) :]
        return self.spec(fullname, self.site_packages + "/" + tail, form) if form in self.forms else None

    def spec(self, fullname: str, base: str, form: str) -> ModuleSpec:
        """Return the spec of the module in the file `base` + `form`, with its pack where there is one."""
        loader, is_package = self.forms[form]
        spec = _spec(fullname, base + form, loader, base if is_package else "")
        below = self.site_packages + "/"
        if loader is StoreSourceLoader and base.startswith(below):
            self._set_packed(spec, base[len(below) :], form)
        return spec

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

    def _set_packed(self, spec: ModuleSpec, base: str, form: str) -> None:
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
                        return index.spec(fullname, base, "/__init__" + suffix)
        for suffix, _ in index.loaders:
            if names.get(tail + suffix) is False:
                return index.spec(fullname, self.path + "/" + tail, suffix)
        return _namespace(fullname, base) if is_directory else None


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


def _spec(name: str, path: str, loader: "Any", package: str = "") -> ModuleSpec:
    spec = ModuleSpec(name, loader(name, path), origin=path)
    spec.has_location = True
    if loader is StoreSourceLoader and _compiled and sys.pycache_prefix is None:
        # What the import system would work out for each module, in 5 us.
        head, _, tail = path.rpartition("/")
        spec.cached = head + "/__pycache__/" + tail[:-3] + _compiled
    if package:
        spec.submodule_search_locations = [package]
    return spec


def _namespace(name: str, path: str) -> ModuleSpec:
    spec = ModuleSpec(name, None)
    spec.submodule_search_locations = [path]
    return spec
