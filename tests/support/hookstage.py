"""A stage for the start-up hook: a home, a user site with the hook in it, a set, an interpreter to run."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from virtual_sprawl import protocol

from .fakedaemon import Answer, FakeDaemon, frame, serving
from .sets import HandmadeSet, examine, install_hook, make_set

__all__ = ["PACKAGES", "Stage"]

PACKAGES: Mapping[str, str | bytes] = {
    "hello.py": "def where():\n    return __file__\n",
    "tool/__init__.py": "",
    "tool/__main__.py": "import sys, hello\nprint('tool', sys.argv[1:], hello.where())\n",
    "tool/part.py": "value = 1\n",
    "space/left.py": "value = 2\n",
    "demo-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.5\n",
    "demo-1.5.dist-info/RECORD": "hello.py,,\n",
}

_RUN_SECONDS = 60


@dataclass
class Stage:
    """Everything below one directory; `python` is the base interpreter."""

    root: Path
    python: Path
    packages: Mapping[str, str | bytes] = field(default_factory=lambda: PACKAGES)
    set: HandmadeSet = field(init=False)

    def __post_init__(self) -> None:
        for directory in (self.root / "home", self.runtime, self.project):
            directory.mkdir(parents=True)
        self.set = make_set(self.store, self.python, self.packages)
        install_hook(self.user_site, self.python)

    @property
    def store(self) -> Path:
        return self.root / "cache/virtual-sprawl"

    @property
    def runtime(self) -> Path:
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.runtime / "virtual-sprawl/sock"

    @property
    def project(self) -> Path:
        """Where programs run."""
        return self.root / "project"

    @property
    def user_site(self) -> Path:
        return self.root / "base/lib" / examine(self.python).library / "site-packages"

    @property
    def environ(self) -> dict[str, str]:
        """Environment of a run with the hook on the path and switched off."""
        return {
            "HOME": str(self.root / "home"),
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            "PYTHONUSERBASE": str(self.root / "base"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            # A test that finds no daemon must not start a real one.
            "VIRTUAL_SPRAWL_DAEMON": "never",
        }

    def run(
        self,
        *arguments: str | Path,
        mode: str | None = "1",
        python: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run an interpreter with VIRTUAL_SPRAWL=`mode` (None: unset) and return what came of it."""
        variables = {**self.environ, **(environ or {})}
        if mode is not None:
            variables["VIRTUAL_SPRAWL"] = mode
        options.setdefault("cwd", self.project)
        command: Sequence[str | Path] = (python or self.python, *arguments)
        return subprocess.run(
            command,
            env=variables,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
            **options,
        )

    def output(self, *arguments: str | Path, **options: Any) -> str:
        """Run, expect success without a word on stderr, and return standard output."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def path_set(self) -> bytes:
        """Return the PATH_SET frame of the set."""
        return frame(protocol.PATH_SET, self.set.strings)

    @contextlib.contextmanager
    def daemon(self, answer: Answer | bytes | None = None) -> Iterator[FakeDaemon]:
        """Serve; by default every question is answered with the set."""
        reply = self.path_set() if answer is None else answer
        with serving(self.socket, reply if callable(reply) else lambda request, connection: reply) as daemon:
            yield daemon

    def files(self) -> set[str]:
        """Return every path in the store."""
        return {str(path.relative_to(self.store)) for path in self.store.rglob("*")}
