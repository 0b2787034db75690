"""The tools that are asked: uv as it is found, the others in throw-away environments of their own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.acquire.settings import default_index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PINNED", "ToolMissingError", "Toolbox"]

PINNED = {
    "uv": ("uv==0.13.9",),
    "poetry": ("poetry==2.5.1", "poetry-plugin-pypi-mirror==0.6.5"),
    # The releases of its libraries from its own time: later ones do not fit it, or not Python 3.9.
    "pdm": ("pdm==2.26.7", "dep-logic==0.6.0", "hishel==1.1.8", "packaging==25.0", "unearth==0.18.2"),
    "pipenv": ("pipenv==2026.10.3",),
    "pip": ("pip==26.3",),
}
"""What is installed where a tool is not there in this version."""

_INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_KEPT_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "HTTPS_PROXY", "https_proxy")
_INSTALL_SECONDS = 300


class ToolMissingError(Exception):
    """A tool is neither here nor to be had; the text says why."""


class Toolbox:
    """Makes the tools ready in `directory`, each when first asked for; what lies there is used again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self._turn = threading.RLock()

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a user without settings, who has these tools."""
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            **kept,
            **(extra or {}),
        }

    @functools.cached_property
    def uv(self) -> Path:
        """The uv of the pinned version: of this environment, of PATH, or installed."""
        beside = Path(sys.executable).with_name("uv")
        for candidate in (beside, shutil.which("uv")):
            if candidate and Path(candidate).is_file() and self._is_pinned(Path(candidate)):
                return Path(candidate)
        venv = self.directory / "uv"
        if not (venv / "bin" / "uv").exists():
            _run([sys.executable, "-m", "venv", venv], self.environ())
            pip = [venv / "bin" / "python", "-m", "pip", "install", "-q", *PINNED["uv"]]
            # pip's own settings name the index that this user has.
            _run(pip, {**self.environ(), **os.environ})
        return venv / "bin" / "uv"

    def _is_pinned(self, uv: Path) -> bool:
        said = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False).stdout
        return said.split()[1:2] == [PINNED["uv"][0].partition("==")[2]]

    def tool(self, name: str) -> Path:
        """Return the `bin` directory of a tool's environment; raises ToolMissingError."""
        venv = self.directory / name
        with self._turn:
            if not (venv / "installed").exists():
                self._install(venv, PINNED[name])
                (venv / "installed").touch()
        return venv / "bin"

    def venv(self, python: Path) -> Path:
        """Return an empty environment of an interpreter."""
        venv = self.directory / "pythons" / python.resolve().parts[-3]
        with self._turn:
            if not (venv / "pyvenv.cfg").exists():
                _run([self.uv, "venv", "-q", "--python", python, venv], self.environ())
        return venv

    def _install(self, venv: Path, requirements: Sequence[str]) -> None:
        index = next((os.environ[name] for name in _INDEX_VARIABLES if name in os.environ), default_index())
        environ = self.environ({"UV_DEFAULT_INDEX": index})
        _run([self.uv, "venv", "-q", "--allow-existing", "--python", sys.executable, venv], environ)
        _run([self.uv, "pip", "install", "-q", "--python", venv / "bin" / "python", *requirements], environ)


def _run(command: Sequence[object], environ: Mapping[str, str]) -> None:
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=environ, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissingError(f"{words[0]}: {type(error).__name__}") from error
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise ToolMissingError(
            f"{Path(words[0]).name} {words[-1]}: {complaint[0] if complaint else 'failed'}"
        )
