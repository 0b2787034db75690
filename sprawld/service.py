"""Knows service managers and nothing else: systemd's sockets and notifications, launchd's sockets.

1. What a manager put into the environment is for this process alone: it is read once and removed, so that no
   worker or build reports itself ready or takes the socket.
2. A socket is taken only after it was checked: a Unix stream socket that listens. Anything else is a unit
   that was written by hand and is wrong, and is said so instead of served.
3. Without a manager everything here is a quiet no: the daemon does not know the difference.

Specifications: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3), launch_activate_socket(3).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

__all__ = ["LISTENER", "Notifier", "inherited_socket"]

LISTENER: Final = "sprawld.socket"
"""What systemd calls the socket of that unit unless told otherwise; only asked for when there are several."""
LAUNCHD_LISTENER: Final = "Listener"
"""Key under `Sockets` in the property list."""
_FIRST_DESCRIPTOR: Final = 3
_MOST_DESCRIPTORS: Final = 64
# launch_activate_socket(3): there is no such socket in the property list; not started by launchd.
_ENOENT, _ESRCH = 2, 3
# The manager reads its socket at once; a manager that does not must not hold up the event loop.
SEND_SECONDS: Final = 0.25

_log = logging.getLogger(__name__)


def inherited_socket(environ: MutableMapping[str, str] | None = None) -> socket.socket | None:
    """Return the listening socket that a service manager passed to this process, or None.

    Removes LISTEN_* from `environ` (default: this process's). Raises ConfigError `config.invalid` when what
    was passed is not a listening Unix stream socket.
    """
    if sys.platform == "darwin":
        return _from_launchd()
    return _from_systemd(os.environ if environ is None else environ)


def _from_systemd(environ: MutableMapping[str, str]) -> socket.socket | None:
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "")
    # systemd 258 adds the inode of the process's pidfd: a second guard against inherited variables.
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not count.isdecimal() or not 0 < int(count) <= _MOST_DESCRIPTORS:
        return None
    descriptors = range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise _misconfigured(f"descriptor {descriptor} is not open") from error
    return _checked(_pick(descriptors, names.split(":") if names else []))


def _pick(descriptors: Sequence[int], names: Sequence[str]) -> int:
    if len(descriptors) == 1:
        return descriptors[0]
    named = [descriptor for descriptor, name in zip(descriptors, names, strict=False) if name == LISTENER]
    if len(named) != 1:
        raise _misconfigured(f"{len(descriptors)} sockets, and not one of them named {LISTENER}")
    return named[0]


def _from_launchd() -> socket.socket | None:
    # Nowhere else is there anything to call, and it costs a megabyte.
    import ctypes

    system = ctypes.CDLL(None)
    descriptors = ctypes.POINTER(ctypes.c_int)()
    count = ctypes.c_size_t()
    status: int = system.launch_activate_socket(
        LAUNCHD_LISTENER.encode(), ctypes.byref(descriptors), ctypes.byref(count)
    )
    if status in (_ENOENT, _ESRCH):
        return None
    if status:
        raise _misconfigured(os.strerror(status))
    passed = [descriptors[index] for index in range(count.value)]
    system.free(descriptors)
    for descriptor in passed:
        os.set_inheritable(descriptor, False)
    if len(passed) != 1:
        raise _misconfigured(f"{len(passed)} sockets under {LAUNCHD_LISTENER}")
    return _checked(passed[0])


def _checked(descriptor: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _misconfigured(f"descriptor {descriptor} is not a socket") from error
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM:
        what = f"descriptor {descriptor} is not a Unix stream socket"
    elif not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        what = f"descriptor {descriptor} does not listen (Accept= must be no)"
    else:
        return passed
    passed.detach()
    raise _misconfigured(what)


def _misconfigured(what: str) -> ConfigError:
    return ConfigError(
        "config.invalid",
        f"the service manager passed no usable socket: {what}",
        hint="write the units anew with `sprawlctl service install`",
    )


class Notifier:
    """Tells systemd how the daemon is; every call does nothing when nobody asked to be told."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        """Take NOTIFY_SOCKET and WATCHDOG_* out of `environ` (default: this process's)."""
        environ = os.environ if environ is None else environ
        self._address = _address(environ.pop("NOTIFY_SOCKET", ""))
        pid = environ.pop("WATCHDOG_PID", "")
        interval = environ.pop("WATCHDOG_USEC", "")
        self._watchdog_seconds = 0.0
        if interval.isdecimal() and pid in ("", str(os.getpid())):
            self._watchdog_seconds = int(interval) / 1_000_000
        self._sent = 0

    @property
    def supervised(self) -> bool:
        """True when a manager waits for notifications: it, not the daemon, decides when to stop."""
        return bool(self._address)

    @property
    def watchdog_seconds(self) -> float:
        """After this long without a sign of life the manager kills the daemon; 0 when it does not watch."""
        return self._watchdog_seconds

    def ready(self, status: str = "") -> bool:
        """Say that requests are served now, and by which process."""
        return self._send("READY=1", f"MAINPID={os.getpid()}", *_status(status))

    def status(self, text: str) -> bool:
        """Say in one line what the daemon is doing; `systemctl --user status` shows it."""
        return self._send(*_status(text))

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for `seconds` more before start or stop count as failed."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def watchdog(self) -> bool:
        """Give one sign of life."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """Say that the daemon is on its way out."""
        return self._send("STOPPING=1", *_status(status))

    async def keep_alive(self, healthy: Callable[[], bool]) -> None:
        """Give a sign of life from the event loop while `healthy()` is true; returns if nobody watches.

        A loop that is blocked, and a daemon that finds itself unhealthy, give none: the manager restarts it.
        """
        if not self._watchdog_seconds or not self._address:
            return
        while True:
            if healthy():
                self.watchdog()
            # Half of the time allowed, as sd_watchdog_enabled(3) recommends.
            await asyncio.sleep(self._watchdog_seconds / 2)

    def statistics(self) -> dict[str, object]:
        """Return what `sprawlctl status` shows."""
        return {"supervised": self.supervised, "watchdog_s": self._watchdog_seconds, "sent": self._sent}

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(SEND_SECONDS)
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            # A manager that cannot be told will act on its own; that is no reason to stop serving.
            _log.warning("cannot notify the service manager (%s): %s", lines[0], error)
            return False
        self._sent += 1
        return True


def _status(text: str) -> tuple[str, ...]:
    # One assignment per line: a line break in it would be read as the next one.
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _address(name: str) -> str:
    if name.startswith("@"):
        # An abstract socket (Linux): a NUL takes the place of the @.
        return "\0" + name[1:]
    # Anything else, as `vsock:`, is for virtual machines.
    return name if name.startswith("/") else ""
