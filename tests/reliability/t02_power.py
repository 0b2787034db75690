"""T2: power cuts while wheels are unpacked, published, made durable; what is trusted then must be whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sprawld.acquire.unpack import unpack_wheel
from sprawld.store.durability import Durability
from sprawld.store.files import sync_directory
from sprawld.store.tree import Store
from sprawld.store.verify import verify_entry
from tests.support import children
from tests.support.disk import Disk, NoDisk
from tests.support.parts import make_parts

from .programme import Context, Outcome, Skip

TITLE = "power cuts on ext4"
BAR = "60 cycles at 12 points: 0 usable entries with a bad byte; the control without syncfs shows the tear"

WHEELS = 8
POINTS = {
    "open.format-written": 0,
    "unpack.file-made": 200,
    "unpack.before-manifest": WHEELS - 1,
    "publish.before-rename": WHEELS - 1,
    "publish.renamed": WHEELS - 1,
    "publish.done": WHEELS - 1,
    "durable.before-sync": 1,
    "durable.synced": 1,
    "durable.marked": 1,
    "discard.renamed": 3,
    "trash.file-removed": 20,
    "none": 0,
}
"""Where the process dies in front of the cut -> how often it may pass there before."""


def run(context: Context) -> Outcome:
    outcome = context.outcome
    with context.directory() as root:
        try:
            disk = Disk(root)
            disk.mount()
        except NoDisk as reason:
            raise Skip(str(reason)) from None
        try:
            _cycles(context, outcome, disk, _wheels(root))
        finally:
            disk.unmount()
    return outcome


def _wheels(root: Path) -> list[Path]:
    from tests.support.index import SimpleIndex

    make_parts(root, SimpleIndex(), WHEELS, size=60_000, modules=20)
    return [root / f"part{number}-1.0-py3-none-any.whl" for number in range(WHEELS)]


def install(root: Path, wheels: list[Path]) -> None:
    """Do what a daemon does with its wheels, and make half of them durable, and then all; remove two."""
    os.umask(0o022)
    store = Store.open(root, boot="boot-1")
    for number, wheel in enumerate(wheels):
        staged = store.new_staging("entry-")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        unpack_wheel(str(wheel), str(staged), filename=wheel.name, digest=digest, boot_id=store.boot)
        store.publish_entry(staged, digest)
        if number in (1, len(wheels) // 2):
            Durability(store).make_durable()
            store.discard(store.entry_path(digest))
            store.empty_trash()


def _cycles(context: Context, outcome: Outcome, disk: Disk, wheels: list[Path]) -> None:
    cycles = used = bad = torn = whole = 0
    for number in range(context.count(60, 12)):
        point = list(POINTS)[number % len(POINTS)]
        synced = number // len(POINTS) % 2 == 0
        _until(context, disk, point, wheels, synced=synced)
        rebooted = Store.open(disk.path / "store", boot="boot-2")
        problems = _bad(rebooted)
        recheck = Durability(rebooted).after_boot()
        torn += len(recheck.discarded)
        whole += recheck.marked
        problems += _bad(rebooted)
        used += sum(map(rebooted.has_entry, rebooted.entries()))
        bad += len(problems)
        cycles += 1
        outcome.expect(not problems, f"{point}: {problems[:2]}")
        outcome.expect(not os.listdir(rebooted.root / "tmp"), f"{point}: tmp/ is not empty")
        disk.renew()
    outcome.figures = {
        "cycles": f"{cycles} at {len(POINTS)} points, ext4",
        "entries trusted after the cut": used,
        "of them with a bad byte": bad,
        "volatile entries that were torn, found and dropped": torn,
        "volatile entries that were whole, and marked": whole,
        "beside uv": f"{bad} files with wrong bytes in what is used, after {cycles} cuts",
    }
    outcome.expect(torn, "the cuts tore nothing: they prove nothing")
    _control(context, outcome, disk, wheels)


def _until(context: Context, disk: Disk, point: str, wheels: list[Path], *, synced: bool) -> None:
    """Install until a failpoint kills, and cut the power; `synced`: the names reach the disk before."""
    path = disk.path / "store"
    passes = context.random.randint(0, POINTS[point])
    if point == "none":
        children.fork(lambda: install(path, wheels))
    else:
        children.kill_at(f"{point}:{passes}", lambda: install(path, wheels))
    if synced and (path / "wheels").exists():
        # The worst case: the journal has the names, nobody has written the content.
        sync_directory(path / "wheels")
    disk.cut_power()


def _bad(store: Store) -> list[str]:
    return [
        f"{digest[:8]}: {verify_entry(store, digest)[:1]}"
        for digest in store.entries()
        if store.has_entry(digest) and verify_entry(store, digest)
    ]


def _control(context: Context, outcome: Outcome, disk: Disk, wheels: list[Path]) -> None:
    """Trust what is there, because a rename put it there: without syncfs and recheck."""
    shown = tried = 0
    for _ in range(context.count(6, 2)):
        _until(context, disk, "publish.done", wheels, synced=True)
        store = Store.open(disk.path / "store", boot="boot-1")
        shown += any(verify_entry(store, digest) for digest in store.entries())
        tried += 1
        disk.renew()
    outcome.control = (
        f"entries trusted without syncfs or a recheck: torn ones used after {shown} of {tried} cuts"
    )
    outcome.control_failed = shown > 0
