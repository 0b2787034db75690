"""Scripts of a distribution, written for one interpreter: entry points and `.data/scripts`.

1. A name is a plain file name that no interpreter bears: a script called `python3` would shadow the own one.
2. Nothing of a wheel gets into generated text but dotted identifiers: there is no quoting to get wrong.
3. Native programs are not copied; the caller links them. Only one that lacks the right to be executed, which
   some build tools forget, is copied to get it.

Specifications: entry points; binary distribution format ("the `.data` directory", "recommended archiver
features", which tells what `#!python` means).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sprawld.errors import StoreError, WheelError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_script_name", "entry_point_script", "first_line", "rewritten_script", "scripts_of"]

SHEBANG_BYTES: Final = 127
"""Longest first line, newline included, that every supported kernel reads whole (Linux before 5.1)."""

SCRIPT_GROUPS: Final = ("console_scripts", "gui_scripts")

_INTERPRETER: Final = re.compile(r"(?:python|pypy|graalpy)w?[0-9.]*[td]*(?:\.exe)?", re.IGNORECASE)

_ENTRY_POINT: Final = """\
from {module} import {first}

if __name__ == "__main__":
    raise SystemExit({attribute}())
"""


def check_script_name(name: str) -> None:
    """Raise WheelError `wheel.bad-entry-point` for a name that is never written into a `bin` directory.

    Unpacking is stricter; this holds for every entry, whoever wrote it.
    """
    if not name.isprintable() or "/" in name or name[:1] in ("", ".", "-") or _INTERPRETER.fullmatch(name):
        raise WheelError("wheel.bad-entry-point", f"a script may not be called {name!r}")


def first_line(python: str) -> bytes:
    """Return the line or lines, newline included, that make a script run with the interpreter `python`.

    That is `#!` and the path, or, where the kernel would cut or split it, a shell line that Python reads as
    a string. `python` is absolute. Raises StoreError `store.unwritable` for a path neither form can hold.
    """
    # A control character ends the line early, a backslash means one thing to the shell and another to Python,
    # and a name that is not text cannot stand in a Python source.
    if not python.startswith("/") or "\\" in python or not python.isprintable():
        raise StoreError(
            "store.unwritable",
            f"no script can name the interpreter {python!r}",
            hint="move the store or the environment to a path of printable characters without backslash",
        )
    path = python.encode()
    line = b"#!" + path + b"\n"
    if len(line) <= SHEBANG_BYTES and b" " not in path:
        return line
    quoted = path.replace(b"'", b"'\"'\"'")
    return b"#!/bin/sh\n'''exec' '" + quoted + b"' \"$0\" \"$@\"\n' '''\n"


def entry_point_script(python: str, reference: str) -> bytes:
    """Return the text of a script that calls `module:attribute`, extras already stripped.

    Raises WheelError `wheel.bad-entry-point` unless both are dotted identifiers.
    """
    module, _, attribute = reference.partition(":")
    if not _is_dotted(module) or not _is_dotted(attribute):
        raise WheelError("wheel.bad-entry-point", f"{reference!r} is not of the form module:attribute")
    first = attribute.partition(".")[0]
    body = _ENTRY_POINT.format(module=module, first=first, attribute=attribute)
    return first_line(python) + body.encode()


def rewritten_script(python: str, content: bytes) -> bytes:
    """Return a `.data/scripts` file for `python`: a first line that begins with `#!python` is replaced."""
    if not content.startswith(b"#!python"):
        return content
    _, _, rest = content.partition(b"\n")
    return first_line(python) + rest


def scripts_of(
    entry_points: Mapping[str, Mapping[str, str]], scripts: Mapping[str, str], directory: str, python: str
) -> dict[str, bytes | None]:
    """Return name -> content of every script of one distribution; None where the file is to be linked.

    `entry_points` and `scripts` are those of the entry's summary, `directory` is its `bin`. An entry point
    wins over a file of the same name, as it does when a wheel is installed.
    """
    found: dict[str, bytes | None] = {}
    for name, kind in scripts.items():
        check_script_name(name)
        path = f"{directory}/{name}"
        found[name] = None
        if kind == "python" or not os.access(path, os.X_OK):
            with open(path, "rb") as stream:
                found[name] = rewritten_script(python, stream.read())
    for group in SCRIPT_GROUPS:
        for name, reference in entry_points.get(group, {}).items():
            check_script_name(name)
            found[name] = entry_point_script(python, reference)
    return found


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
