"""The entry points of a set's distributions in one file, so that asking for all of them opens one.

    entry-points: marshal of (1, {name of the .dist-info directory: text of its entry_points.txt, or None})

None: it has no such file. Directories that are not there at all are read as they lie: those of the user's
own projects, and what cannot be read here as `importlib.metadata` does. The reader is the client's `known`.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Final

from sprawld.store import files

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .pathset import SetEntry

__all__ = ["NAME", "encode", "entry_points_of"]

NAME: Final = "entry-points"
FORMAT: Final = 1
MARSHAL_VERSION: Final = 4

_BYTES: Final = 256 << 10
"""The longest text that is kept; the longest known has 30 kB."""


def entry_points_of(entry: str, dist_info: str) -> tuple[str | None, ...]:
    """Return the `entry_points.txt` of the entry at this path, None without one; nothing if unreadable."""
    try:
        content = files.read_small(f"{entry}/lib/python/site-packages/{dist_info}/entry_points.txt", _BYTES)
        # As `Path.read_text`.
        return (content.decode().replace("\r\n", "\n").replace("\r", "\n"),)
    except FileNotFoundError:
        return (None,)
    except (OSError, ValueError):
        return ()


def encode(entries: Iterable[SetEntry], links: Container[str], site_packages: str, store: str) -> bytes:
    """Return the file of a set; `links` are the paths of its links, `site_packages` is a path in it."""
    table: dict[str, str | None] = {}
    for entry in entries:
        name = entry.summary.dist_info
        if f"{site_packages}/{name}" in links:
            known = entry.entry_points
            if known is None:
                known = entry_points_of(f"{store}/wheels/{entry.digest}", name)
            table.update((name, text) for text in known)
    return marshal.dumps((FORMAT, dict(sorted(table.items()))), MARSHAL_VERSION)
