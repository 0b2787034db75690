"""Start-up code of wheels: which files run when an interpreter starts, and what of them a path set keeps.

Specification: the `site` module (`.pth`, `sitecustomize`, `usercustomize`) and PEP 829 (`.start`).
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALLOWED",
    "PTH_BYTES",
    "SITE_PACKAGES",
    "START_FILES_SINCE",
    "is_namespace_file",
    "is_startup",
    "is_startup_module",
    "own_file",
    "path_lines",
]

ALLOWED: Final = frozenset({"coverage", "setuptools"})
"""Distributions whose start-up code runs, beside those that the user's configuration names: setuptools stands
in for the removed `distutils`, coverage measures child processes. Both do nothing unless asked."""

SITE_PACKAGES: Final = "lib/python/site-packages"
"""Where an entry keeps its start-up files."""

PTH_BYTES: Final = 64 << 10
"""Largest `.pth` read; honest ones are a few lines."""

_MODULES: Final = frozenset({"sitecustomize", "usercustomize"})


START_FILES_SINCE: Final = (3, 18)
"""From this version on `site` ignores code in `.pth` files, and calls what `.start` files name (PEP 829).

Since 3.15 it does either; but for a `.start` file, whatever it names, it loads `pkgutil` and what that needs:
forty modules at every start.
"""


_OWN_FILES: Final = {
    # Straight from its file, without a search: the directories of sys.path need not be listed for it.
    ".pth": b'import os, sys; "_virtual_sprawl._enter" in sys.modules or exec("'
    b"made = sys.modules['_virtual_sprawl._enter'] = type(sys)('_virtual_sprawl._enter'); "
    b"__import__('_frozen_importlib_external').SourceFileLoader(made.__name__, (locals().get('sitedir') or "
    b"os.path.dirname(__import__('_virtual_sprawl').__path__[0])) + '/_virtual_sprawl/_enter.py')"
    b'.exec_module(made)"); sys.modules["_virtual_sprawl._enter"].enter()\n',
    ".start": b"_virtual_sprawl._enter:enter\n",
}


def own_file(version: tuple[int, ...]) -> tuple[str, bytes]:
    """Return suffix and content of the file by which a set's own interpreter takes the set for what it is."""
    suffix = ".pth" if version < START_FILES_SINCE else ".start"
    return suffix, _OWN_FILES[suffix]


def is_startup(name: str) -> bool:
    """Tell whether a top-level name of site-packages is executed, or read, by `site` at start."""
    return name.endswith((".pth", ".start")) or is_startup_module(name)


def is_namespace_file(name: str) -> bool:
    """Tell whether a `.pth` was written by old build tools to declare a namespace package.

    It is never needed here: where no distribution has an `__init__` for the namespace, its line would only
    put an empty module in the way of what the import system makes of the directories; where one has, all
    portions lie in one directory of the set already.
    """
    return name.endswith("-nspkg.pth")


def is_startup_module(name: str) -> bool:
    """Tell whether `site` imports a file or directory of this name, wherever on sys.path it lies."""
    return name.partition(".")[0] in _MODULES


def path_lines(content: bytes) -> list[str]:
    """Return the lines of a `.pth` that name something below site-packages.

    Code, comments, and paths that lead elsewhere are left out, as is a file that is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return []
    return [line.strip() for line in text.splitlines() if _is_inner_path(line.strip())]


def _is_inner_path(line: str) -> bool:
    if not line.isprintable() or line.startswith(("#", "/", "import ", "import\t")) or "\\" in line:
        return False
    parts = line.split("/")
    return line not in ("", ".") and ".." not in parts
