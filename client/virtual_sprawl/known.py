"""Tells `importlib.metadata` the entry points of a set's distributions without opening a file for each.

The distributions are those that CPython finds, in its order; those that the set's file `entry-points` knows
read their `entry_points.txt` from there, and everything else as ever.
"""

import marshal

from . import ownfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, Optional

__all__ = ["known_distributions"]

_FORMAT = 1
_LIMIT = 16 << 20

_tables: "Dict[str, Any]" = {}
_kinds: "Dict[Any, Any]" = {}


def known_distributions(found: "Iterable[Any]", directory: str, site_packages: str) -> "Iterator[Any]":
    """Yield the distributions `found`; those of the set in `directory` know their entry points."""
    for one in found:
        kind = type(one)
        if kind.__name__ == "PathDistribution":
            head, _, tail = str(one._path).rpartition("/")
            if head == site_packages and tail in _table(directory):
                if (kind, directory) not in _kinds:
                    _kinds[kind, directory] = _knowing(kind, _table(directory))
                one.__class__ = _kinds[kind, directory]
        yield one


def _knowing(kind: "Any", table: "Dict[str, Optional[str]]") -> "Any":
    """Return the kind of distribution that has its entry points from `table`; it passes for `kind`."""

    class PathDistribution(kind):  # type: ignore[misc]
        def read_text(self, filename: "Any") -> "Any":
            if filename == "entry_points.txt":
                return table[str(self._path).rpartition("/")[2]]
            return super().read_text(filename)

        def __reduce__(self) -> "Any":
            # Who loads a pickle may know nothing of the set.
            return kind, (self._path,)

    PathDistribution.__module__, PathDistribution.__qualname__ = kind.__module__, kind.__qualname__
    PathDistribution.__doc__, PathDistribution.read_text.__doc__ = kind.__doc__, kind.read_text.__doc__
    return PathDistribution


def _table(directory: str) -> "Dict[str, Optional[str]]":
    table: "Optional[Dict[str, Optional[str]]]" = _tables.get(directory)
    if table is None:
        try:
            known, table = marshal.loads(ownfile.read_own(directory + "/entry-points", _LIMIT))
        except Exception:
            known, table = None, {}  # then each file is opened
        if known != _FORMAT or table is None:
            table = {}
        _tables[directory] = table
    return table
