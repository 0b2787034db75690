"""Empty caches to the example's picture: `sprawl run` beside `uv sync` + python and pip + python.

All three fetch the same wheels from the index that the user's settings name, into new directories on the same
file system, and run the same script. uv and pip read a requirements file with the same pins and hashes, made
from what `sprawl select` chose; the time that takes is not counted. uv and sprawl compile no bytecode; pip is
shown with and without.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import harness

__all__ = ["RUNS", "run"]

RUNS = 3
ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent
PEERS = ("uv==0.13.9", "pip==26.2")
KEPT = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "VIRTUAL_SPRAWL_INDEX")


def run(runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(Path(scratch))
        bench.install_peers()
        bench.write_requirements()
        contenders = {
            "sprawl run": bench.sprawl,
            "uv pip sync + python": bench.uv,
            "pip --no-compile + python": lambda: bench.pip("--no-compile"),
            "pip + python": bench.pip,
        }
        results = harness.alternate(contenders, runs, before=dict.fromkeys(contenders, bench.empty), warmup=0)
        bench.sprawl()
        results |= harness.alternate({"sprawl run, second time": bench.sprawl}, runs)
        bench.empty()
        return {"empty caches to the example's picture": results}


class _Bench:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.peers = scratch / "peers"
        self.home = scratch / "home"
        self.example = scratch / "penguins"
        shutil.copytree(ROOT / "examples/penguins", self.example)
        self.requirements = scratch / "requirements.txt"
        self.environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environ |= {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.empty()

    def empty(self) -> None:
        """Forget everything that was fetched."""
        lock = self.home / ".cache/virtual-sprawl/daemon.lock"
        if lock.exists():
            subprocess.run([SCRIPTS / "sprawlctl", "stop"], env=self.environ, capture_output=True)
            with lock.open() as file:
                # The daemon holds it until it has ended.
                fcntl.flock(file, fcntl.LOCK_EX)
        if self.home.exists():
            subprocess.run(["chmod", "-R", "u+w", self.home], check=True)
            shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "run").mkdir(parents=True, mode=0o700)

    def install_peers(self) -> None:
        harness.command([sys.executable, "-m", "venv", self.peers], os.environ)
        harness.command([self.peers / "bin/pip", "install", "-q", *PEERS], os.environ)

    def write_requirements(self) -> None:
        words = [SCRIPTS / "sprawl", "select", "--json", self.example]
        outcome = subprocess.run(words, env=self.environ, capture_output=True, text=True, check=True)
        lines = [
            f"{package['name']}=={package['version']} --hash=sha256:{package['sha256']}"
            for package in json.loads(outcome.stdout)["packages"]
        ]
        self.requirements.write_text("\n".join(lines) + "\n")

    def sprawl(self) -> None:
        harness.command([SCRIPTS / "sprawl", "run", "-q", self.example / "report.py"], self.environ)

    def uv(self) -> None:
        uv = self.peers / "bin/uv"
        venv = self.home / "venv"
        harness.command([uv, "venv", "-q", "--python", sys.executable, venv], self.environ)
        words = [uv, "pip", "sync", "-q", "--require-hashes", self.requirements]
        harness.command(words, self.environ | {"VIRTUAL_ENV": str(venv)})
        harness.command([venv / "bin/python", self.example / "report.py"], self.environ)

    def pip(self, *options: str) -> None:
        venv = self.home / "venv"
        harness.command([sys.executable, "-m", "venv", "--without-pip", venv], self.environ)
        words = [self.peers / "bin/python", "-m", "pip", "--python", venv / "bin/python", "install", "-q"]
        harness.command([*words, "--no-deps", *options, "-r", self.requirements], self.environ)
        harness.command([venv / "bin/python", self.example / "report.py"], self.environ)
