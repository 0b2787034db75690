"""`sprawlctl service`: installs, removes and shows what lets systemd or launchd start the daemon.

Nothing is enabled or started unless `--now` asks for it: the commands to do so are printed.
"""

import os
import sys

from .servicefiles import (
    LABEL,
    USERNS,
    ServiceError,
    install,
    installed,
    remove,
    render,
    service_directory,
    uninstall,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from .servicefiles import ServiceFile

__all__ = ["configure", "run"]

COMMAND_SECONDS = 30.0
EXIT_REFUSED = 1


def configure(parser: "argparse.ArgumentParser") -> None:
    """Give `sprawlctl service` its arguments; `run` in the parsed arguments does the work."""
    parser.add_argument("action", choices=("install", "uninstall", "status"))
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be written, and write nothing"
    )
    parser.add_argument(
        "--now", action="store_true", help="run the commands that enable or disable the service"
    )
    parser.set_defaults(run=run)


def run(arguments: "argparse.Namespace") -> int:
    """Do what `sprawlctl service` was asked to; returns the exit code."""
    try:
        if arguments.action == "uninstall":
            return _run_uninstall(arguments)
        from . import launch

        try:
            program = launch.find_daemon(os.environ)
        except launch.NotStartedError as error:
            raise ServiceError("service.no-program", error.message, error.hint) from error
        if arguments.action == "status":
            return _run_status(program)
        return _run_install(arguments, program)
    except ServiceError as error:
        sys.stderr.write(f"sprawlctl: {error}\n")
        return EXIT_REFUSED


def _run_install(arguments: "argparse.Namespace", program: str) -> int:
    darwin = sys.platform == "darwin"
    userns = not darwin and not arguments.dry_run and _userns_work()
    files = render(program, os.environ, userns=userns or arguments.dry_run)
    if arguments.dry_run:
        for file in files:
            sys.stdout.write(f"# {file.path} ({file.state()})\n{file.content}\n")
        return 0
    for path in install(files):
        sys.stdout.write(f"wrote {path}\n")
    if not darwin and not userns:
        # An upgrade of the system may have forbidden what worked before.
        remove([service_directory(os.environ) + "/" + USERNS])
        sys.stderr.write(
            "user name spaces do not work for services of this user: the service runs without "
            "the restrictions that need one\n"
        )
    return _finish(arguments.now, _enabling(files))


def _run_uninstall(arguments: "argparse.Namespace") -> int:
    ours = installed(os.environ)
    if arguments.dry_run:
        sys.stdout.writelines(f"would remove {path}\n" for path in ours)
        return 0
    # Before the files go: a manager cannot stop what it no longer knows.
    code = _finish(arguments.now, _disabling()) if ours else 0
    for path in uninstall(os.environ):
        sys.stdout.write(f"removed {path}\n")
    return code


def _run_status(program: str) -> int:
    files = render(program, os.environ)
    sys.stdout.writelines(f"{file.state():9}{file.path}\n" for file in files)
    return 0


def _enabling(files: "Sequence[ServiceFile]") -> "list[list[str]]":
    # A daemon that a client started holds the store; the service's own would find it taken.
    stop = ["sprawlctl", "stop"]
    if sys.platform == "darwin":
        return [stop, ["launchctl", "bootstrap", f"gui/{os.getuid()}", files[0].path]]
    systemctl = ["systemctl", "--user"]
    return [[*systemctl, "daemon-reload"], stop, [*systemctl, "enable", "--now", "sprawld.socket"]]


def _disabling() -> "list[list[str]]":
    if sys.platform == "darwin":
        return [["launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}"]]
    return [["systemctl", "--user", "disable", "--now", "sprawld.socket", "sprawld.service"]]


def _finish(now: bool, commands: "Sequence[Sequence[str]]") -> int:
    """Run the commands, or print them for the user to run."""
    if not now:
        sys.stdout.write("next:\n")
        sys.stdout.writelines("  " + " ".join(command) + "\n" for command in commands)
        return 0
    for command in commands:
        if command[0] == "sprawlctl":
            _stop_daemon()
        elif not _runs(command):
            sys.stderr.write(f"sprawlctl: {' '.join(command)} failed\n")
            return EXIT_REFUSED
    return 0


def _stop_daemon() -> None:
    from . import connection

    try:
        connection.call("stop", {}, start=False)
    except connection.Refusal:
        pass  # none is running


def _userns_work() -> bool:
    """Tell whether systemd can give this user's services a user name space; many systems forbid it."""
    return _runs(
        ["systemd-run", "--user", "--quiet", "--wait", "--collect", "-p", "PrivateUsers=yes", "true"],
        quiet=True,
    )


def _runs(command: "Sequence[str]", quiet: bool = False) -> bool:
    import subprocess

    output = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
