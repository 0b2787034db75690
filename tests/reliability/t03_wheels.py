"""T3: hostile wheels are refused with their codes and write nothing outside; odd but legal ones are taken."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

from sprawld.acquire.unpack import unpack_wheel
from sprawld.errors import SprawlError, WheelError
from tests.support.hostile_wheels import HOSTILE
from tests.support.odd_wheels import ODD
from tests.unit.test_malicious_wheels import remove, tree_hash
from tests.unit.test_odd_wheels import place

from .programme import Context, Outcome

TITLE = "malicious wheels"
BAR = "72 of 72 refused with their codes, each in under 2 s, 0 bytes outside staging; 24 odd ones accepted"

VICTIMS = (".ssh/authorized_keys", ".bashrc", "x.py", "cache/wheels/entry/x.py", "cache/tmp/x.py")


def run(context: Context) -> Outcome:
    outcome = context.outcome
    os.umask(0o022)
    refused = outside = accepted = 0
    slowest = 0.0
    for case in HOSTILE:
        with context.directory() as root:
            seconds, right, clean = _refuse(root, case, outcome)
            refused += right
            outside += not clean
            slowest = max(slowest, seconds)
    for case in ODD:
        with context.directory() as root:
            accepted += _accept(root, case, outcome)
    outcome.figures = {
        "refused with their codes": f"{refused} of {len(HOSTILE)}",
        "of them with a byte outside staging": outside,
        "slowest refusal": f"{slowest * 1000:.0f} ms",
        "odd but legal wheels accepted, byte for byte": f"{accepted} of {len(ODD)}",
    }
    outcome.expect(len(HOSTILE) >= 72 and len(ODD) >= 24, "the lists are too short")
    outcome.expect(slowest < 2, f"a refusal takes {slowest:.1f} s")
    _control(context, outcome)
    return outcome


def _refuse(root: Path, case: str, outcome: Outcome) -> tuple[float, bool, bool]:
    code, build = HOSTILE[case]
    wheel = build(root)
    home = root / "home"
    for name in VICTIMS:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("untouched\n")
    staging = home / "cache/tmp/staging/deep"
    staging.parent.mkdir()
    before = tree_hash(home)
    staging.mkdir()
    begun, found = time.monotonic(), "accepted"
    try:
        unpack_wheel(str(wheel), str(staging), filename=wheel.name, digest="0" * 64, boot_id="boot")
    except WheelError as error:
        found = error.code
    seconds = time.monotonic() - begun
    remove(staging)
    clean = tree_hash(home) == before
    outcome.expect(found == code, f"{case}: {found} instead of {code}")
    outcome.expect(clean, f"{case}: it wrote outside its directory")
    return seconds, found == code, clean


def _accept(root: Path, case: str, outcome: Outcome) -> bool:
    wheel = ODD[case](root)
    entry = root / "entry"
    entry.mkdir()
    try:
        unpack_wheel(str(wheel), str(entry), filename=wheel.name, digest="0" * 64, boot_id="boot")
    except SprawlError as error:
        outcome.fail(f"{case}: {error}")
        return False
    with zipfile.ZipFile(wheel) as archive:
        expected = {
            place(info.filename): archive.read(info)
            for info in archive.infolist()
            if not info.is_dir() and "__pycache__" not in info.filename
        }
    found = {path.relative_to(entry).as_posix(): path for path in entry.rglob("*") if not path.is_dir()}
    found.pop("manifest", None)
    same = found.keys() == expected.keys() and all(
        path.read_bytes() == expected[name] or name.endswith("/RECORD") for name, path in found.items()
    )
    outcome.expect(same, f"{case}: other files than zipfile reads")
    return same


def _control(context: Context, outcome: Outcome) -> None:
    """The same wheels, unpacked by the standard library alone."""
    accepted = 0
    for _, build in HOSTILE.values():
        with context.directory() as root:
            wheel = build(root)
            if wheel.stat().st_size > 1 << 20:
                continue
            try:
                with zipfile.ZipFile(wheel) as archive:
                    if sum(info.file_size for info in archive.infolist()) < 1 << 26:
                        archive.extractall(root / "out")
                        accepted += 1
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError):
                continue
            except Exception as error:  # whatever a hostile archive makes of the library
                context.note(f"zipfile: {type(error).__name__}")
    outcome.control = f"unpacked by zipfile.extractall instead: {accepted} of {len(HOSTILE)} accepted"
    outcome.control_failed = accepted > 0
