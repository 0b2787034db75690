"""Real wheels against the limits: is any honest one refused, and how far is the largest from each limit?

    python -m tests.conformance.wheel_limits DIRECTORY|WHEEL ... [--download REQUIREMENT ...] [--known FILE]

Each wheel goes through all that unpacking checks: structure, names, metadata, sizes, checksums and RECORD;
nothing is written. `--download` has pip bring further wheels into a scratch directory that is deleted at the
end; `--known` is a list of projects (second column, tabs), and the report says how many of them were seen.

Prints the table of docs/explanation/wheel-limits.md; exit code 1 when a wheel was refused. Not part of the
suite: it wants gigabytes of wheels.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from sprawld.acquire import inflate, membernames, wheelfile, zipstructure
from sprawld.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable

MEASURES = {
    "members": ("members", zipstructure.MAX_MEMBERS),
    "total": ("bytes when unpacked", zipstructure.MAX_TOTAL_BYTES),
    "ratio": (
        f"ratio of a member of more than {zipstructure.RATIO_FREE_BYTES >> 20} MiB",
        zipstructure.MAX_RATIO,
    ),
    "small_ratio": (f"ratio of a member up to {zipstructure.RATIO_FREE_BYTES >> 20} MiB", 0),
    "total_ratio": (
        f"ratio of a wheel of more than {zipstructure.TOTAL_RATIO_FREE_BYTES >> 20} MiB",
        zipstructure.MAX_TOTAL_RATIO,
    ),
    "name": ("bytes of a name", membernames.MAX_NAME_BYTES),
    "component": ("bytes of a name's component", membernames.MAX_COMPONENT_BYTES),
    "depth": ("components of a name", membernames.MAX_DEPTH),
    "metadata": ("bytes of METADATA, WHEEL, RECORD, entry_points.txt", wheelfile.MAX_METADATA_BYTES),
}
"""Key -> what is measured and its limit, 0 for none."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What became of one wheel."""

    filename: str
    refusal: str
    measures: dict[str, float]


def look(path: Path) -> Look:
    """Read a wheel to its last byte."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as archive:
            return Look(filename=path.name, refusal="", measures=_read(archive, path))
    except (WheelError, ValueError) as error:
        return Look(filename=path.name, refusal=str(error), measures={})


def _read(archive: mmap.mmap, path: Path) -> dict[str, float]:
    wheel = wheelfile.read_wheel(archive, path.name)
    assert wheel.rows is not None
    members = zipstructure.read_members(archive)
    for file in wheel.files:
        row = wheel.rows.get(file.member.name)
        digest = hashlib.new(row.algorithm if row else "sha256", usedforsecurity=False)
        size = 0
        for piece in inflate.pieces(archive, file.member):
            digest.update(piece)
            size += len(piece)
        if row is not None and (digest.digest() != row.digest or size != row.size):
            raise WheelError("record.hash-mismatch", f"{path.name}: {file.member.name}")
    return _measures(members, path.stat().st_size)


def _measures(members: list[zipstructure.Member], packed: int) -> dict[str, float]:
    total = sum(member.size for member in members)
    found: Counter[str] = Counter()
    values: dict[str, float] = {"members": len(members), "total": total}
    if total > zipstructure.TOTAL_RATIO_FREE_BYTES:
        values["total_ratio"] = total / packed
    for member in members:
        components = member.name.rstrip("/").split("/")
        raised = {
            "name": len(member.name.encode()),
            "component": max(len(component.encode()) for component in components),
            "depth": len(components),
        }
        if member.compressed:
            large = member.size > zipstructure.RATIO_FREE_BYTES
            raised["ratio" if large else "small_ratio"] = member.size / member.compressed  # type: ignore[assignment]
        if components[0].endswith(".dist-info") and len(components) == 2:
            raised["metadata"] = member.size
        found |= Counter(raised)
    return values | dict(found)


def main() -> int:
    """Look at every wheel and print the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", nargs="*", type=Path, metavar="DIRECTORY|WHEEL")
    parser.add_argument("--download", nargs="*", default=[], metavar="REQUIREMENT")
    parser.add_argument("--known", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wheels-") as scratch:
        for requirement in arguments.download:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*command, "-d", scratch, requirement], check=True)
        wheels = {path.name: path for place in [*arguments.places, Path(scratch)] for path in _wheels(place)}
        with ProcessPoolExecutor(2) as pool:
            looks = list(pool.map(look, wheels.values(), chunksize=4))
    _report(looks, _names(arguments.known) if arguments.known else set())
    return 1 if any(found.refusal for found in looks) else 0


def _wheels(place: Path) -> Iterable[Path]:
    return sorted(place.glob("*.whl")) if place.is_dir() else [place]


def _names(path: Path) -> set[str]:
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(row[1]) for row in rows if len(row) > 1}


def _report(looks: list[Look], known: set[str]) -> None:
    projects = {canonicalize_name(found.filename.partition("-")[0]) for found in looks}
    seen = f", {len(projects & known)} of the {len(known)} in the list" if known else ""
    lines = [f"{len(looks)} wheels of {len(projects)} projects{seen}", ""]
    lines += ["| what | limit | largest | of |", "|---|---:|---:|---|"]
    for key, (title, limit) in MEASURES.items():
        value, name = max((found.measures.get(key, 0.0), found.filename) for found in looks)
        shown = f"{limit:,}" if limit else "none"
        lines.append(f"| {title} | {shown} | {value:,.0f} | {name} |")
    refused = [found for found in looks if found.refusal]
    lines += ["", f"{len(refused)} refused", *(f"- {found.filename}: {found.refusal}" for found in refused)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
