"""`sprawl run` and `sprawl sync`: one question to the daemon, then the set's own python takes over.

The road of `run` is short on purpose, and ends in exec: exit codes, signals, standard input and tracebacks
are those of python itself.
"""

import os

from .options import (
    EXIT_NOT_EXECUTABLE,
    EXIT_NOT_FOUND,
    EXIT_REFUSED,
    SELECTION_OPTIONS,
    Options,
    UsageError,
    fail,
    interpreter,
    operands,
    print_and_exit,
    print_note,
    working_directory,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from . import progress

__all__ = ["become", "run", "sync"]

RUN_USAGE = """\
usage: sprawl [+VERSION] run [OPTIONS] SCRIPT|-m MODULE|-c CODE|COMMAND|- [ARGUMENT ...]

Run with the packages of the nearest lockfile above the script (for -m, -c and commands: above the working
directory). What follows the script, module, code or command is handed to it untouched.

options:
  -q, --quiet         no progress, and no note about a command that is not in the locked packages
  --writable          on a copy of the packages that belongs to this project and may be written to, for
                      packages that write into themselves
{selection}
exit codes: those of the program; 125 if sprawl refuses, 126 and 127 if the command cannot be run or found

example:
  sprawl run examples/penguins/report.py
  sprawl run --group test pytest -q
""".format(selection=SELECTION_OPTIONS)

SYNC_USAGE = """\
usage: sprawl [+VERSION] sync [OPTIONS] [DIRECTORY]

Make the packages of the nearest lockfile above DIRECTORY (default: the working directory) ready.

options:
  --print-path        print the set directory and nothing else
  --json              print a JSON object: set, digest
  -q, --quiet         no progress
{selection}
example:
  $(sprawl sync --print-path)/bin/python --version
""".format(selection=SELECTION_OPTIONS)


def run(arguments: "list[str]", options: Options) -> "NoReturn":
    """Become the program that the arguments name, inside the path set of its lockfile."""
    options.known = {"--writable": False}
    position = 0
    while position < len(arguments) and arguments[position].startswith("-") and arguments[position] != "-":
        word = arguments[position]
        if word in ("-h", "--help"):
            print_and_exit(RUN_USAGE)
        if word[:2] in ("-m", "-c"):
            break
        if word == "--":
            position += 1
            break
        position = options.take(arguments, position)
    target = arguments[position:]
    if not target or not target[0]:
        raise UsageError("run needs a script, -m MODULE, -c CODE or a command; see `sprawl run --help`")
    script = _script(target[0])
    if not script:
        start, file = working_directory(), ""
    elif os.path.isdir(script):
        # `python DIRECTORY` runs the __main__.py in it; there is no file that could have a lock of its own.
        start, file = os.path.realpath(script), ""
    else:
        file = os.path.realpath(script)
        start = os.path.dirname(file)
    become(options, start, file, target, bool(script))


def become(options: Options, start: str, file: str, target: "list[str]", is_script: bool) -> "NoReturn":
    """Become `target` in the path set for a directory and script; ends the process with a refusal or that."""
    if "--writable" in options.more:
        from . import view_command

        directory = view_command.writable(options, start, file)
    else:
        _, directory = _realise(options, start, file)
    _hold_lease(directory)
    _execute(directory, target, is_script, options.quiet)


def _script(word: str) -> str:
    """Return `word` if python runs it as a script: a Python file, a directory or zip with a program."""
    if word.startswith("-"):
        return ""
    if word.endswith((".py", ".pyw", ".pyz", ".pyc")) or os.path.isfile(os.path.join(word, "__main__.py")):
        if not os.path.exists(word):
            fail(EXIT_NOT_FOUND, "sprawl: can't open file %r [script.not-found]; hint: check the path" % word)
        return word
    return word if "/" in word and _is_script(word) else ""


def _is_script(path: str) -> bool:
    """Tell whether a file whose name does not say so is a script: a link to one, or `#!... sprawl run`."""
    if os.path.realpath(path).endswith(".py"):
        return os.path.exists(path)
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return False
    # Executed as a command it would come back here, for ever.
    return line.startswith(b"#!") and any(os.path.basename(word) == b"sprawl" for word in line[2:].split())


def _execute(directory: str, target: "list[str]", is_script: bool, quiet: bool) -> "NoReturn":
    bin_directory = directory + "/bin"
    environ = dict(os.environ)
    # The program's own children are in the set by their executable; a variable would drag every other
    # Python on the way into it too.
    if environ.get("VIRTUAL_SPRAWL") != "inherit":
        environ.pop("VIRTUAL_SPRAWL", None)
    environ["PATH"] = bin_directory + os.pathsep + environ.get("PATH", os.defpath)
    if is_script or target[0].startswith("-"):
        command = [bin_directory + "/python", *target]
    else:
        command = [_command(bin_directory, target[0], quiet), *target[1:]]
    try:
        os.execve(command[0], command, environ)
    except OSError as error:
        fail(
            EXIT_NOT_EXECUTABLE,
            "sprawl: cannot execute %s: %s [command.failed]" % (command[0], error.strerror),
        )


def _command(bin_directory: str, name: str, quiet: bool) -> str:
    if "/" in name:
        return name
    own = bin_directory + "/" + name
    if os.path.isfile(own):
        return own
    if os.path.isdir(name):
        fail(
            EXIT_NOT_FOUND,
            "sprawl: no __main__.py in %r [script.not-found]; hint: name a script in it" % name,
        )
    if name.rstrip("0123456789.") == "pip":
        # The one on PATH would install into its own Python, which is not what anybody means here.
        line = "sprawl: no command %r in the locked packages [command.not-found]; hint: %s"
        fail(EXIT_NOT_FOUND, line % (name, "add packages to the lock with the tool that wrote it"))
    import shutil

    found = shutil.which(name)
    if found is None:
        fail(
            EXIT_NOT_FOUND,
            "sprawl: no command %r in the locked packages or on PATH [command.not-found]; "
            "hint: a script needs its .py suffix, a module needs -m" % name,
        )
    if not quiet:
        # `make` is meant; `pytest` that nobody locked may be one that knows nothing of these packages.
        print_note("sprawl: %r is not in the locked packages: running %s" % (name, found))
    return found


def _hold_lease(directory: str) -> None:
    """Keep the set from gc until the program takes its own lease, and for life if it never does.

    It also tells of the use: a program that is not Python would not, and no daemon may have been asked.
    """
    from . import lease

    try:
        os.set_inheritable(lease.take_lease(directory), True)
    except OSError as error:
        fail(
            EXIT_REFUSED,
            "sprawl: cannot hold %s: %s [store.damaged]; hint: run the command again"
            % (directory, error.strerror or error),
        )


def sync(arguments: "list[str]", options: Options) -> "NoReturn":
    """Make the path set of a directory's lockfile ready and print where it is."""
    directories = operands(arguments, options, SYNC_USAGE, 1)
    start = directories[0] if directories else working_directory()
    if not os.path.isdir(start):
        raise UsageError("%s is not a directory" % start)
    digest, directory = _realise(options, os.path.realpath(start))
    _hold_lease(directory)
    if options.json:
        import json

        print_and_exit(json.dumps({"set": directory, "digest": digest}) + "\n")
    print_and_exit((directory if options.print_path else "ready: " + directory) + "\n")


def _realise(options: Options, start: str, script: str = "") -> "tuple[str, str]":
    """Return digest and directory of the path set, or end the process with a refusal."""
    from . import direct, locations, question

    fields = question.resolve_fields(
        python=interpreter(options.python),
        start=start,
        script=script,
        lock=options.lock,
        extras=",".join(options.extras),
        groups=",".join(options.groups),
        options=",".join(options.options),
    )
    found = direct.find_direct(locations.store_directory(os.environ), fields)
    if found is not None and os.path.exists(found[0] + "/lease"):
        return os.path.basename(found[0]), found[0]
    from . import connection

    bars: "list[progress.Progress]" = []

    def show(event: "list[bytes]") -> None:
        # An answer that is there at once has none.
        from . import progress

        if not bars:
            bars.append(progress.Progress(options.quiet))
        bars[0].show(event)

    try:
        try:
            reply = connection.resolve(fields, show)
            if reply is None:
                # The selection tells where was looked, and why no further.
                connection.call("select", {"fields": fields})
        finally:
            # After Ctrl-C as well: the shell's prompt must not land behind half a line.
            for bar in bars:
                bar.clear()
    except connection.Refusal as refusal:
        fail(EXIT_REFUSED, "sprawl: %s" % refusal)
    if reply is None:
        fail(
            EXIT_REFUSED, "sprawl: a lockfile appeared only now [lock.not-found]; hint: run the command again"
        )
    return reply[0], reply[1]
