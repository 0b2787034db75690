"""Direct records: answers that a start may take from disk without a word to the daemon.

    <store>/direct/<name>      marshal.dumps((FORMAT, key, checks, set directory, site-packages, start-up), 4)

The name is a number made of the key, the key is every field of the request, and `checks` holds (path,
ctime_ns, size, inode) of everything whose change could change the answer, as the daemon looks at it for a
reply that it has ready. ctime_ns -1 says that the path must not exist; a directory's size does not count.

1. The daemon writes one when it has nothing left to do for the set: the set would survive a power cut, and
   the packs are made. Until then, and whenever a check fails, it is asked.
2. Whoever takes the answer takes the lease too, and finds out by that whether the set still exists.
3. The file must be this user's own, since marshal trusts its input.

Written without the import system in mind: this is the road of every warm start.
"""

import marshal
import os

from . import __version__, ownfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Optional, Tuple

    Direct = Tuple[str, str, Tuple[str, ...]]

__all__ = ["DIRECTORY", "FORMAT", "find_direct", "holds", "key_of", "name_of"]

# This format, that of the set index, and the release: another one's sets are made anew once.
FORMAT = (1, 2, __version__)
DIRECTORY = "direct"

# Hashing would take an extension module; two keys of one name only cost each other the short way.
_PRIME = (1 << 127) - 1
_RECORD_LIMIT = 1 << 20


def key_of(fields: "Mapping[str, str]") -> bytes:
    """Return the key of a request; no field holds a NUL, for paths and variables cannot."""
    return "\0".join(map("\0".join, fields.items())).encode("utf-8", "surrogateescape")


def name_of(key: bytes) -> str:
    """Return the name of a key's record."""
    return "%032x" % (int.from_bytes(key, "big") % _PRIME)


def find_direct(store: str, fields: "Mapping[str, str]") -> "Optional[Direct]":
    """Return (set directory, its site-packages, names of its `.pth` files) if that is known and true."""
    key = key_of(fields)
    try:
        record = marshal.loads(ownfile.read_own("%s/%s/%s" % (store, DIRECTORY, name_of(key)), _RECORD_LIMIT))
        known, recorded, checks, directory, site_packages, start_up = record
        if known != FORMAT or recorded != key:
            return None
        for check in checks:
            if not holds(*check):
                return None
    except Exception:
        # Absent, damaged or of another release: the daemon knows.
        return None
    return directory, site_packages, start_up


def holds(path: str, ctime_ns: int, size: int, inode: int) -> bool:
    """Tell whether a check of a record is still true; see the head of this file."""
    if ctime_ns == -1:
        # Most of the checks: without the exception that `stat` would make.
        return not os.access(path, os.F_OK)
    try:
        found = os.stat(path)
    except OSError:
        return False
    if found.st_ctime_ns != ctime_ns or found.st_ino != inode:
        return False
    # A directory; `stat` need not be loaded yet.
    return found.st_size == size or found.st_mode & 0o170000 == 0o040000
