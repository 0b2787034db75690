"""What a set's own `bin/python` does at start: holds the set, and finds its modules by the set index.

Called by the start-up files in the set, where this package has the name `_virtual_sprawl`; so only relative
imports. Python must work whatever happens here: without the finder CPython's own one serves the same modules.
"""

import os
import sys

__all__ = ["enter"]

# An index of 10,000 top-level names is about 1 MiB.
_INDEX_LIMIT = 16 << 20


def enter() -> None:
    """Take the lease and install the finder of the set that is `sys.prefix`. Idempotent; never raises."""
    directory = sys.prefix
    try:
        from . import finder

        # Start-up files run twice in some versions.
        if any(isinstance(found, finder.TopFinder) for found in sys.path_importer_cache.values()):
            return
        finder.install(finder.SetIndex(_read_index(directory), directory))
    except Exception:
        # CPython's own finder goes on alone, and must not write into the store.
        sys.dont_write_bytecode = True
    try:
        from . import lease

        lease.take_lease(directory)
    except Exception:
        # Collected while we started: what is still there runs on.
        pass


def _read_index(directory: str) -> bytes:
    descriptor = os.open(directory + "/index", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        # marshal trusts its input, so this user must be the one who wrote it.
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or found.st_size > _INDEX_LIMIT:
            raise PermissionError("the set index can be written by others")
        return file.read()
