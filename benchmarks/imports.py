"""What imports cost: a path set with packs beside a virtual environment with compiled bytecode.

Both hold the files of the example's lock and run the same base interpreter; pip made the environment and
compiled it. Each figure is a whole process, `python -c "import ..."`, in the set's or the environment's own
interpreter. The set is shown without its packs, too: that is the first run.
"""

from __future__ import annotations

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

RUNS = 25
ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent
PEERS = ("pip==26.2",)
KEPT = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "VIRTUAL_SPRAWL_INDEX")
PROGRAMS = (
    "pass",
    "import numpy",
    "import pandas",
    "import matplotlib.pyplot",
    "import pandas, matplotlib.pyplot",
)


def run(runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> statistics."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(Path(scratch))
        try:
            bench.make_set()
            bench.make_venv()
            return {program: bench.compare(program, runs) for program in PROGRAMS}
        finally:
            harness.command([SCRIPTS / "sprawlctl", "stop"], bench.environ)


class _Bench:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.example = scratch / "penguins"
        shutil.copytree(ROOT / "examples/penguins", self.example)
        self.venv = scratch / "venv/bin/python"
        self.set = Path()
        self.environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environ |= {"HOME": str(scratch), "XDG_RUNTIME_DIR": str(scratch), "MPLBACKEND": "Agg"}
        self.packs = scratch / ".cache/virtual-sprawl/packs"
        self.away = self.packs.with_name("packs-away")

    def make_set(self) -> None:
        where = [SCRIPTS / "sprawl", "run", "-q", "python", "-c", "import sys; print(sys.executable)"]
        self.set = Path(self.output(where, cwd=self.example).strip())
        while json.loads(self.output([SCRIPTS / "sprawlctl", "status", "--json"]))["packs"]["waiting"]:
            pass

    def make_venv(self) -> None:
        peers = self.scratch / "peers/bin/python"
        harness.command([sys.executable, "-m", "venv", peers.parents[1]], os.environ)
        harness.command([peers, "-m", "pip", "install", "-q", *PEERS], os.environ)
        requirements = self.scratch / "requirements.txt"
        selected = json.loads(self.output([SCRIPTS / "sprawl", "select", "--json", self.example]))["packages"]
        lines = [f"{item['name']}=={item['version']} --hash=sha256:{item['sha256']}\n" for item in selected]
        requirements.write_text("".join(lines))
        harness.command([sys.executable, "-m", "venv", "--without-pip", self.venv.parents[1]], os.environ)
        install = [
            peers,
            "-m",
            "pip",
            "--python",
            self.venv,
            "install",
            "-q",
            "--no-deps",
            "-r",
            requirements,
        ]
        harness.command(install, os.environ)

    def compare(self, program: str, runs: int) -> dict[str, dict[str, Any]]:
        return harness.alternate(
            {
                "venv with .pyc": lambda: self.python(self.venv, program),
                "set with packs": lambda: self.python(self.set, program),
                "set, first run (from source)": lambda: self.python(self.set, program),
            },
            runs,
            before={
                "set with packs": lambda: self.show_packs(True),
                "set, first run (from source)": lambda: self.show_packs(False),
            },
            warmup=2,
        )

    def show_packs(self, shown: bool) -> None:
        source, target = (self.away, self.packs) if shown else (self.packs, self.away)
        if source.exists():
            source.rename(target)

    def python(self, executable: Path, program: str) -> None:
        harness.command([executable, "-c", program], self.environ, cwd=self.scratch)

    def output(self, words: list[str | Path], cwd: Path | None = None) -> str:
        done = subprocess.run(words, env=self.environ, cwd=cwd, capture_output=True, text=True, check=True)
        return done.stdout
