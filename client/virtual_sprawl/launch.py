"""Starts a daemon that does not run: which program it is, and how it is cut loose from this process.

1. The program is named by VIRTUAL_SPRAWL_DAEMON (a path, or `never`), else it lies beside this interpreter,
   else a daemon has left its own path in `<store>/daemon`, else it is on PATH.
2. The daemon is nobody's child: the user's program must not meet it in `os.wait`, nor it the program's
   terminal, working directory, descriptors or Python settings.
3. Readiness comes through a pipe (`--ready-fd N`): a line feed when the daemon listens, `=` when another one
   won the race, `?` and a text when it refuses to start, nothing when it died.
"""

import os
import select
import stat
import sys

from . import locations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Mapping, NoReturn

__all__ = ["NotStartedError", "find_daemon", "start_daemon"]

PROGRAM = "sprawld"

# A cold start of Python with the daemon's libraries on a slow disk.
READY_SECONDS = 10.0

# What a daemon must not inherit: settings for the user's own Python, libraries that are loaded into whatever
# is started, and words of a service manager to us.
_PRIVATE_PREFIXES = ("PYTHON", "LD_", "DYLD_", "LISTEN_", "__PYVENV")
_PRIVATE = ("VIRTUAL_SPRAWL", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")

# A variable and no option: a daemon of an older release ends when it is given one that it does not know.
_EXPECTED = "SPRAWLD_EXPECTED_PYTHON"

# First byte of the child's own report; a daemon writes a single byte.
_EXEC_FAILED = b"!"
_REFUSED = b"?"
# Enough for the text: POSIX writes it in one piece.
_REPORT_BYTES = 4096


class NotStartedError(Exception):
    """No daemon could be started; `hint` is the remedy, or empty."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def start_daemon(environ: "Mapping[str, str]", wait: bool = True, python: str = "") -> bool:
    """Start a daemon; with `wait`, return when it listens or when another one has taken its place.

    `python` is the interpreter that it will be asked for, if that is known: it gets ready for it meanwhile.
    False when it ended without a word. Raises NotStartedError when there is no program, or it does not come
    up in time.
    """
    program = find_daemon(environ)
    log = _open_log(locations.log_file(environ))
    reader, writer = os.pipe()
    command = [program, "--on-demand"]
    try:
        child = os.fork()
        if child == 0:
            theirs = _sanitised(environ)
            theirs[_EXPECTED] = python
            _run_daemon(command, theirs, log, writer, wait)
        os.close(writer)
        writer = -1
        os.waitpid(child, 0)
        if wait:
            return _await_ready(reader, program, environ)
    finally:
        os.close(log)
        os.close(reader)
        if writer != -1:
            os.close(writer)
    return True


def find_daemon(environ: "Mapping[str, str]") -> str:
    """Return the path of the daemon's program; NotStartedError if there is none or it must not be started."""
    named = environ.get("VIRTUAL_SPRAWL_DAEMON", "")
    if named == "never":
        raise NotStartedError("no daemon is running, and VIRTUAL_SPRAWL_DAEMON=never", "start sprawld")
    if named:
        if not _is_program(named):
            raise NotStartedError(
                "VIRTUAL_SPRAWL_DAEMON names %s, which is not an executable file" % named,
                "set it to the absolute path of sprawld",
            )
        return named
    for candidate in _candidates(environ):
        if _is_program(candidate):
            return candidate
    raise NotStartedError(
        "no daemon is running, and the program sprawld is not found",
        "install virtual-sprawl, or set VIRTUAL_SPRAWL_DAEMON to the path of sprawld",
    )


def _candidates(environ: "Mapping[str, str]") -> "Iterator[str]":
    for executable in (sys.executable, os.path.realpath(sys.executable)):
        yield os.path.join(os.path.dirname(executable), PROGRAM)
    yield _recorded(locations.store_directory(environ) + "/daemon")
    for directory in environ.get("PATH", "").split(os.pathsep):
        yield os.path.join(directory, PROGRAM)


def _recorded(path: str) -> str:
    """Return the program that the last daemon said it was; only from a file that nobody else could write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
                return ""
            return os.fsdecode(file.read(4096)).partition("\n")[0]
    except OSError:
        return ""


def _is_program(path: str) -> bool:
    # A relative path would be looked up in the clone that the user happens to stand in.
    return path.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK)


def _sanitised(environ: "Mapping[str, str]") -> "Dict[str, str]":
    return {
        name: value
        for name, value in environ.items()
        if name not in _PRIVATE and not name.startswith(_PRIVATE_PREFIXES)
    }


def _open_log(path: str) -> int:
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)
    except OSError:
        # The daemon will say better than we what is wrong with the store.
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _run_daemon(
    command: "List[str]", environ: "Dict[str, str]", log: int, ready: int, reports: bool
) -> "NoReturn":
    """Become the daemon; runs in a fork, and so must end in one way or another."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDONLY)
        # The pipe first: its number may be one of those that are replaced.
        ready, log = _moved(ready), _moved(log)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        _close_others(ready)
        if reports:
            os.set_inheritable(ready, True)
            command += ["--ready-fd", str(ready)]
        os.execve(command[0], command, environ)
    except OSError as error:
        os.write(ready, _EXEC_FAILED + str(error.errno).encode())
    finally:
        os._exit(127)


def _moved(descriptor: int) -> int:
    # dup gives the lowest free number, and 0 to 2 may be free in a process without standard streams.
    while descriptor < 3:
        descriptor = os.dup(descriptor)
    return descriptor


def _close_others(kept: int) -> None:
    # A daemon that keeps the write end of somebody's pipe lets its reader wait for ever.
    try:
        numbers: "List[int]" = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        numbers = list(range(3, 256))
    for number in numbers:
        if number > 2 and number != kept:
            try:
                os.close(number)
            except OSError:
                pass


def _await_ready(reader: int, program: str, environ: "Mapping[str, str]") -> bool:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if not poll.poll(READY_SECONDS * 1000):
        raise NotStartedError(
            "%s was started and did not listen within %d s" % (program, READY_SECONDS),
            "see " + locations.log_file(environ),
        )
    report = os.read(reader, _REPORT_BYTES)
    if report.startswith(_REFUSED) and len(report) > 1:
        reason = report[1:].decode("utf-8", "replace")
        raise NotStartedError("the daemon cannot start: " + reason, "")
    if report.startswith(_EXEC_FAILED) and len(report) > 1:
        raise NotStartedError(
            "cannot start %s: %s" % (program, os.strerror(int(report[1:]))),
            "install virtual-sprawl again, or set VIRTUAL_SPRAWL_DAEMON to the path of sprawld",
        )
    return bool(report)
