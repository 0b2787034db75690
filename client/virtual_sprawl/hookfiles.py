"""Which files make the start-up hook: its modules, those of the shortest way joined, and a start-up file.

They are found by their imports, so that a module that is new to the hook is never forgotten and a tool is
never copied. A list of files has the form of RECORD: `path,sha256=<urlsafe base64>,size`.
"""

import base64
import hashlib
import os

from . import joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Optional

__all__ = [
    "LIST",
    "PACKAGE",
    "START_FILES_SINCE",
    "START_UP",
    "EnableError",
    "format_list",
    "hook_files",
    "parse_list",
    "read_file",
    "row_of",
]

PACKAGE = "virtual_sprawl"
LIST = PACKAGE + "/HOOK-FILES"
START_UP = (PACKAGE + ".start", PACKAGE + ".pth")
# From here on `site` ignores lines of code in `.pth` files and calls what `.start` files name (PEP 829).
# Since 3.15 it does either; but for a `.start` file, whatever it names, it loads `pkgutil` and what that
# needs: forty modules at every start of every program.
START_FILES_SINCE = (3, 18)
_ENTRANCES = ("__init__", "_hook")


class EnableError(Exception):
    """The hook cannot be put into, or taken out of, an interpreter; `code` is stable, `hint` may be empty."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} [{code}]" + (f"; hint: {hint}" if hint else ""))
        self.code = code
        self.message = message
        self.hint = hint


def hook_files(
    version: "tuple[int, ...]" = (), package: str = os.path.dirname(os.path.abspath(__file__))
) -> "dict[str, bytes]":
    """Return name relative to a site directory -> content for a version of Python, the start-up file last.

    Raises EnableError `enable.incomplete` when a file is missing from this installation.
    """
    files = {}
    waiting = list(_ENTRANCES)
    while waiting:
        module = waiting.pop(0)
        name = f"{PACKAGE}/{module}.py"
        if name not in files:
            files[name] = _required(f"{package}/{module}.py")
            waiting += joined.relative_imports(files[name], package)
    for name in joined.HOOK:
        files[f"{PACKAGE}/{name}.py"] = joined.join(package, name)
    if version < START_FILES_SINCE:
        files[PACKAGE + ".pth"] = _required(f"{os.path.dirname(package)}/{PACKAGE}.pth")
    else:
        files[PACKAGE + ".start"] = f"{PACKAGE}.{joined.NAME}:activate\n".encode()
    return files


def _required(path: str) -> bytes:
    content = read_file(path)
    if content is None:
        raise EnableError("enable.incomplete", f"{path} is missing", "install virtual-sprawl again")
    return content


def read_file(path: str) -> "Optional[bytes]":
    """Return the content of a file, or None where there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def row_of(content: bytes) -> str:
    """Return what a list says about a file: hash and size."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(content)}"


def format_list(rows: "Mapping[str, str]") -> bytes:
    """Return the content of a list: name -> row, sorted by name."""
    return "".join(f"{name},{row}\n" for name, row in sorted(rows.items())).encode()


def parse_list(content: bytes) -> "dict[str, str]":
    """Return name -> row, without names that no list of ours could hold: listed files get removed."""
    rows = {}
    for line in content.decode("utf-8", "replace").splitlines():
        name, _, row = line.partition(",")
        directory, _, module = name.rpartition("/")
        if name in START_UP or (
            directory == PACKAGE and module[:-3].isidentifier() and module.endswith(".py")
        ):
            rows[name] = row
    return rows
