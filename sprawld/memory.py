"""Gives memory back to the system when a large piece of work is over.

What a cold run of a hundred wheels needs is free again afterwards, but in pieces that the C library keeps for
the next time; a daemon may sit there for hours before that comes.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["be_sparing", "give_back"]

_M_ARENA_MAX = -8
"""Of mallopt(3): how many heaps threads may have between them."""


def be_sparing() -> None:
    """Let all threads share one heap; to be called before there are any.

    Each would get a heap of its own, and leave holes in it. They hardly compete: Python's own lock decides.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    set_option(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect what is unreachable and return free pages to the system; blocks for some milliseconds."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return  # only glibc keeps so much that it has a call for it
    trim(ctypes.c_size_t(0))
