"""The lease: an open pipe, `leases/<digest>` in the store, which keeps gc from a set that a process runs on.

1. Open, then look again: if the path no longer leads to the pipe, gc is about to collect the set, or has. The
   other way of holding it, `flocked`, waits for the end of that.
2. The descriptor is kept for life and never closed by us, read from or written to. Forks share it; the kernel
   closes it with the last of them, however that dies. Programs that are started anew take their own.
3. The mtime of the set's file `lease` is when it was last used, to the hour: a start that asks no daemon
   tells it so.
"""

import os
from time import time

__all__ = ["take_lease"]

# Programs expect the small numbers for their own files (`3` after a shell's `3<file`, tests that count).
_HIGH_DESCRIPTORS = range(200, 220)

# Age is counted in days; an inode need not be written at every start.
_STAMP_SECONDS = 3600.0

_PIPE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


def take_lease(directory: str) -> int:
    """Hold the set in `directory` until this process and its forks end; return the descriptor that does.

    Raises OSError when the set is not there (any more): then it has to be asked for again.
    """
    store, _, name = directory.rpartition("/sets/")
    pipe = store + "/leases/" + name
    descriptor = -1
    try:
        descriptor = os.open(pipe, _PIPE_FLAGS)
        held, found = os.fstat(descriptor), os.lstat(pipe)
        used = os.stat(directory + "/lease").st_mtime
        if held.st_ino != found.st_ino or held.st_dev != found.st_dev or held.st_mode & 0o170000 != 0o010000:
            raise FileNotFoundError
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        from . import flocked

        return flocked.take_lock(directory)
    if abs(time() - used) > _STAMP_SECONDS:
        try:
            os.utime(directory + "/lease")
        except OSError:
            pass  # a read-only file system
    for high in _HIGH_DESCRIPTORS:
        try:
            os.fstat(high)
        except OSError:
            break
    else:
        return descriptor
    try:
        os.dup2(descriptor, high, False)
    except OSError:
        return descriptor  # a limit on open files below that number: the small one has to do
    os.close(descriptor)
    return high
