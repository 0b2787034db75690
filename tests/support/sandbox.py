"""A user of their own: an empty home, a store, a daemon on demand, and the commands as they are installed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Sandbox", "network_settings"]

SCRIPTS = Path(sys.executable).parent
"""Where `sprawl`, `sprawlctl` and `sprawld` of the tested installation lie."""

_NETWORK = (
    "VIRTUAL_SPRAWL_INDEX",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
)


def network_settings() -> dict[str, str]:
    """Return what whoever runs the tests has set for the way to a package index, to hand it on."""
    return {name: os.environ[name] for name in _NETWORK if name in os.environ}


class Sandbox:
    """Runs commands as a user with an empty home in `root`; `close` stops the daemon that they started."""

    def __init__(self, root: Path, *, index: str = "") -> None:
        self.root = root
        self.home = root / "home"
        self.runtime = root / "run"
        self.home.mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{SCRIPTS}:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LANG": "C.UTF-8",
            # The system's own pip settings must not reach the tests.
            "PIP_CONFIG_FILE": os.devnull,
            "XDG_CONFIG_DIRS": str(root / "no-system-settings"),
        }
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            if name in os.environ:
                self.environ[name] = os.environ[name]
        if index:
            self.environ["VIRTUAL_SPRAWL_INDEX"] = index

    @property
    def store(self) -> Path:
        """The store's root."""
        return self.home / ".cache" / "virtual-sprawl"

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        input: str | None = None,
        check: bool = True,
        timeout: float = 100,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as this user; with `check`, a failure fails the test and shows what was said."""
        outcome = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.home,
            env=self.environ | (env or {}),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and outcome.returncode:
            raise AssertionError(
                f"{command} ended with {outcome.returncode}\n{outcome.stdout}{outcome.stderr}\n{self.log()}"
            )
        return outcome

    def start(self, *command: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command as this user and do not wait for it."""
        options = {"cwd": self.home, "stdin": subprocess.DEVNULL} | options
        return subprocess.Popen(
            [str(word) for word in command],
            env=self.environ | options.pop("env", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def sprawl(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `sprawl`."""
        return self.run(SCRIPTS / "sprawl", *arguments, **options)

    def ctl(self, *arguments: str | Path, **options: Any) -> Any:
        """Run `sprawlctl ... --json` and return what it printed."""
        return json.loads(self.run(SCRIPTS / "sprawlctl", *arguments, "--json", **options).stdout)

    def status(self) -> Any:
        """Return the daemon's status."""
        return self.ctl("status")

    def daemon_pid(self) -> int:
        """Return the daemon's process id, as it says itself."""
        return int(self.status()["pid"])

    def kill_daemon(self) -> None:
        """SIGKILL the daemon, if one runs."""
        outcome = self.run(SCRIPTS / "sprawlctl", "status", "--json", check=False)
        if outcome.returncode == 0:
            os.kill(json.loads(outcome.stdout)["pid"], signal.SIGKILL)

    def log(self) -> str:
        """Return what the daemon logged."""
        path = self.store / "sprawld.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def tree(self) -> dict[str, int]:
        """Return every file of the store's entries and sets with its inode, to see what a run adds."""
        found = {}
        for kind in ("wheels", "sets", "client"):
            for path in sorted((self.store / kind).rglob("*")):
                found[str(path.relative_to(self.store))] = path.lstat().st_ino
        return found

    def project(self, name: str, files: dict[str, str], requirements: Sequence[str] = ()) -> Path:
        """Make a directory with these files and, if given, a `requirements.txt` of these lines."""
        directory = self.root / "projects" / name
        directory.mkdir(parents=True, exist_ok=True)
        for relative, content in files.items():
            path = directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        if requirements:
            (directory / "requirements.txt").write_text("\n".join(requirements) + "\n")
        return directory

    def close(self) -> None:
        """Stop the daemon and wait until its lock is free."""
        lock = self.store / "daemon.lock"
        for _ in range(10):
            # Of two that were started together, the one that came late serves when the other has stopped.
            self.run(SCRIPTS / "sprawlctl", "stop", check=False)
            if (
                not lock.exists()
                or not self.run("flock", "--timeout", "2", lock, "true", check=False).returncode
            ):
                return
        raise AssertionError(f"a daemon does not stop\n{self.log()}")
