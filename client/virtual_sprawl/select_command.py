"""`sprawl select`: which artifact is taken for each package, and why, without downloading."""

import json
import os
import sys

from . import connection
from .options import working_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .options import Options

__all__ = ["USAGE", "select"]

WIDE = 10_000

USAGE = """\
usage: sprawl [+VERSION] select [OPTIONS] [SCRIPT|DIRECTORY]

Show which lockfile counts and which artifact of each package is taken for an interpreter. Nothing is
downloaded; an index is asked only for locks that have no file names (Pipfile.lock, requirements files).

options:
  --json              print a JSON object: lock, format, passed_over, packages
  --platform NAME     for another platform: linux-x86_64, linux-aarch64, macos-arm64, macos-x86_64,
                      musllinux-x86_64; --python may name a version that is not installed
{selection}
example:
  sprawl select --python 3.13 --platform macos-arm64 --json
"""


def select(options: "Options", target: str) -> int:
    """Ask the daemon and print a table or JSON; return the exit code."""
    python, version = options.interpreter_to_ask()
    script = target if os.path.isfile(target) else ""
    place = os.path.realpath(target or working_directory())
    fields = connection.resolve_fields(
        python=python,
        start=os.path.dirname(place) if script else place,
        script=place if script else "",
        lock=options.lock,
        extras=",".join(options.extras),
        groups=",".join(options.groups),
        options=",".join(options.options),
    )
    arguments = {"fields": fields, "python": version, "platform": options.platform}
    document = connection.call("select", arguments)
    if options.json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(document)
    return 0


def _print(document: "dict[str, Any]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Into a pipe or file nothing is folded: what reads it wants whole names.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    # Text, not markup: names and paths come from a lockfile.
    console.print(Text("%s (%s)" % (document["lock"], document["format"])), soft_wrap=True)
    for passed in document["passed_over"]:
        console.print(Text("passed over: %s: %s" % (passed["path"], passed["reason"])), soft_wrap=True)
    for warning in document["warnings"]:
        console.print(Text("warning: " + warning), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("package", "version", "kind", "file", "pinned", "via"):
        table.add_column(column, overflow="fold")
    for package in document["packages"]:
        pinned = "-" if package["filename"] is None else "yes" if package["sha256"] else "no"
        cells = (
            package["name"],
            package["version"] or "-",
            package["kind"],
            package["filename"] or package["source"],
            pinned,
            ", ".join(package["via"]) or "-",
        )
        table.add_row(*map(Text, cells))
    console.print(table)
