"""Gives memory back to the system when a large piece of work is over.

What a cold run of a hundred wheels needs is free again afterwards, but in pieces that the C library keeps for
the next time; a daemon may sit there for hours before that comes.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["give_back"]


def give_back() -> None:
    """Collect what is unreachable and return free pages to the system; blocks for some milliseconds."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return  # only glibc keeps so much that it has a call for it
    trim(ctypes.c_size_t(0))
