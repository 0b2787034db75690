"""A project on one self-built wheel, and the two roads onto it: `sprawl run`, and the start-up hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .sandbox import Sandbox
from .sets import examine, install_hook
from .wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .index import SimpleIndex

__all__ = ["ROADS", "Roads"]

ROADS = ("run", "hook")


class Roads:
    """A user with a daemon and a project; interpreters get the hook when they are asked for.

    The wheel `kit` 1.0 has these files and the command `kit-tool`, which calls `kit.tool:main`.
    """

    def __init__(
        self,
        directory: Path,
        index: SimpleIndex,
        wheel: Mapping[str, str | bytes],
        programs: Mapping[str, str],
    ) -> None:
        self.sandbox = Sandbox(directory / "user", index=index.url)
        self.index = index
        self.directory = directory
        self.lines = [self.pin("kit", "1.0", wheel)]
        self.project = self.sandbox.project("app", dict(programs), self.lines)

    def pin(self, name: str, version: str, files: Mapping[str, str | bytes]) -> str:
        """Put a wheel into the index and return its line for a lock."""
        scripts = {"console_scripts": {f"{name}-tool": f"{name}.tool:main"}}
        wheel = build_wheel(self.directory, name, version, files, entry_points=scripts)
        self.index.add(wheel)
        return f"{name}=={version} --hash=sha256:{self.index.sha256(wheel.name)}"

    def hooked(self, python: Path) -> Path:
        """Return an interpreter that has the hook in the user's site directory."""
        target = self.sandbox.home / ".local/lib" / examine(python).library / "site-packages"
        if not target.exists():
            install_hook(target, python)
        return python

    def run(self, road: str, python: Path, *words: str | Path, **options: Any) -> str:
        """Run by a road in the project and return what was printed; `words`: a script or -c or -m or "-"."""
        options = {"cwd": self.project} | options
        if road == "run":
            return self.sandbox.sprawl("run", "--python", python, *words, **options).stdout
        environ = {"VIRTUAL_SPRAWL": "1"} | options.pop("env", {})
        return self.sandbox.run(self.hooked(python), *words, env=environ, **options).stdout

    def path_set(self, python: Path) -> str:
        """Return the directory of the project's set."""
        done = self.sandbox.sprawl("sync", "--print-path", "--python", python, cwd=self.project)
        return done.stdout.strip()

    def packages(self, python: Path) -> str:
        """Return the site-packages of the project's set."""
        return f"{self.path_set(python)}/lib/{examine(python).library}/site-packages"
