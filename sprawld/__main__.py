"""`sprawld`: arguments, logging, event loop, exit codes; no logic.

Exit codes: 0 stopped as asked, or another daemon already serves the store; 1 refused to start (one line on
standard error says why); 2 a command line that makes no sense.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_sprawl import __version__, locations

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, MutableMapping, MutableSequence
    from typing import Any

    from .early import Early

__all__ = ["main"]

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
PRIVATE_UMASK = 0o077
DESCRIPTORS = 4096
"""Hundreds of clients at once, each a descriptor; the usual soft limit is 1024, or 256 on macOS."""
FAILPOINT = "SPRAWL_TEST_FAILPOINT"
TAKE_OVER_SECONDS = 15.0
"""Longer than the grace that a stopping daemon gives its requests."""


def main() -> None:
    """Run the command line."""
    arguments = _parser().parse_args()
    logging.basicConfig(format=LOG_FORMAT, level=arguments.log_level.upper(), stream=sys.stderr)
    _harden(os.environ)
    _isolate(sys.path)
    status = 130
    with contextlib.suppress(KeyboardInterrupt):
        status = _serve(arguments)
    sys.exit(status)


def _serve(arguments: argparse.Namespace) -> int:
    """Serve if no other daemon does.

    The lock is first: of hundreds of daemons that are started together all but one end here. What modules are
    made of stays: looking through it for garbage, while they load and ever after, would be for nothing.
    """
    from . import service
    from .errors import SprawlError
    from .listen import ReadyPipe, daemon_lock

    ready = ReadyPipe(arguments.ready_fd)
    try:
        inherited = service.inherited_socket()
        # A service manager's daemon takes over from one that a client started; among equals the first stays.
        patience = TAKE_OVER_SECONDS if inherited is not None else 0.0
        store = Path(locations.store_directory(os.environ))
        with daemon_lock(store, patience=patience) as lock:
            if lock is None:
                logging.getLogger(__name__).info("another daemon serves %s", store)
                ready.say(b"=")
                return 0
            gc.disable()
            early = _begin(arguments, inherited)
            from .daemon import serve

            gc.freeze()
            gc.enable()
            return _run(serve(arguments, dict(os.environ), lock, ready, early))
    except SprawlError as error:
        ready.say(b"?" + str(error).encode("utf-8", "surrogateescape"))
        sys.stderr.write(f"sprawld: {error}\n")
        return 1


def _begin(arguments: argparse.Namespace, inherited: socket.socket | None) -> Early:
    from .early import begin
    from .store import failpoints

    if arguments.enable_failpoints and os.environ.get(FAILPOINT):
        failpoints.enable(os.environ[FAILPOINT])
    return begin(os.environ, inherited=inherited, awaited=arguments.ready_fd is not None)


def _run(daemon: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(daemon)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sprawld",
        description="The per-user daemon that owns the package store. Started on demand by `sprawl` and the "
        "start-up hook, or by systemd and launchd; there is no need to start it by hand.",
        epilog="example:\n  sprawld --log-level debug",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sprawld {__version__}")
    parser.add_argument("--on-demand", action="store_true", help="started by a client: exit when idle")
    parser.add_argument(
        "--ready-fd", type=int, metavar="N", help="write one byte to this descriptor when listening"
    )
    parser.add_argument(
        "--idle-exit", type=float, metavar="SECONDS", help="exit after this long without a request (0: never)"
    )
    parser.add_argument(
        "--log-level",
        default=os.environ.get("VIRTUAL_SPRAWL_LOG") or "info",
        choices=("debug", "info", "warning", "error"),
        help="how much to log on standard error (default: VIRTUAL_SPRAWL_LOG, else info)",
    )
    parser.add_argument(
        "--enable-failpoints", action="store_true", help="honour SPRAWL_TEST_FAILPOINT (for tests)"
    )
    return parser


def _harden(environ: MutableMapping[str, str]) -> None:
    """Shed what a client's environment could do to this process and its children."""
    import resource

    os.umask(PRIVATE_UMASK)
    os.chdir("/")
    for name in [name for name in environ if name.startswith(("PYTHON", "LD_", "DYLD_"))]:
        del environ[name]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _isolate(path: MutableSequence[str]) -> None:
    """Take from `sys.path` what -I would leave out: the script's or working directory, the user's packages.

    The option itself cannot be given: a console script is started by its first line, and a daemon that was
    installed among the user's packages would not be found.
    """
    import site

    home = Path(__file__).resolve().parents[1]
    unwanted = {Path.cwd(), Path(sys.argv[0]).parent.resolve(), Path(site.getusersitepackages()).resolve()}
    path[:] = [place for place in path if place and Path(place).resolve() not in unwanted - {home}]


if __name__ == "__main__":
    main()
