"""Packs made at once, by the builder that the daemon runs in the background."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sprawld.pathsets.pack import builder_command, builder_environ, pack_tag

from .workshop import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["build", "pack_entries"]


def build(python: Path, jobs: Iterable[tuple[Path, Path]]) -> list[str]:
    """Let an interpreter write packs: pairs of an entry's site-packages and a file; return its answers."""
    done = subprocess.run(
        builder_command(environment_of(python)),
        env=builder_environ(),
        cwd="/",
        input="".join(f"{source}\t{target}\n" for source, target in jobs),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout.splitlines()


def pack_entries(store: Path, python: Path) -> list[Path]:
    """Make packs of all entries of a store for an interpreter."""
    directory = store / "packs" / pack_tag(environment_of(python))
    directory.mkdir(parents=True)
    entries = sorted((store / "wheels").iterdir())
    jobs = [(entry / "lib/python/site-packages", directory / f"{entry.name}.pack") for entry in entries]
    assert build(python, jobs) == ["done"] * len(jobs)
    return [target for _, target in jobs]
