"""A set entered through a link, such as `.venv` or the one that `sprawl ide` makes: the process stays on it.

The link may lead to another set tomorrow, while this process still imports. So what was computed from the
link's path is led to the set itself, before anything was imported from there.
"""

import os
import site
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

__all__ = ["settle", "tidy"]

_links: "List[str]" = []


def settle(link: str) -> str:
    """Return the set that the prefix `link` leads to, and make it this process's prefix.

    A prefix that leads to no set is returned as it is.
    """
    directory = os.path.realpath(link)
    if directory == link or not os.path.exists(directory + "/set.json"):
        return link
    _links.append(link + "/")
    sys.prefix = sys.exec_prefix = directory
    sys.executable = _moved(sys.executable, link, directory)
    sys.path[:] = [_moved(path, link, directory) for path in sys.path]
    site.PREFIXES[:] = [_moved(path, link, directory) for path in site.PREFIXES]
    return directory


def tidy() -> None:
    """Keep each directory once on sys.path: `site` comes by again, and remembers the link's path only."""
    paths = [path for path in sys.path if not path.startswith(tuple(_links))]
    sys.path[:] = dict.fromkeys(paths)


def _moved(path: str, link: str, directory: str) -> str:
    return directory + path[len(link) :] if (path + "/").startswith(link + "/") else path
