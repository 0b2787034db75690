"""`sprawl view`: the packages as a virtual environment of real files; and the copy of `run --writable`."""

import json
import os
import sys

from . import connection, progress
from .options import EXIT_REFUSED, UsageError, fail, interpreter, working_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from .options import Options

__all__ = ["KNOWN", "USAGE", "ask", "fields_of", "question", "view", "writable"]

KNOWN = {"--compile": False, "--copy": False, "--link-mode": True, "--replace": False}

MODES = ("auto", "reflink", "hardlink", "copy")

USAGE = """\
usage: sprawl [+VERSION] view [OPTIONS] DIR [SCRIPT|DIRECTORY]

Write the packages of the nearest lockfile above SCRIPT or DIRECTORY (default: the working directory) to DIR,
as a virtual environment of real files: for containers, and for tools that insist on one. It needs neither the
daemon nor the store afterwards, only the Python it was made with.

options:
  --copy              files of their own, which may be written to (reflinks where the disk has them)
  --link-mode MODE    reflink, hardlink or copy; without it the first of them that works, and no hard link for
                      root. Hard-linked files are the store's own and read-only: replace them, never edit them
  --compile           with bytecode
  --replace           put it in the place of an older view
  --json              print a JSON object: path, set, lock, reflink, hardlink, copy, replaced
  -q, --quiet         no progress
{selection}
example:
  sprawl view --copy --compile --no-dev /app/venv && /app/venv/bin/python -m app
"""


def view(options: "Options", target: str, place: str) -> int:
    """Ask the daemon to write the view and say what it did; return the exit code."""
    mode = options.more.get("--link-mode", "auto")
    if mode not in MODES:
        raise UsageError("--link-mode is one of %s, not %r" % (", ".join(MODES), mode))
    if "--copy" in options.more:
        if mode not in ("auto", "copy"):
            raise UsageError("--copy and --link-mode %s contradict each other" % mode)
        mode = "copy" if mode == "copy" else "own"
    # A view that is a link elsewhere would be replaced there; what the user named is what is meant.
    directory, name = os.path.split(os.path.abspath(target))
    arguments = {
        "fields": question(options, place),
        "target": os.path.join(os.path.realpath(directory), name),
        "mode": mode,
        "replace": "--replace" in options.more,
        "bytecode": "--compile" in options.more,
        "umask": _umask(),
    }
    document = ask("view", arguments, options.quiet)
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return 0
    sys.stdout.write(document["path"] + "\n")
    if document["hardlink"]:
        sys.stderr.write(
            "%d files are hard links to the store, and read-only: replace them, never edit them "
            "(--copy gives files that may be edited)\n" % document["hardlink"]
        )
    return 0


def writable(options: "Options", start: str, script: str) -> str:
    """Return the directory of the project's own copy of its set; ends the process with a refusal."""
    try:
        fields = fields_of(options, start, script)
        return str(ask("writable", {"fields": fields, "umask": _umask()}, options.quiet)["path"])
    except connection.Refusal as refusal:
        fail(EXIT_REFUSED, "sprawl: %s" % refusal)


def question(options: "Options", place: str) -> "Dict[str, str]":
    """Return the fields of the request for a script or directory, by default the working directory."""
    if place and not os.path.exists(place):
        raise UsageError("%s does not exist" % place)
    real = os.path.realpath(place or working_directory())
    if os.path.isdir(real):
        return fields_of(options, real, "")
    return fields_of(options, os.path.dirname(real), real)


def fields_of(options: "Options", start: str, script: str) -> "Dict[str, str]":
    """Return the fields of the request for a directory and a script in it."""
    return connection.resolve_fields(
        python=interpreter(options.python),
        start=start,
        script=script,
        lock=options.lock,
        extras=",".join(options.extras),
        groups=",".join(options.groups),
        options=",".join(options.options),
    )


def ask(command: str, arguments: "Dict[str, Any]", quiet: bool) -> "Any":
    """Return the outcome of a command of the daemon, with progress on the way. Raises Refusal."""
    bar = progress.Progress(quiet)
    try:
        return connection.call(command, arguments, bar.show)
    finally:
        bar.clear()


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
