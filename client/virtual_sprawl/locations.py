"""Where the store and the socket lie; the single truth for both sides.

The rules are those of platformdirs (a test compares the two), written without it because the hook runs in
interpreters that do not have it. Specification: XDG Base Directory 0.8.

1. Every directory is absolute; a relative XDG variable is ignored, as the specification asks.
2. The socket never lies in a directory that other users can write.
"""

import os
import sys

APPLICATION = "virtual-sprawl"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "home_directory",
    "log_file",
    "runtime_directory",
    "socket_path",
    "socket_paths",
    "store_directory",
]


def home_directory(environ: "Mapping[str, str]") -> str:
    """Return the user's home: HOME if it is absolute, else the password database's entry."""
    home = environ.get("HOME", "")
    if home.startswith("/"):
        return home
    # Not os.path.expanduser, which believes any HOME, even an empty one.
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        # A container's user without an account: what every shell gives them.
        return "/"


def store_directory(environ: "Mapping[str, str]") -> str:
    """Return the store's root, `<cache>/virtual-sprawl`."""
    cache = environ.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):
        home = home_directory(environ)
        cache = home + ("/Library/Caches" if sys.platform == "darwin" else "/.cache")
    return cache.rstrip("/") + "/" + APPLICATION


def runtime_directory(environ: "Mapping[str, str]") -> str:
    """Return the directory of the socket: under XDG_RUNTIME_DIR if that is set, else in the store."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return runtime.rstrip("/") + "/" + APPLICATION
    # Without a session's runtime directory (cron, containers, macOS) the store is the one place that is
    # known to be this user's own; /tmp would let another user squat on the name.
    return store_directory(environ) + "/run"


def socket_path(environ: "Mapping[str, str]") -> str:
    """Return the path of the daemon's socket."""
    return runtime_directory(environ) + "/sock"


def socket_paths(environ: "Mapping[str, str]") -> "tuple[str, ...]":
    """Return where a daemon may listen, the nearest first.

    A daemon always listens in its store too: so a process of a session finds the daemon that a process
    without one (cron, a container) has started, and the other way round.
    """
    nearest, other = socket_path(environ), store_directory(environ) + "/run/sock"
    return (nearest,) if nearest == other else (nearest, other)


def log_file(environ: "Mapping[str, str]") -> str:
    """Return the file that a daemon started on demand writes its log to."""
    return store_directory(environ) + "/sprawld.log"
