"""Finds the Pythons that are installed on this machine, for `sprawl +3.12`.

1. Nothing is run as long as the name of a file or directory tells the version; a system Python whose name
   leaves the micro version open is asked only when that decides which interpreter is taken.
2. Only real interpreters are found: version managers' shims and virtual environments on PATH are passed over,
   because what they start depends on the working directory or goes away with a project.
3. Of several that fit, the newest wins; of equals, the first in the order of `_candidates`.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Optional

__all__ = ["Interpreter", "InterpreterNotFound", "find_interpreter", "list_interpreters"]

OLDEST_MINOR = 8
ASK_SECONDS = 10.0
SYSTEM_DIRECTORIES = (
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
_FRAMEWORKS = "/Library/Frameworks"
_FINAL = 1 << 16  # The serial of a final release: above any alpha, beta or candidate.


class InterpreterNotFound(Exception):  # noqa: N818 (reads as what happened, and is caught by name)
    """No installed interpreter is the one asked for; `code` is stable, `hint` says what there is."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} [{code}]; hint: {hint}")
        self.code = code
        self.message = message
        self.hint = hint


class Interpreter:
    """An installed CPython. `micro` and `serial` are None until something tells them."""

    __slots__ = ("free_threaded", "micro", "minor", "path", "serial")

    def __init__(
        self,
        path: str,
        minor: int,
        micro: "Optional[int]" = None,
        free_threaded: bool = False,
        serial: int = _FINAL,
    ) -> None:
        self.path = path
        self.minor = minor
        self.micro = micro
        self.free_threaded = free_threaded
        self.serial = serial

    @property
    def version(self) -> str:
        """The version as far as it is known: `3.12.1`, `3.12`, `3.13.0t`."""
        micro = "" if self.micro is None else f".{self.micro}"
        return f"3.{self.minor}{micro}{'t' if self.free_threaded else ''}"

    def __repr__(self) -> str:
        return f"<Interpreter {self.version} {self.path}>"


def find_interpreter(
    version: str,
    environ: "Optional[Mapping[str, str]]" = None,
    system: "Sequence[str]" = SYSTEM_DIRECTORIES,
) -> str:
    """Return the absolute path of the newest installed interpreter that is `version`.

    `version` is `3.12`, `3.12.1`, `3.13t`, any of them after `cpython-` or `python`, or a path.
    Raises InterpreterNotFound: `python.not-found`, or `python.unsupported` for a Python that is too old.
    """
    environ = os.environ if environ is None else environ
    if "/" in version:
        path = os.path.abspath(version)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        raise InterpreterNotFound(
            "python.not-found", f"{path} is not an interpreter", _what_is(environ, system)
        )
    wanted = parse_version(version)
    if wanted is None:
        message = f"{version!r} does not name a Python"
        raise InterpreterNotFound(
            "python.not-found", message, "write it as 3.12, 3.12.1 or 3.13t, or give a path"
        )
    minor, micro, free_threaded, _ = wanted
    if minor < OLDEST_MINOR:
        message = f"Python {version} is too old"
        raise InterpreterNotFound(
            "python.unsupported", message, f"3.{OLDEST_MINOR} is the oldest that is supported"
        )
    found = [each for each in _candidates(environ, system, minor) if each.free_threaded == free_threaded]
    best = _exact(found, micro) if micro is not None else _newest(found)
    if best is None:
        message = f"Python {version} is not installed"
        raise InterpreterNotFound("python.not-found", message, _what_is(environ, system))
    return best.path


def list_interpreters(
    environ: "Optional[Mapping[str, str]]" = None, system: "Sequence[str]" = SYSTEM_DIRECTORIES
) -> "list[Interpreter]":
    """Return every installed interpreter once, newest first, an unknown micro version last of its minor."""
    found = list(_candidates(os.environ if environ is None else environ, system, None))
    found.sort(key=_rank, reverse=True)
    return found


def parse_version(text: str) -> "Optional[tuple[int, Optional[int], bool, int]]":
    """Return (minor, micro or None, free-threaded, serial) of `3.12`, `cpython-3.13.0t` and the like."""
    for prefix in ("cpython-", "cpython", "python"):
        if text.startswith(prefix):
            text = text[len(prefix) :]
            break
    free_threaded = text.endswith("t")
    parts = text[:-1].split(".") if free_threaded else text.split(".")
    if not 2 <= len(parts) <= 3 or parts[0] != "3" or not _is_number(parts[1]):
        return None
    if len(parts) == 2:
        return int(parts[1]), None, free_threaded, _FINAL
    micro, serial = parts[2], _FINAL
    for rank, mark in enumerate(("a", "b", "rc")):
        number, separator, rest = micro.partition(mark)
        if separator and _is_number(rest):
            micro, serial = number, rank * 1000 + int(rest)
            break
    return (int(parts[1]), int(micro), free_threaded, serial) if _is_number(micro) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def _candidates(
    environ: "Mapping[str, str]", system: "Sequence[str]", minor: "Optional[int]"
) -> "Iterator[Interpreter]":
    """Yield each installed interpreter once; only those of one minor version if it is given."""
    home = environ.get("HOME") or os.path.expanduser("~")
    data = environ.get("XDG_DATA_HOME") or home + "/.local/share"
    pyenv = environ.get("PYENV_ROOT") or home + "/.pyenv"
    managed = (
        pyenv + "/versions",
        (environ.get("ASDF_DATA_DIR") or home + "/.asdf") + "/installs/python",
        (environ.get("MISE_DATA_DIR") or data + "/mise") + "/installs/python",
        environ.get("UV_PYTHON_INSTALL_DIR") or data + "/uv/python",
    )
    path = [entry for entry in environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    seen = set()
    for source in (
        _of_manager(managed[0], minor),
        _of_directories(path, minor),
        _of_directories(system, minor),
        *(_of_manager(directory, minor) for directory in managed[1:]),
        _of_frameworks(minor),
    ):
        for interpreter in source:
            real = os.path.realpath(interpreter.path)
            if real not in seen:
                seen.add(real)
                yield interpreter


def _of_manager(directory: str, minor: "Optional[int]") -> "Iterator[Interpreter]":
    """Yield the interpreters of a directory with one installation per version."""
    for name in _listed(directory):
        # uv: cpython-3.13.0+freethreaded-linux-x86_64-gnu; pyenv: 3.13.0t, 3.14-dev; a link to another
        # version (3.12, latest) or an environment of pyenv-virtualenv would only repeat one.
        version, _, variant = name.replace("cpython-", "", 1).split("-", 1)[0].partition("+")
        parsed = parse_version(version)
        if parsed is None or os.path.islink(directory + "/" + name) or variant not in ("", "freethreaded"):
            continue
        of_minor, micro, free_threaded, serial = parsed
        free_threaded = free_threaded or variant == "freethreaded"
        if minor not in (None, of_minor) or of_minor < OLDEST_MINOR:
            continue
        suffix = "t" if free_threaded else ""
        for binary in (f"python3.{of_minor}{suffix}", "python3", "python"):
            path = f"{directory}/{name}/bin/{binary}"
            if os.access(path, os.X_OK):
                yield Interpreter(path, of_minor, micro, free_threaded, serial)
                break


def _of_directories(directories: "Sequence[str]", minor: "Optional[int]") -> "Iterator[Interpreter]":
    """Yield the interpreters that have their version in their file name: python3.12, python3.13t."""
    for directory in directories:
        directory = directory.rstrip("/") or "/"
        names = _listed(directory) if minor is None else (f"python3.{minor}", f"python3.{minor}t")
        if os.path.exists(os.path.dirname(directory) + "/pyvenv.cfg"):
            continue
        for name in names:
            parsed = parse_version(name) if name.startswith("python3.") else None
            path = directory + "/" + name
            if parsed is None or parsed[1] is not None or parsed[0] < OLDEST_MINOR or not _is_binary(path):
                continue
            yield Interpreter(path, parsed[0], _micro_in_path(path, parsed[0]), parsed[2])


def _of_frameworks(minor: "Optional[int]") -> "Iterator[Interpreter]":
    for framework in ("Python", "PythonT"):
        versions = f"{_FRAMEWORKS}/{framework}.framework/Versions"
        for name in _listed(versions):
            yield from _of_directories((f"{versions}/{name}/bin",), minor)


def _listed(directory: str) -> "list[str]":
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _is_binary(path: str) -> bool:
    """Tell a program from a shim, which is a script that starts whatever is selected at the moment."""
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        return False
    try:
        with open(path, "rb") as stream:
            return stream.read(2) != b"#!"
    except OSError:
        return True


def _micro_in_path(path: str, minor: int) -> "Optional[int]":
    # Homebrew: .../Cellar/python@3.12/3.12.7_1/Frameworks/... behind the link.
    for part in os.path.realpath(path).split("/"):
        parsed = parse_version(part.partition("_")[0])
        if parsed and parsed[0] == minor and parsed[1] is not None:
            return parsed[1]
    return None


def _exact(found: "list[Interpreter]", micro: int) -> "Optional[Interpreter]":
    """Return the one with this micro version, asking those that do not tell it only if no other fits."""
    for interpreter in sorted(found, key=_rank, reverse=True):
        if interpreter.micro == micro:
            return interpreter
    for interpreter in found:
        if interpreter.micro is None and _ask(interpreter) == micro:
            return interpreter
    return None


def _newest(found: "list[Interpreter]") -> "Optional[Interpreter]":
    if len(found) > 1:
        found = [each for each in found if each.micro is not None or _ask(each) is not None]
    # max() takes the first of equals.
    return max(found, key=_rank, default=None)


def _rank(interpreter: Interpreter) -> "tuple[int, int, int, bool]":
    micro = -1 if interpreter.micro is None else interpreter.micro
    return interpreter.minor, micro, interpreter.serial, not interpreter.free_threaded


def _ask(interpreter: Interpreter) -> "Optional[int]":
    """Fill in and return the micro version; None if the interpreter does not run."""
    micro = _micro_in_header(interpreter)
    if micro is None:
        import subprocess

        command = [interpreter.path, "-I", "-S", "-c", "import sys; print(sys.version_info[2])"]
        try:
            said = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=ASK_SECONDS,
                check=True,
            ).stdout
            micro = int(said)
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
    interpreter.micro = micro
    return micro


def _micro_in_header(interpreter: Interpreter) -> "Optional[int]":
    # Reading the header next to it is 10 ms cheaper than starting it.
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(interpreter.path)))
    suffix = "t" if interpreter.free_threaded else ""
    try:
        with open(
            f"{prefix}/include/python3.{interpreter.minor}{suffix}/patchlevel.h", encoding="ascii"
        ) as lines:
            for line in lines:
                words = line.split()
                if words[:2] == ["#define", "PY_MICRO_VERSION"]:
                    return int(words[2])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _what_is(environ: "Mapping[str, str]", system: "Sequence[str]") -> str:
    found = list_interpreters(environ, system)
    if not found:
        return "no Python from 3.8 on was found; install one, or give its path"
    return "installed: " + ", ".join(f"{each.version} ({each.path})" for each in found)
