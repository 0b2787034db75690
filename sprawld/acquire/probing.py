"""Runs an interpreter to ask it what it is; what the answer means is the matter of `environment`.

In a module of its own, which imports next to nothing: a daemon that is started for an interpreter asks it
first of all, and gets ready while it answers.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import packaging

from sprawld.errors import InterpreterError

__all__ = ["Begun", "abandon", "begin", "check_runnable", "outcome"]

PROBE_SECONDS: Final = 20.0
"""An interpreter on a cold network home may take seconds to start; longer than this is a hang."""
# SYSTEM_VERSION_COMPAT=0 makes macOS tell its real version to interpreters linked against an old SDK.
_ENVIRON: Final = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "SYSTEM_VERSION_COMPAT": "0"}
_PACKAGING_DIRECTORY: Final = str(Path(packaging.__file__).parent.parent)


class Begun(NamedTuple):
    """An interpreter that is being asked."""

    process: subprocess.Popen[bytes]
    file: os.stat_result
    """Of the interpreter, from before it was started: it may be another one when it has answered."""


def check_runnable(executable: str) -> None:
    """Refuse what is no interpreter by its looks; InterpreterError."""
    path = Path(executable)
    if not path.is_absolute():
        raise InterpreterError("python.not-found", f"{executable!r} is not an absolute path")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise InterpreterError("python.not-found", f"there is no interpreter that can be run at {executable}")
    try:
        with path.open("rb") as stream:
            script = stream.read(2) == b"#!"
    except OSError:
        # Executable and unreadable is enough to run.
        script = False
    if script:
        raise InterpreterError(
            "python.unsupported",
            f"{executable} is a script that starts some other interpreter (a version manager's shim?)",
            hint="name the interpreter itself; `pyenv which python` prints it",
        )


def begin(executable: str) -> Begun:
    """Start asking; InterpreterError for what cannot be run."""
    check_runnable(executable)
    file = Path(executable).stat()
    script = Path(__file__).with_name("_probe.py").read_text(encoding="utf-8")
    try:
        process = subprocess.Popen(
            [executable, "-I", "-S", "-B", "-c", script, _PACKAGING_DIRECTORY],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=_ENVIRON,
        )
    except OSError as error:
        raise InterpreterError("python.not-found", f"{executable} cannot be run: {error.strerror}") from error
    return Begun(process, file)


def outcome(begun: Begun, executable: str) -> tuple[int, bytes, bytes]:
    """Return exit status, answer and complaint; blocks, and InterpreterError where that takes too long."""
    process = begun.process
    try:
        answer, complaint = process.communicate(timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(
            "python.probe-failed", f"{executable} did not answer within {PROBE_SECONDS:.0f} s"
        ) from error
    finally:
        abandon(begun)
    return process.returncode, answer, complaint


def abandon(begun: Begun) -> None:
    """End a question that is not over."""
    process = begun.process
    if process.poll() is None:
        process.kill()
    with process:
        """Closes the pipes and waits."""
