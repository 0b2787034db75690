"""What benchmarks run on: our own installation, the peers, the wheels, the local index, projects with locks.

Everything lies in a directory of its own and is made once: tools are installed at the versions named here,
from the package index that this environment uses. A Home is a user who has never run anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness, locks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EMPTY_LOCK", "PEERS", "ROOT", "Home", "Workbench", "remove"]

ROOT = Path(__file__).parents[1]
PEERS = {
    "uv": "uv==0.13.9",
    "pip": "pip==26.2",
    "poetry": "poetry==2.5.1",
    # What it depends on has moved on without it.
    "pdm": "pdm==2.26.7 dep-logic==0.6.0 hishel==1.1.8 packaging==25.0 unearth==0.18.2",
}
DATA = Path(__file__).with_name("data")
PORT = 18417
"""Fixed, because locks name their index."""
SETTLE_SECONDS = 300
EMPTY_LOCK = 'lock-version = "1.0"\ncreated-by = "benchmark"\npackages = []\n'
_NETWORK = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_CERT", "REQUESTS_CA_BUNDLE")


def remove(path: Path) -> None:
    """Remove a tree, read-only directories included."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        subprocess.run(["chmod", "-R", "u+w", path], check=False)
        shutil.rmtree(path, ignore_errors=True)


class Workbench:
    """The directory `work`; `disk` and `tmpfs` are where measured things happen."""

    def __init__(self, work: Path, disk: Path, tmpfs: Path | None) -> None:
        self.work = work
        self.places = {"disk": disk} | ({"tmpfs": tmpfs} if tmpfs else {})
        self._disk = disk
        self.python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
        self.own = work / "own/bin"
        work.mkdir(parents=True, exist_ok=True)
        self._server: subprocess.Popen[bytes] | None = None
        self._install_own()

    # -- what runs leave -----------------------------------------------------------------------------

    def discard(self, path: Path) -> None:
        """Get rid of what a run has left: at once in memory; on the disk it is moved away until the end.

        ext4 without a journal, as virtual machines have it, looks through what was deleted in the last
        minutes whenever it makes a file: every run after the first would take ten times as long.
        """
        if path.exists() and self._disk.stat().st_dev == path.stat().st_dev != self._memory():
            path.rename(Path(tempfile.mkdtemp(prefix="gone-", dir=self._disk)) / path.name)
        else:
            remove(path)

    @contextlib.contextmanager
    def scratch(self, directory: Path) -> Iterator[Path]:
        """Yield a new directory in one of the places; at the end it is discarded."""
        path = Path(tempfile.mkdtemp(dir=directory))
        try:
            yield path
        finally:
            self.discard(path)

    def _memory(self) -> int | None:
        return self.places["tmpfs"].stat().st_dev if "tmpfs" in self.places else None

    # -- tools ---------------------------------------------------------------------------------------

    def _venv(self, path: Path, *requirements: str | Path) -> None:
        marker = path / "installed"
        wanted = "\n".join(map(str, requirements))
        if marker.exists() and marker.read_text() == wanted:
            return
        remove(path)
        harness.command([self.python, "-m", "venv", path], os.environ)
        if requirements:
            harness.command([path / "bin/python", "-m", "pip", "install", "-q", *requirements], os.environ)
        marker.write_text(wanted)

    def _install_own(self) -> None:
        """Install this checkout as a user would, anew whenever a file of it has changed."""
        state = hashlib.sha256()
        files = [ROOT / "pyproject.toml", *ROOT.glob("client/**/*"), *ROOT.glob("sprawld/**/*.py")]
        for path in sorted(files):
            if path.is_file() and "__pycache__" not in path.parts:
                state.update(path.read_bytes())
        marker = self.own.parent / "digest"
        if marker.exists() and marker.read_text() == state.hexdigest():
            return
        self._venv(self.own.parent)
        words: harness.Words = [self.own / "python", "-m", "pip", "install", "-q", "--force-reinstall", ROOT]
        if marker.exists():
            words.insert(-1, "--no-deps")
        harness.command(words, os.environ)
        marker.write_text(state.hexdigest())

    def peer(self, name: str) -> Path:
        """Return the path of a peer's program, installed at its pinned version."""
        path = self.work / "peers" / name
        self._venv(path, *PEERS[name].split())
        return path / "bin" / name

    def prepare(self) -> None:
        """Install every peer, fetch every wheel and make every lock that benchmarks need."""
        from . import imports, run_hello

        for name in PEERS:
            self.peer(name)
        names = ["ds", "web", imports.PLOTLY, run_hello.PACKAGES]
        for name in names:
            self.wheels(*self.requirements(name))
        with self.index() as address:
            for tool in PEERS:
                for name in names[:2]:
                    self.project(tool, name, address)

    def empty_venv(self) -> Path:
        """Return the interpreter of an environment with nothing in it."""
        path = self.work / "empty"
        if not path.exists():
            harness.command([self.python, "-m", "venv", "--without-pip", path], os.environ)
        return path / "bin/python"

    def hooked_venv(self) -> Path:
        """Return the interpreter of an environment with the start-up hook in it and nothing else."""
        path = self.work / "hooked"
        remove(path)
        harness.command([self.python, "-m", "venv", "--without-pip", path], os.environ)
        harness.command([self.own / "sprawlctl", "enable", "-p", path / "bin/python"], os.environ)
        return path / "bin/python"

    # -- wheels and locks ----------------------------------------------------------------------------

    def wheels(self, *requirements: str) -> Path:
        """Return the directory of all wheels, with those of these pinned requirements in it."""
        directory = self.work / "wheels"
        directory.mkdir(exist_ok=True)
        have = directory / "have.txt"
        known = set(have.read_text().split()) if have.exists() else set()
        missing = [requirement for requirement in requirements if requirement not in known]
        words: harness.Words = [
            self.peer("pip"),
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
            directory,
        ]
        while missing:
            # Two versions of one project cannot be asked for in one breath.
            batch = {requirement.partition("==")[0]: requirement for requirement in missing}
            harness.command([*words, *batch.values()], os.environ)
            known.update(batch.values())
            have.write_text("\n".join(sorted(known)) + "\n")
            missing = [requirement for requirement in missing if requirement not in known]
            locks.add_stubs(directory)
        return directory

    def requirements(self, name: str) -> list[str]:
        """Return the pinned requirements of a reference set: `ds`, `web`, or a comma-separated list."""
        if "==" in name:
            return name.split(",")
        return (DATA / f"{name}.txt").read_text().split()

    @contextlib.contextmanager
    def index(self) -> Iterator[str]:
        """Serve all wheels from another process; yield the index's address."""
        words: harness.Words = [
            sys.executable,
            "-m",
            "benchmarks.index_server",
            self.work / "wheels",
            str(PORT),
        ]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                if server.stdout.readline() != b"ready\n":
                    raise SystemExit("the index does not start")
                yield f"http://127.0.0.1:{PORT}/simple/"
            finally:
                server.kill()

    def project(self, tool: str, name: str, address: str) -> Path:
        """Return a project of a reference set with the lock of a tool (uv, poetry, pdm, pip), made once."""
        requirements = self.requirements(name)
        digest = hashlib.sha256("\n".join((PEERS[tool], *requirements)).encode()).hexdigest()[:12]
        path = self.work / "projects" / f"{tool}-{digest}"
        if (path / "main.py").exists():
            return path
        remove(path)
        path.mkdir(parents=True)
        (path / "pyproject.toml").write_text(locks.pyproject(requirements, address))
        locking: dict[str, harness.Words] = {
            "uv": [self.peer("uv"), "lock", "-q", "--python", self.python],
            "poetry": [self.peer("poetry"), "lock", "-q"],
            "pdm": [self.peer("pdm"), "lock", "-q", "--platform", "linux"],
            "pip": [],
        }
        words = locking[tool]
        if words:
            with tempfile.TemporaryDirectory() as home:
                harness.command(words, self.clean(Path(home)), cwd=path)
            remove(path / ".venv")
            (path / ".pdm-python").unlink(missing_ok=True)
        else:
            (path / "requirements.txt").write_text(locks.frozen(self.work / "wheels", requirements))
        (path / "main.py").write_text("print('first line')\n")
        return path

    def clean(self, home: Path) -> dict[str, str]:
        """Return an environment in which no setting of this user reaches a tool; caches lie in `home`."""
        environ = {name: os.environ[name] for name in _NETWORK if name in os.environ}
        address = f"http://127.0.0.1:{PORT}/simple/"
        return environ | {
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": address,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "UV_CACHE_DIR": str(home / "uv-cache"),
            "UV_DEFAULT_INDEX": address,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": str(self.python),
            "UV_PYTHON_DOWNLOADS": "never",
            "POETRY_CACHE_DIR": str(home / "poetry-cache"),
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_NO_INTERACTION": "1",
            "PDM_CACHE_DIR": str(home / "pdm-cache"),
            "PDM_CHECK_UPDATE": "0",
            "MPLBACKEND": "Agg",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }


class Home:
    """A user with an empty home, and the commands as they run them."""

    def __init__(self, bench: Workbench, root: Path) -> None:
        self.bench = bench
        self.root = root
        self.environ = bench.clean(root)
        self.store = root / ".cache/virtual-sprawl"
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sprawl(self, *words: str | Path, cwd: Path | None = None) -> str:
        """Run `sprawl`; return what it printed."""
        return harness.output([self.bench.own / "sprawl", *words], self.environ, cwd=cwd)

    def ctl(self, *words: str | Path) -> Any:
        """Run `sprawlctl ... --json`."""
        return json.loads(harness.output([self.bench.own / "sprawlctl", *words, "--json"], self.environ))

    def start_daemon(self) -> None:
        """Start a daemon by asking for the set of an empty lock."""
        project = self.root / "empty"
        project.mkdir(exist_ok=True)
        (project / "pylock.toml").write_text(EMPTY_LOCK)
        self.sprawl("sync", "-q", cwd=project)

    def pid(self) -> int:
        """Return the daemon's process id."""
        return int(self.ctl("status")["pid"])

    def stop(self) -> None:
        """Stop the daemon and wait until it has ended."""
        lock = self.store / "daemon.lock"
        if lock.exists():
            subprocess.run([self.bench.own / "sprawlctl", "stop"], env=self.environ, capture_output=True)
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)

    def forget(self) -> None:
        """Stop the daemon and remove everything this user has."""
        self.stop()
        self.bench.discard(self.root)
        self.root.mkdir(parents=True, mode=0o700)

    def wait_for_packs(self) -> None:
        """Wait until the daemon has made all packs."""
        give_up = time.monotonic() + SETTLE_SECONDS
        while self.ctl("status")["packs"]["waiting"] and time.monotonic() < give_up:
            time.sleep(1)

    def settle(self, *words: str | Path, cwd: Path) -> None:
        """Run `sprawl run WORDS` until all packs are made and a start need not ask any more."""
        give_up = time.monotonic() + SETTLE_SECONDS
        self.sprawl("run", "-q", *words, cwd=cwd)
        while time.monotonic() < give_up:
            before = self.ctl("status")
            self.sprawl("run", "-q", *words, cwd=cwd)
            # One request is that of `status`.
            after = self.ctl("status")
            if not after["packs"]["waiting"] and after["requests"] - before["requests"] == 1:
                return
            time.sleep(1)
        raise SystemExit("the store does not settle")
