"""`sprawl`: run a script, module, code or command with the packages of its lockfile.

Exit codes of sprawl's own: 2 for a command line that makes no sense, 125 for a refusal (its code is in
brackets on the line), 126 for a command that cannot be executed, 127 for one that does not exist.
"""

import os
import sys

from .options import (
    EXIT_REFUSED,
    EXIT_USAGE,
    SELECTION_OPTIONS,
    Options,
    UsageError,
    fail,
    operands,
    print_and_exit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main"]

USAGE = """\
usage: sprawl [+VERSION] COMMAND [OPTIONS] ...

Run Python with the packages of the project's lockfile: no venv, no install step.

commands:
  run      run a script, -m module, -c code, or a command of the locked packages
  sync     make the packages ready without running anything
  select   show which artifact is taken for each package, and why, without downloading
  install  unpack a wheel file into the store, and link it into a venv if asked to
  view     write the packages as a venv of real files, for containers and tools that insist on one
  ide      make editors and type checkers see the packages
  kernel   let Jupyter run notebooks on the packages
  doctor   tell what is unusual about the packages, the daemon, the hook and the store

options:
  +VERSION   take this installed Python, as +3.12 or +3.12.1 (also --python VERSION)
  --version  print the version
  --help     print this; `sprawl COMMAND --help` tells more

example:
  sprawl run examples/penguins/report.py
  sprawl +3.12 run -m json.tool x.json
"""


# Words that are commands of `sprawlctl`.
_OF_CTL = ("status", "gc", "verify", "ls", "why", "pin", "unpin", "stop", "enable", "disable", "service")


def main() -> "NoReturn":
    """Run the command line; never returns."""
    try:
        try:
            _main(sys.argv[1:])
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        from . import ending

        ending.die_of_closed_pipe()


def _main(arguments: "list[str]") -> "NoReturn":
    try:
        python = ""
        if arguments and arguments[0].startswith("+"):
            python = arguments.pop(0)[1:]
            if not python:
                raise UsageError("+ needs a version, as in: sprawl +3.12 run ...")
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print_and_exit(USAGE)
        command, rest = arguments[0], arguments[1:]
        if command in ("-V", "--version"):
            from virtual_sprawl import __version__

            print_and_exit("sprawl " + __version__ + "\n")
        if command in ("run", "sync"):
            from . import run_command

            (run_command.run if command == "run" else run_command.sync)(rest, Options(python))
        if command == "select":
            _select(rest, Options(python))
        if command == "install":
            _install(rest, Options(python))
        if command == "doctor":
            _doctor(rest, Options(python))
        if command in ("view", "ide", "kernel"):
            _give(command, rest, Options(python))
        raise UsageError("unknown command %r; %s" % (command, _remedy(command)))
    except UsageError as error:
        fail(EXIT_USAGE, "sprawl: %s" % error)
    except KeyboardInterrupt:
        from . import ending

        # By the signal, so that a loop in a shell ends too; the daemon drops the work if nobody else waits.
        ending.die_of_interrupt()


def _remedy(command: str) -> str:
    """Tell what was probably meant."""
    if command in _OF_CTL:
        return "it is one of sprawlctl: `sprawlctl %s`" % command
    if command in ("-m", "-c", "-") or os.path.isfile(command):
        return "to run it: `sprawl run %s`" % command
    return "`sprawl --help` lists them"


def _select(arguments: "list[str]", options: Options) -> "NoReturn":
    from . import connection, select_command

    usage = select_command.USAGE.format(selection=SELECTION_OPTIONS)
    targets = operands(arguments, options, usage, 1)
    if targets and not os.path.exists(targets[0]):
        raise UsageError("%s does not exist" % targets[0])
    try:
        sys.exit(select_command.select(options, targets[0] if targets else ""))
    except connection.Refusal as refusal:
        fail(EXIT_REFUSED, "sprawl: %s" % refusal)


def _install(arguments: "list[str]", options: Options) -> "NoReturn":
    from . import connection, install_command

    wheels = operands(arguments, options, install_command.USAGE, 1)
    if not wheels:
        raise UsageError("install needs a wheel file; see `sprawl install --help`")
    into = "" if options.store_only else options.into or os.environ.get("VIRTUAL_ENV", "")
    try:
        sys.exit(install_command.install(options, wheels[0], into))
    except connection.Refusal as refusal:
        fail(EXIT_REFUSED, "sprawl: %s" % refusal)


def _doctor(arguments: "list[str]", options: Options) -> "NoReturn":
    from . import doctor_command

    usage = doctor_command.USAGE.format(selection=SELECTION_OPTIONS)
    targets = operands(arguments, options, usage, 1)
    sys.exit(doctor_command.doctor(options, targets[0] if targets else ""))


def _give(command: str, arguments: "list[str]", options: Options) -> "NoReturn":
    """Run a command that gives the packages to other programs."""
    from . import connection, view_command

    try:
        if command == "kernel":
            from . import kernel_command

            kernel_command.kernel(arguments, options)
        if command == "ide":
            from . import ide_command

            ide_command.ide(arguments, options, ide_command.USAGE.format(selection=SELECTION_OPTIONS))
        options.known = view_command.KNOWN
        places = operands(arguments, options, view_command.USAGE.format(selection=SELECTION_OPTIONS), 2)
        if not places:
            raise UsageError("view needs a directory to write to; see `sprawl view --help`")
        sys.exit(view_command.view(options, places[0], places[1] if len(places) == 2 else ""))
    except connection.Refusal as refusal:
        fail(EXIT_REFUSED, "sprawl: %s" % refusal)
