"""What is said when a package has tried to write into the store and its error ended the program."""

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional

__all__ = ["tell"]

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_LONGEST_CHAIN = 20

_LINE = (
    "virtual-sprawl: packages are read-only, and %s is one's file; "
    "hint: `sprawl run --writable` runs on a copy that belongs to the project\n"
)


def tell(error: "Optional[BaseException]", directory: str) -> None:
    """Write a line to stderr if an error, or one that led to it, is about a file of the set `directory`."""
    store = os.path.dirname(os.path.dirname(directory))
    below = (directory + "/", store + "/wheels/", store + "/bundles/")
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _REFUSALS:
            for name in (one.filename, one.filename2):
                path = _path(name)
                if path.startswith(below) or os.path.realpath(path).startswith(below):
                    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
                    sys.stderr.write(_LINE % shown)
                    return


def _path(name: object) -> str:
    return os.path.abspath(os.fsdecode(name)) if isinstance(name, (str, bytes)) and name else ""


def _chain(error: "Optional[BaseException]") -> "Iterator[BaseException]":
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
