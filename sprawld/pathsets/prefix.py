"""What wheels put beside site-packages: headers, `share/`, `etc/`, libraries in `lib/`, trees in `bin/`.

The scripts directly in `bin/` are written by the set itself, for its own interpreter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from sprawld.errors import StoreError

from .merge import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .merge import Tree
    from .pathset import SetEntry

__all__ = ["OWN_NAMES", "beside", "place_data"]

OWN_NAMES: Final = frozenset(
    {
        "bin",
        "boot",
        "entry-points",
        "include",
        "index",
        "lease",
        "lib",
        "lib64",
        "local",
        "pip.conf",
        "pyvenv.cfg",
        "set.json",
    }
)
"""Names at the set's root that no wheel's data gets: its own, and those below which some systems' `site`
looks for start-up files."""


def place_data(tree: Tree, entries: Iterable[SetEntry], store: str, library: str) -> None:
    """Link the data of all entries; the last one wins a file. StoreError `set.collision`."""
    places: dict[str, list[Source]] = {}
    headers: dict[str, list[Source]] = {}
    for entry in entries:
        for place in _places(entry, store):
            places.setdefault(place, []).append(_source(entry, place))
            directory, _, name = place.partition("/")
            if directory == "include" and canonicalize_name(name) == entry.name:
                headers[f"include/site/{library}/{name}"] = [_source(entry, place)]
    if headers:
        # Once more, where installers put them in a venv.
        for place in ("include/site", f"include/site/{library}"):
            tree.make_directory(place)
    for place, sources in (places | headers).items():
        tree.place(place, sources)


def _source(entry: SetEntry, place: str) -> Source:
    return Source(entry.package, f"wheels/{entry.digest}/{place}")


def _places(entry: SetEntry, store: str) -> Iterator[str]:
    """Yield what an entry wants linked, as paths from its root and the set's."""
    for name in entry.summary.data:
        if name in OWN_NAMES:
            raise StoreError("set.collision", f"{entry.package} has a data file called {name}")
        yield name
    found = beside(f"{store}/wheels/{entry.digest}") if entry.beside is None else entry.beside
    for directory, names in found.items():
        for name in names:
            if directory == "bin" and name in entry.summary.scripts:
                continue
            if directory == "lib" and name == "python":
                continue
            if directory == "lib" and name.startswith("python"):
                # Some systems' `site` looks into more than one such directory for start-up files.
                raise StoreError("set.collision", f"{entry.package} has data files in lib/{name}")
            yield f"{directory}/{name}"


def beside(entry: str) -> dict[str, list[str]]:
    """Return what lies in `include`, `lib` and `bin` of the entry at this path."""
    return {directory: _children(f"{entry}/{directory}") for directory in ("include", "lib", "bin")}


def _children(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
