"""What ten projects take that share four fifths of their packages, against ten environments made by uv.

Claim: a quarter of the bytes and 0.15 of the inodes of environments that share nothing and have bytecode,
as pip makes them: those are uv's, by apparent sizes and with every name counted, after it has compiled them.
uv itself hard-links from its cache and compiles nothing: so it is shown as the disk has it, too, each inode
once, cache included. Our packs are bytecode.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import harness
from .workbench import Home

if TYPE_CHECKING:
    from .workbench import Workbench

__all__ = ["RUNS", "run"]

RUNS = 1
PROJECTS = 10
SHARED_PERCENT = 80
PACKAGES = 40


def run(bench: Workbench, runs: int) -> dict[str, Any]:
    """Measure; returns group -> contender -> figures. A second run would give the same."""
    requirements = bench.requirements("web")
    bench.wheels(*requirements)
    # Forty packages each: the first of the list are everybody's, the others one project's.
    shared = PACKAGES * SHARED_PERCENT // 100
    each = PACKAGES - shared
    with bench.index() as address, tempfile.TemporaryDirectory(dir=bench.places["disk"]) as scratch:
        home = Home(bench, Path(scratch) / "home")
        uv = bench.peer("uv")
        trees: list[Path] = []
        locks: list[Path] = []
        try:
            for number in range(PROJECTS):
                start = shared + number * each
                names = requirements[:shared] + requirements[start : start + each]
                lock = bench.project("pip", ",".join(names), address) / "requirements.txt"
                project = Path(scratch) / f"project-{number}"
                project.mkdir()
                (project / "requirements.txt").write_bytes(lock.read_bytes())
                home.sprawl("sync", "-q", cwd=project)
                venv = Path(scratch) / f"venv-{number}"
                harness.command([uv, "venv", "-q", "--python", bench.python, venv], home.environ)
                words: harness.Words = [uv, "pip", "sync", "-q", "--python", venv / "bin/python", lock]
                harness.command(words, home.environ)
                trees.append(venv)
                locks.append(lock)
            theirs = _measure(trees)
            theirs_and_cache = _measure([*trees, home.root / "uv-cache"])
            for tree, lock in zip(trees, locks, strict=True):
                words = [uv, "pip", "sync", "-q", "--compile-bytecode", "--python", tree / "bin/python", lock]
                harness.command(words, home.environ)
            compiled = _measure(trees)
            home.wait_for_packs()
        finally:
            home.stop()
        packs = home.store / "packs"
        ours = {
            "store": _measure([home.store]),
            "store without packs": _measure([home.store], without=packs),
        }
        store, bare = ours["store"], ours["store without packs"]
        ratios = {
            "bytes, to compiled environments": store["apparent"] / compiled["apparent"],
            "names, to compiled environments": store["files"] / compiled["files"],
            "bytes without packs, to environments": bare["apparent"] / theirs["apparent"],
            "names without packs, to environments": bare["files"] / theirs["files"],
            "bytes without packs, to uv as allocated": bare["allocated"] / theirs_and_cache["allocated"],
            "inodes without packs, to uv's": bare["inodes"] / theirs_and_cache["inodes"],
        }
        return {
            f"{PROJECTS} projects of {PACKAGES} packages, {SHARED_PERCENT} % shared": {
                "our store": ours["store"],
                "our store, without packs": ours["store without packs"],
                "environments, compiled": compiled,
                "environments, not compiled": theirs,
                "uv's environments and cache": theirs_and_cache,
            },
            "ratios": {name: round(value, 3) for name, value in ratios.items()},
        }


def _measure(trees: list[Path], without: Path | None = None) -> dict[str, int]:
    """Return apparent bytes and number of all names, allocated bytes and number of distinct inodes."""
    found = {"apparent": 0, "allocated": 0, "files": 0, "inodes": 0}
    seen: set[tuple[int, int]] = set()
    for tree in trees:
        for directory, directories, names in os.walk(tree):
            directories[:] = [name for name in directories if Path(directory, name) != without]
            for name in (*directories, *names):
                status = os.lstat(os.path.join(directory, name))  # noqa: PTH118 - a hundred thousand of them
                found["files"] += 1
                found["apparent"] += status.st_size
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    found["inodes"] += 1
                    found["allocated"] += status.st_blocks * 512
    return found
