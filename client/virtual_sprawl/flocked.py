"""The lease where there is no pipe for it: a shared lock on the set's file `lease`.

Sets on file systems that other machines share are held so, those that an older daemon made, and any while gc
looks whether it is used: then the lock is waited for.
"""

import _imp
import os
import sys
from _frozen_importlib import ModuleSpec
from time import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["take_lock"]

# Programs expect the small numbers for their own files.
_FIRST_DESCRIPTOR = 200
_STAMP_SECONDS = 3600.0
_LEASE_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

# Up to 3.9 `fcntl` puts itself into sys.modules, without a spec.
_FCNTL_IS_FREE = sys.version_info >= (3, 10)


def take_lock(directory: str) -> int:
    """Hold the set in `directory` until this process and its forks end; return the descriptor that does.

    Waits for the moment in which gc itself holds the lock. Raises OSError when the set is not there (any
    more): then it has to be asked for again.
    """
    fcntl = _fcntl()
    path = directory + "/lease"
    try:
        # Some network file systems lock only descriptors that can be written to.
        descriptor = os.open(path, os.O_RDWR | _LEASE_FLAGS)
    except FileNotFoundError:
        raise
    except OSError:
        # A read-only file system: its sets cannot be collected, but it may be remounted.
        descriptor = os.open(path, os.O_RDONLY | _LEASE_FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        pass  # no locks here at all: gc finds that out too, and collects nothing
    held = os.fstat(descriptor)
    try:
        still_there = os.path.samestat(held, os.stat(path))
    except OSError:
        still_there = False
    if not still_there:
        os.close(descriptor)
        raise FileNotFoundError("the set was collected: " + directory)
    if abs(time() - held.st_mtime) > _STAMP_SECONDS:
        try:
            os.utime(descriptor)
        except OSError:
            pass  # a read-only file system
    try:
        high: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    except OSError:
        return descriptor  # a limit on open files below that number: the small one has to do
    os.close(descriptor)
    return high


def _fcntl() -> "Any":
    """Return a module `fcntl` of our own, from where it always lies: to search for it takes as long again.

    The program's own import of that name, which may find another file, is left to it.
    """
    if _FCNTL_IS_FREE and "fcntl" not in sys.modules and "fcntl" not in sys.builtin_module_names:
        for path in sys.path:
            if isinstance(path, str) and path.endswith("/lib-dynload"):
                file = "%s/fcntl%s" % (path, _imp.extension_suffixes()[0])
                try:
                    module = _imp.create_dynamic(ModuleSpec("fcntl", None, origin=file))
                    _imp.exec_dynamic(module)
                    return module
                except ImportError:
                    break
    import fcntl

    return fcntl
