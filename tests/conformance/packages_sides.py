"""Both sides of the comparison: a venv that uv made and a path set, and programs run in either."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sprawld.acquire.settings import default_index
from tests.support.sandbox import Sandbox
from tests.support.sets import install_hook

from .tools import Toolbox, ToolMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Ran", "Side", "Workplace"]

_LOCK_SECONDS = 300
_INSTALL_SECONDS = 1800
_INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


@dataclass(frozen=True, slots=True)
class Side:
    """An environment that programs run in."""

    prefix: str
    is_ours: bool

    @property
    def python(self) -> str:
        """Its interpreter."""
        return f"{self.prefix}/bin/python"


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a program: its status, `timeout`, or `missing`; and what it wrote, paths made neutral."""

    status: int | str
    output: str


@functools.cache
def _without_network() -> tuple[str, ...]:
    """Return what to put before a command so that it reaches no network, where this machine allows that."""
    command = ("unshare", "--net")
    try:
        done = subprocess.run([*command, "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return () if done.returncode else command


class Workplace:
    """A directory with a user of ours, with uv and its cache, and with the environments that are compared."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = Toolbox(root / "tools")
        self.user = Sandbox(root / "user")
        self.homes = root / "homes"
        self.homes.mkdir(exist_ok=True)

    def close(self) -> None:
        """Stop the daemon."""
        self.user.close()

    def uv(self, *words: str | Path, seconds: float = _LOCK_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run uv with a cache that all share; ToolMissingError if it takes too long."""
        index = next((os.environ[name] for name in _INDEX_VARIABLES if name in os.environ), default_index())
        environ = self.tools.environ({"UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": str(self.root / "uv-cache")})
        command = [str(word) for word in (self.tools.uv, *words)]
        try:
            return subprocess.run(
                command, env=environ, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise ToolMissingError(f"uv {words[0]} took more than {seconds:.0f} s") from None

    def compile_lock(self, wanted: Path, lock: Path, python: Path, version: str) -> str:
        """Lock what a file asks for, from wheels alone; return uv's complaint, or nothing."""
        options = ("--no-build", "--format", "pylock.toml", "--python-version", version, "--python", python)
        done = self.uv("pip", "compile", "-q", *options, wanted, "-o", lock)
        return done.stderr or "failed" if done.returncode else ""

    def path_set(self, lock: Path, python: Path) -> Side:
        """Realise a lock; AssertionError with our message if that fails."""
        words = ("sync", "--quiet", "--print-path", "--python", python, "--lock", lock)
        done = self.user.sprawl(*words, cwd=lock.parent, timeout=_INSTALL_SECONDS)
        return Side(done.stdout.strip(), is_ours=True)

    def venv(self, lock: Path, python: Path, like: Side) -> Side:
        """Let uv install a lock, at a path of the shape of `like`'s: help texts are wrapped by it."""
        prefix = like.prefix.replace("/.cache/", "/.venvs/")
        Path(prefix).parent.mkdir(parents=True, exist_ok=True)
        for words in (
            ("venv", "-q", "--clear", "--python", python, prefix),
            ("pip", "sync", "-q", "--no-build", "--python", f"{prefix}/bin/python", lock),
        ):
            done = self.uv(*words, seconds=_INSTALL_SECONDS)
            if done.returncode:
                raise ToolMissingError(f"uv {words[0]}: {done.stderr.strip()[:300]}")
        return Side(prefix, is_ours=False)

    def run(
        self,
        side: Side,
        command: Sequence[str],
        seconds: float,
        extra: Mapping[str, str] | None = None,
        *,
        directory: Path | None = None,
        network: bool = False,
    ) -> Ran:
        """Run a program in an environment, with an empty home and without a terminal."""
        if not os.path.exists(command[0]):
            return Ran("missing", "")
        home = Path(tempfile.mkdtemp(dir=self.homes))
        environ = {
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": f"{side.prefix}/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "COLUMNS": "160",
            "PYTHONHASHSEED": "0",
            # It would wait for the network for half a minute.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            **(extra or {}),
        }
        try:
            before = () if network else _without_network()
            status, output = _run([*before, *command], environ, home, directory or home, seconds)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        output = output.replace(side.prefix, "<prefix>").replace(str(home), "<home>")
        # What is left of a prefix that was wrapped.
        return Ran(status, output.replace("/.cache/virtual-s", "/.venvs/virtual-s"))

    def packs_are_made(self, lock: Path, python: Path) -> None:
        """Wait until the daemon has made all packs of a lock's entries."""
        while True:
            try:
                packs: dict[str, Any] = self.user.status()["packs"]
            except AssertionError:
                # Another shard ended, and stopped it; the next one makes what is missing.
                self.path_set(lock, python)
                continue
            if not packs["waiting"]:
                return
            time.sleep(0.5)

    def hook(self, python: Path, library: str) -> dict[str, str]:
        """Install the start-up hook for an interpreter; return the variables that switch it on."""
        base = self.root / "hook"
        site = base / "lib" / library / "site-packages"
        if not site.exists():
            install_hook(site, python)
        return self.user.environ | {"PYTHONUSERBASE": str(base), "VIRTUAL_SPRAWL": "1"}


def _run(
    command: list[str], environ: dict[str, str], home: Path, directory: Path, seconds: float
) -> tuple[int | str, str]:
    with (home / "..output").open("wb+") as output:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = "timeout"
        finally:
            _end(process)
        output.seek(0)
        return status, output.read(1 << 20).decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it left behind: they are in a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
