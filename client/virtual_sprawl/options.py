"""What the command line of `sprawl` may say: options, operands, exit codes.

Cut by hand: argparse alone costs a start more than the round trip to the daemon.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "EXIT_NOT_EXECUTABLE",
    "EXIT_NOT_FOUND",
    "EXIT_REFUSED",
    "EXIT_USAGE",
    "SELECTION_OPTIONS",
    "Options",
    "UsageError",
    "fail",
    "interpreter",
    "operands",
    "own_interpreter",
    "print_and_exit",
    "print_note",
    "working_directory",
]

EXIT_USAGE = 2
EXIT_REFUSED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127

SELECTION_OPTIONS = """\
  --lock FILE         use this lockfile instead of the nearest one
  --extra NAME        with this extra of the project (may be repeated)
  --all-extras        with all extras
  --group NAME        with this dependency group too (may be repeated)
  --only-group NAME   with this group and nothing else (may be repeated)
  --no-group NAME     without this group (may be repeated)
  --all-groups        with all groups
  --no-dev            without the development groups
  --python VERSION    take this installed Python, as 3.12, 3.12.1 or a path
  --offline           use only what is in the store
"""

_FLAGS = {
    "--all-extras": "all-extras",
    "--all-groups": "all-groups",
    "--no-dev": "no-dev",
    "--offline": "offline",
}
_NAMED = {"--only-group": "only-group", "--no-group": "no-group"}
_LISTED = ("--extra", "--group", "--only-group", "--no-group")
_VALUED = (
    "--lock",
    "--extra",
    "--group",
    "--only-group",
    "--no-group",
    "--python",
    "--platform",
    "--into",
)


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


class Options:
    """What the options before the script ask for."""

    __slots__ = (
        "extras",
        "groups",
        "into",
        "json",
        "known",
        "lock",
        "more",
        "options",
        "platform",
        "print_path",
        "python",
        "quiet",
        "store_only",
    )

    def __init__(self, python: str = "") -> None:
        self.python = python
        self.lock = os.environ.get("VIRTUAL_SPRAWL_LOCK", "")
        self.extras = _split(os.environ.get("VIRTUAL_SPRAWL_EXTRAS", ""))
        self.groups = _split(os.environ.get("VIRTUAL_SPRAWL_GROUPS", ""))
        self.options: "list[str]" = []
        self.quiet = self.json = self.print_path = self.store_only = False
        self.platform = self.into = ""
        # Options of one command alone -> whether they take a value; and what was said.
        self.known: "dict[str, bool]" = {}
        self.more: "dict[str, str]" = {}

    def interpreter_to_ask(self) -> "tuple[str, str]":
        """Return the interpreter to ask about and the version to describe where no such one is installed."""
        if self.platform:
            return own_interpreter(), self.python
        if self.python and "/" not in self.python:
            from . import interpreters

            try:
                return interpreters.find_interpreter(self.python), ""
            except interpreters.InterpreterNotFound:
                # The daemon describes what is not here, and says what cannot be described.
                return own_interpreter(), self.python
        return interpreter(self.python), ""

    def take(self, arguments: "list[str]", position: int) -> int:
        """Read the option at `position`; return the position after it."""
        name, equals, value = arguments[position].partition("=")
        position += 1
        if name in ("-q", "--quiet"):
            self.quiet = True
        elif name == "--json":
            self.json = True
        elif name == "--print-path":
            self.print_path = True
        elif name == "--store-only":
            self.store_only = True
        elif name in _FLAGS:
            self.options.append(_FLAGS[name])
        elif self.known.get(name) is False:
            self.more[name] = "yes"
        elif name in _VALUED or name in self.known:
            if not equals:
                if position == len(arguments):
                    raise UsageError(name + " needs a value")
                value = arguments[position]
                position += 1
            self._set(name, value)
            return position
        else:
            hint = (
                "" if name.startswith("--") else "; Python's own go as in: sprawl run python %s SCRIPT" % name
            )
            raise UsageError("unknown option %s%s" % (name, hint))
        if equals:
            raise UsageError(name + " takes no value")
        return position

    def _set(self, name: str, value: str) -> None:
        if not value or (name in _LISTED and ("," in value or ":" in value)):
            raise UsageError("%s cannot take the value %r" % (name, value))
        if name == "--lock":
            self.lock = os.path.normpath(os.path.join("" if value[0] == "/" else working_directory(), value))
        elif name == "--python":
            self.python = value
        elif name == "--platform":
            self.platform = value
        elif name == "--into":
            self.into = value
        elif name in self.known:
            self.more[name] = value
        elif name == "--extra":
            self.extras.append(value)
        elif name == "--group":
            self.groups.append(value)
        else:
            self.options.append(_NAMED[name] + ":" + value)


def operands(arguments: "list[str]", options: Options, usage: str, most: int) -> "list[str]":
    """Read options and operands in any order; return the operands."""
    operands: "list[str]" = []
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word in ("-h", "--help"):
            print_and_exit(usage)
        if word.startswith("-"):
            position = options.take(arguments, position)
            continue
        operands.append(word)
        position += 1
    if len(operands) > most:
        raise UsageError("unexpected argument %r" % operands[most])
    return operands


def interpreter(version: str) -> str:
    """Return the base interpreter to run: the one asked for, else the one sprawl was installed with."""
    if version:
        from . import interpreters

        try:
            return interpreters.find_interpreter(version)
        except interpreters.InterpreterNotFound as error:
            fail(EXIT_REFUSED, "sprawl: %s" % error)
    return own_interpreter()


def own_interpreter() -> str:
    """Return the base interpreter of the environment that sprawl itself runs in."""
    return getattr(sys, "_base_executable", "") or sys.executable


def working_directory() -> str:
    """Return the working directory; UsageError when somebody has deleted it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise UsageError("the working directory does not exist any more; change to another one") from None


def _split(text: str) -> "list[str]":
    return [part.strip() for part in text.split(",") if part.strip()]


def print_and_exit(text: str) -> "NoReturn":
    """Print data on standard output and end with success."""
    sys.stdout.write(text)
    sys.stdout.flush()
    sys.exit(0)


def fail(status: int, line: str) -> "NoReturn":
    """Print one line on standard error and end with a status."""
    print_note(line)
    sys.exit(status)


def print_note(line: str) -> None:
    """Print one line on standard error."""
    # What was typed, and names of files, must not speak to the terminal.
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    try:
        sys.stderr.write(line + "\n")
    except (OSError, AttributeError):
        pass  # no stderr: the exit status has to tell it
