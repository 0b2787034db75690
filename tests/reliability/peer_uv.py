"""The recipes of T1, T2 and T7 against uv.

What was run: uv, as the package index offers it, installs the same wheels from the same index on this machine
with their hashes in its requirements: `uv pip install` into a new virtual environment, a cache of its own.
T1: it is killed at a random moment of a cold install and run again; an environment counts if a file of it is
not what its wheel has although the second run reported success. T2: the cache and the environment lie on the
ext4 image; power is cut after an install, then it installs from that cache into a new environment. T7: one
file in its cache is changed, then it installs into a new environment; unnoticed means that it reports success
and the environment is not what the wheels have.

The recipes are alike, not the same: our own T2 runs the store's code in a process that dies at a failpoint
before the cut, and our own T7 does more kinds of damage and asks `verify`, not an install.

uv makes no promise about any of this: its documentation calls the cache append-only and says that it must not
be changed from outside, it has no command that verifies it, and it does not claim to survive a power cut. Who
meets damage can remove it with `uv cache clean`, and mend an environment with `--reinstall`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

from sprawld.store.files import sync_directory
from tests.support.disk import Disk, NoDisk
from tests.support.index import SimpleIndex
from tests.support.parts import make_parts

from .programme import Context, Outcome, Skip

TITLE = "Beside uv"
BAR = "none: uv makes no such promise"

WHEELS = 40
ON_DISK = 8
KINDS = ("a bit flipped", "truncated", "zeros", "removed")


class Uv:
    """uv with a cache and a home of its own."""

    def __init__(self, root: Path, index: SimpleIndex, count: int) -> None:
        found = Path(sys.executable).with_name("uv")
        self.program = str(found) if found.exists() else shutil.which("uv") or ""
        if not self.program:
            raise Skip("uv is not installed")
        self.root = root
        root.mkdir(parents=True)
        self.cache = root / "cache"
        wheels = root / "wheels"
        wheels.mkdir()
        self.lines = make_parts(wheels, index, count, size=40_000, modules=8)
        self.requirements = root / "requirements.txt"
        self.requirements.write_text("\n".join(self.lines) + "\n")
        self.index = index.url
        self.expected: dict[str, bytes] = {}
        for wheel in wheels.iterdir():
            with zipfile.ZipFile(wheel) as archive:
                self.expected |= {
                    i.filename: archive.read(i) for i in archive.infolist() if "RECORD" not in i.filename
                }

    @property
    def environ(self) -> dict[str, str]:
        return {"HOME": str(self.root), "PATH": os.defpath, "UV_CACHE_DIR": str(self.cache)}

    def version(self) -> str:
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.split()[1]

    def environment(self, path: Path) -> Path:
        """Make a virtual environment at `path`, which must not exist."""
        command = [self.program, "venv", "-q", "--no-config", "--python", sys.executable, str(path)]
        subprocess.run(command, env=self.environ, check=True, capture_output=True)
        return path

    def install(self, environment: Path) -> subprocess.Popen[str]:
        command = [self.program, "pip", "install", "-q", "--no-config", "--require-hashes"]
        command += ["--index-url", self.index, "--python", str(environment / "bin/python")]
        command += ["-r", str(self.requirements)]
        return subprocess.Popen(
            command, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def wrong(self, environment: Path) -> int:
        """Return how many files of an environment are not what the wheels have."""
        site = next(environment.glob("lib/python*/site-packages"))
        return sum(_content(site / name) != content for name, content in self.expected.items())


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def run(context: Context) -> Outcome:
    outcome = context.outcome
    outcome.control, outcome.control_failed = "none: this is a comparison", True
    with context.directory() as root:
        with SimpleIndex() as index:
            uv = Uv(root / "a", index, WHEELS)
            outcome.figures["version: version"] = uv.version()
            _kills(context, outcome, uv)
        context.note(str(outcome.figures))
        with SimpleIndex() as index:
            _corruption(context, outcome, Uv(root / "b", index, ON_DISK))
        context.note(str(outcome.figures))
        _power(context, outcome, root)
    return outcome


def _kills(context: Context, outcome: Outcome, uv: Uv) -> None:
    environment = uv.environment(uv.root / "whole")
    begun = time.monotonic()
    assert uv.install(environment).wait() == 0
    whole = time.monotonic() - begun
    torn = files = refused = 0
    kills = context.count(100, 3)
    for number in range(kills):
        shutil.rmtree(uv.cache)
        environment = uv.environment(uv.root / f"e{number}")
        first = uv.install(environment)
        time.sleep(context.random.uniform(0, whole))
        first.kill()
        first.communicate()
        again = uv.install(environment)
        again.communicate()
        wrong = uv.wrong(environment)
        refused += again.returncode != 0
        torn += again.returncode == 0 and wrong > 0
        files += wrong if again.returncode == 0 else 0
        shutil.rmtree(environment)
    outcome.figures["T1: what stays wrong after a SIGKILL and a second run"] = (
        f"{torn} environments ({files} files) after {kills} kills at random moments, "
        f"{refused} second runs failed"
    )


def _corruption(context: Context, outcome: Outcome, uv: Uv) -> None:
    assert uv.install(uv.environment(uv.root / "first")).wait() == 0
    pristine = uv.root / "pristine"
    shutil.copytree(uv.cache, pristine, symlinks=True)
    unnoticed: Counter[str] = Counter()
    tries = context.count(120, 4)
    for number in range(tries):
        kind = KINDS[number % len(KINDS)]
        shutil.rmtree(uv.cache)
        shutil.copytree(pristine, uv.cache, symlinks=True)
        files = sorted(path for path in uv.cache.glob("archive-v*/*/part*/*") if path.is_file())
        _damage(context, context.random.choice(files), kind)
        environment = uv.environment(uv.root / f"c{number}")
        done = uv.install(environment)
        done.communicate()
        unnoticed[kind] += done.returncode == 0 and uv.wrong(environment) > 0
        shutil.rmtree(environment)
    detail = ", ".join(f"{count} {kind}" for kind, count in unnoticed.items())
    outcome.figures["T7: damage in the cache or store that goes unnoticed"] = (
        f"{sum(unnoticed.values())} of {tries} ({detail})"
    )


def _damage(context: Context, path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "a bit flipped":
        content[context.random.randrange(len(content))] ^= 1
        path.write_bytes(content)
    elif kind == "truncated":
        os.truncate(path, context.random.randrange(len(content)))
    elif kind == "zeros":
        path.write_bytes(bytes(len(content)))
    else:
        path.unlink()


def _power(context: Context, outcome: Outcome, root: Path) -> None:
    try:
        disk = Disk(root, 128 << 20)
        disk.mount()
    except NoDisk as reason:
        outcome.skipped.append(f"T2: {reason}")
        return
    try:
        with SimpleIndex() as index:
            uv = Uv(root / "c", index, ON_DISK)
            cuts = context.count(24, 2)
            torn = files = refused = 0
            for number in range(cuts):
                uv.cache = disk.path / "cache"
                assert uv.install(uv.environment(disk.path / "first")).wait() == 0
                if number % 2:
                    # As in our own cycles: the names reach the disk, the content is on its way.
                    for directory in (uv.cache, *uv.cache.glob("archive-v*"), *uv.cache.glob("wheels-v*")):
                        sync_directory(directory)
                else:
                    time.sleep(6)  # longer than ext4 waits until it writes its log
                disk.cut_power()
                again = uv.install(uv.environment(disk.path / "second"))
                _, errors = again.communicate()
                if again.returncode:
                    context.note(errors[-400:])
                wrong = uv.wrong(disk.path / "second")
                refused += again.returncode != 0
                torn += again.returncode == 0 and wrong > 0
                files += wrong if again.returncode == 0 else 0
                disk.renew()
    finally:
        disk.unmount()
    outcome.figures["T2: wrong bytes in what is used after a power cut"] = (
        f"{torn} environments ({files} files) after {cuts} cuts; after {refused} the next install failed"
    )
