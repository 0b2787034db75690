"""What a warm start costs: `-c pass` with the hook switched on, against the same interpreter without it.

Claim: within 1.12 times of the same interpreter in an empty virtual environment. The hook is the one
installed in the interpreter that runs this; the daemon is a real one with a store of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import harness

__all__ = ["RUNS", "run"]

RUNS = 100
EMPTY_LOCK = 'lock-version = "1.0"\ncreated-by = "benchmark"\npackages = []\n'
SCRIPTS = Path(sys.executable).parent


def run(runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        project = home / "project"
        project.mkdir()
        # An empty lock: what is measured is the road, not the packages.
        (project / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "benchmark"\npackages = []\n'
        )
        (project / "hello.py").write_text("print('hello')\n")
        environ = {"HOME": scratch, "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": scratch}
        on = environ | {"VIRTUAL_SPRAWL": "1"}
        empty = home / "empty"
        harness.command([sys.executable, "-m", "venv", "--without-pip", empty], environ)
        hooked = [sys.executable, "-c", "pass"]
        sprawl = [str(SCRIPTS / "sprawl"), "run", "hello.py"]

        def python(words: list[str], environ: dict[str, str]) -> None:
            harness.command(words, environ, cwd=project)

        try:
            return {
                "start of the interpreter, -c pass": harness.alternate(
                    {
                        "empty venv": lambda: python([str(empty / "bin/python"), "-c", "pass"], environ),
                        "hook installed, variable unset": lambda: python(hooked, environ),
                        "hook, warm": lambda: python(hooked, on),
                    },
                    runs,
                    warmup=3,
                ),
                "hello.py": harness.alternate(
                    {
                        "python hello.py, empty venv": lambda: python(
                            [str(empty / "bin/python"), "hello.py"], environ
                        ),
                        "hook, warm": lambda: python([sys.executable, "hello.py"], on),
                        "sprawl run, warm": lambda: python(sprawl, environ),
                    },
                    runs,
                    warmup=3,
                ),
            }
        finally:
            harness.command([SCRIPTS / "sprawlctl", "stop"], environ)
