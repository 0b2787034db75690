"""A site directory of some interpreter: which one it is, and writing and removing files in it.

The interpreter is asked with -E and from the root directory: -I would hide the user site directory, and the
working directory may be a clone whose `json.py` nobody should run.

Specifications: `site`, PEP 668 (externally managed environments).
"""

import json
import os

from .atomic import write_file
from .hookfiles import LIST, PACKAGE, EnableError, parse_list, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

__all__ = ["SiteDirectory"]

OLDEST = (3, 8)
ASK_SECONDS = 30.0

_QUESTION = """
import json, os, site, sys, sysconfig
scheme = getattr(sysconfig, "get_default_scheme", lambda: "posix_prefix")()
purelib = sysconfig.get_path("purelib")
managed = os.path.join(sysconfig.get_path("stdlib", scheme), "EXTERNALLY-MANAGED")
print(json.dumps({
    "executable": sys.executable,
    "version": list(sys.version_info[:3]),
    "implementation": sys.implementation.name,
    "managed": sys.prefix == sys.base_prefix and os.path.exists(managed),
    "system": purelib if purelib in sys.path or not os.path.isdir(purelib) else "",
    "user": site.getusersitepackages() if site.ENABLE_USER_SITE else "",
}))
"""
# Compiled now, because most starts are by somebody who cannot write there and would compile each time.
_COMPILE = """
import importlib.util, py_compile, sys
for path in sys.argv[1:]:
    py_compile.compile(path, doraise=True)
print(importlib.util.find_spec("virtual_sprawl").origin)
"""


class SiteDirectory:
    """The site directory of an interpreter: `scope` is `system` (its own) or `user`."""

    __slots__ = ("directory", "managed", "python", "scope", "version")

    def __init__(self, python: str, scope: str) -> None:
        facts = _ask(python)
        self.python: str = facts["executable"]
        self.version: "tuple[int, ...]" = tuple(facts["version"])
        self.scope = scope
        self.managed: bool = facts["managed"]
        self.directory: str = facts[scope]
        if not self.directory:
            raise EnableError(
                "enable.no-site",
                f"{python} reads no {scope} site directory when it starts",
                "use --system" if scope == "user" else "use --user",
            )

    def path(self, name: str) -> str:
        """Return the absolute path of a file that is named relative to the site directory."""
        return f"{self.directory}/{name}"

    def read(self, name: str) -> "Optional[bytes]":
        """Return the content of a file, or None."""
        return read_file(self.path(name))

    def listed(self) -> "dict[str, str]":
        """Return name -> hash and size of what was written here."""
        return parse_list(self.read(LIST) or b"")

    def has_distribution(self) -> bool:
        """Tell whether an installer put the distribution here."""
        return any(
            name.startswith(PACKAGE + "-") and name.endswith(".dist-info") for name in _listed(self.directory)
        )

    def make(self) -> None:
        """Create the package's directory, readable by whoever starts the interpreter."""
        path = self.path(PACKAGE)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)

    def write(self, name: str, content: bytes) -> None:
        """Let a file appear with its whole content, readable by everybody whatever the umask is."""
        write_file(self.path(name), content)

    def compile(self, names: "list[str]") -> str:
        """Let the interpreter compile these modules; return where it would import the package from."""
        return _run(self.python, _COMPILE, *(self.path(name) for name in names))

    def remove(self, name: str) -> None:
        """Remove a file and its bytecode."""
        if os.path.lexists(self.path(name)):
            os.unlink(self.path(name))
        self.remove_bytecode(name)

    def remove_bytecode(self, name: str) -> None:
        """Remove what interpreters have compiled of a module."""
        if name.endswith(".py"):
            cache = self.path(PACKAGE + "/__pycache__")
            stem = os.path.basename(name)[: -len("py")]
            for compiled in _listed(cache):
                if compiled.startswith(stem) and compiled.endswith(".pyc"):
                    os.unlink(f"{cache}/{compiled}")

    def remove_empty(self) -> None:
        """Remove the list and the package's directories as far as nothing else lies in them."""
        self.remove(LIST)
        for directory in (PACKAGE + "/__pycache__", PACKAGE):
            try:
                os.rmdir(self.path(directory))
            except OSError:
                pass  # not there, or not empty


def _listed(path: str) -> "list[str]":
    try:
        return os.listdir(path)
    except OSError:
        return []


def _ask(python: str) -> "dict[str, Any]":
    if not os.path.isfile(python) or not os.access(python, os.X_OK):
        raise EnableError("python.not-found", f"{python} is not an interpreter that can be run")
    facts: "dict[str, Any]" = json.loads(_run(python, _QUESTION))
    if facts["implementation"] != "cpython" or tuple(facts["version"]) < OLDEST:
        version = ".".join(map(str, facts["version"]))
        raise EnableError("python.unsupported", f"{python} is {facts['implementation']} {version}")
    return facts


def _run(python: str, script: str, *arguments: str) -> str:
    import subprocess

    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VIRTUAL_SPRAWL", "PYTHON", "__PYVENV"))
    }
    try:
        done = subprocess.run(
            [python, "-E", "-c", script, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=ASK_SECONDS,
            check=True,
            cwd="/",
            umask=0o022,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        raise EnableError("python.unsupported", f"{python} failed when asked: {lines[-1]}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise EnableError("python.not-found", f"{python} cannot be run: {error}") from error
    return done.stdout.decode("utf-8", "surrogateescape").strip()
