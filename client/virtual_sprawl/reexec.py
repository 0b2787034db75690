"""Starts the set's own interpreter in place of this one, with the same options and arguments."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, NoReturn

__all__ = ["execute", "original_arguments"]


def execute(executable: str) -> "NoReturn":
    """Replace this process; nothing of standard input has been read yet. Raises OSError."""
    environ = dict(os.environ)
    if environ.get("VIRTUAL_SPRAWL") != "inherit":
        environ.pop("VIRTUAL_SPRAWL", None)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.execve(executable, [executable, *original_arguments()[1:]], environ)


def original_arguments() -> "List[str]":
    """Return the command line as it was given, interpreter options included."""
    original = getattr(sys, "orig_argv", None)
    if original is not None:
        return list(original)
    # 3.8 and 3.9 keep it too, but only for C.
    try:
        import ctypes
    except ImportError:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(part) for part in file.read().split(b"\0")[:-1]]
    count = ctypes.c_int()
    values = ctypes.POINTER(ctypes.c_wchar_p)()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(values))
    return [values[position] or "" for position in range(count.value)]
