"""`sprawl install`: a wheel file into the store, and from there into a venv."""

import json
import os
import sys

from . import connection, progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Options

__all__ = ["USAGE", "install"]

USAGE = """\
usage: sprawl install [OPTIONS] WHEEL

Check a wheel file, unpack it into the store and print its entry. With --into, or inside an active virtual
environment, its files are linked there too, with scripts and RECORD, as an installer would leave them.

options:
  --into VENV     the virtual environment (default: VIRTUAL_ENV, if that is set)
  --store-only    the store only, even inside an active virtual environment
  --json          print a JSON object: entry, name, version, sha256, into
  -q, --quiet     no progress

example:
  sprawl install ./plotly-5.5.0-py2.py3-none-any.whl
"""


def install(options: "Options", wheel: str, into: str) -> int:
    """Ask the daemon and print the entry; return the exit code."""
    arguments = {"wheel": os.path.abspath(wheel), "into": os.path.abspath(into) if into else ""}
    bar = progress.Progress(options.quiet)
    try:
        document = connection.call("install", arguments, bar.show)
    finally:
        bar.clear()
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(document["entry"] + "\n")
        if document["into"]:
            sys.stderr.write(
                "linked %s %s into %s\n" % (document["name"], document["version"], document["into"])
            )
    return 0
