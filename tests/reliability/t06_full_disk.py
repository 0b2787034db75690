"""T6: disks that are too small, out of inodes, read-only, or limited: typed refusals, and no harm."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemons import NEVER, start_daemon
from tests.support.index import SimpleIndex
from tests.support.parts import make_parts, parts_code, torn_entries
from tests.support.sandbox import SCRIPTS, Sandbox

from .programme import Context, Outcome, Skip

TITLE = "full disks"
BAR = (
    "40 sizes of tmpfs, few inodes, a read-only remount, RLIMIT_FSIZE: disk.full with its bytes, 0 torn, tmp "
    "clean, gc works at 0 bytes free, the install succeeds after a remount without a restart"
)

WHEELS = 6
NEEDED = 6 << 20
"""Bytes that are enough for the whole project."""
SETTLED_SECONDS = 20.0


class Disk:
    """A tmpfs on the user's cache directory, and the user."""

    def __init__(self, root: Path, index: SimpleIndex, lines: list[str]) -> None:
        self.sandbox = Sandbox(root, index=index.url)
        self.project = self.sandbox.project("parts", {}, lines)
        self.path = self.sandbox.home / ".cache"
        self.path.mkdir()

    @contextmanager
    def mounted(self, options: str) -> Iterator[None]:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.path)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            raise Skip("mounting small file systems needs root")
        try:
            yield
        finally:
            self.sandbox.run(SCRIPTS / "sprawlctl", "stop", check=False)
            for attempt in range(50):
                force = ["-l"] if attempt == 49 else []
                if not subprocess.run(["umount", *force, str(self.path)], capture_output=True).returncode:
                    break
                subprocess.run(["sleep", "0.1"], check=True)

    def remount(self, options: str) -> None:
        """Change the mount's options; patient with whoever still writes to what is to be read-only."""
        command = ["mount", "-o", f"remount,{options}", str(self.path)]
        give_up = time.monotonic() + SETTLED_SECONDS
        while subprocess.run(command, capture_output=True).returncode:
            if time.monotonic() > give_up:
                raise AssertionError(f"cannot remount with {options}")
            time.sleep(0.2)

    def sync(self) -> subprocess.CompletedProcess[str]:
        return self.sandbox.run(SCRIPTS / "sprawl", "sync", cwd=self.project, check=False)

    def left(self) -> list[str]:
        """Return what stays in tmp/ when the wheels that were on their way have arrived or failed."""
        tmp = self.sandbox.store / "tmp"
        give_up = time.monotonic() + SETTLED_SECONDS
        while names := os.listdir(tmp) if tmp.exists() else []:
            if time.monotonic() > give_up:
                return names
            time.sleep(0.1)
        return []


def run(context: Context) -> Outcome:
    outcome = context.outcome
    with context.directory() as root, SimpleIndex() as index:
        lines = make_parts(root, index, WHEELS, size=600_000, modules=20)
        disk = Disk(root / "u", index, lines)
        _sizes(context, outcome, disk)
        context.note(f"{outcome.figures}, {len(outcome.failures)} failures")
        _inodes(context, outcome, disk)
        _read_only(outcome, disk)
        _nothing_free(outcome, disk)
        _file_size(context, outcome, root, index, lines)
        _control(outcome, disk, sorted(root.glob("*.whl")))
    return outcome


def _sizes(context: Context, outcome: Outcome, disk: Disk) -> None:
    typed = fits = restarts = 0
    count = context.count(40, 4)
    for number in range(count):
        size = (1 << 20) + number * (NEEDED - (1 << 20)) // (count - 1)
        with disk.mounted(f"size={size}"):
            typed_here, fits_here = _try(outcome, disk, f"{size >> 10} KiB")
            typed, fits = typed + typed_here, fits + fits_here
            if typed_here:
                restarts += _grow(outcome, disk, f"{size >> 10} KiB", "size=64m")
    outcome.figures["sizes"] = f"{count}: {typed} times disk.full, {fits} times it fits"
    outcome.figures["daemons that had to be restarted after a remount"] = restarts
    outcome.expect(typed + fits == count, "a size was refused otherwise")
    outcome.expect(typed and fits, "the sizes do not go from too small to enough")


def _try(outcome: Outcome, disk: Disk, what: str) -> tuple[bool, bool]:
    """Install; tell whether it was refused as it should be, and whether it went through."""
    done = disk.sync()
    torn = torn_entries(disk.sandbox.store)
    outcome.expect(not torn, f"{what}: {torn[:2]}")
    outcome.expect(not disk.left(), f"{what}: left in tmp/: {disk.left()[:3]}")
    if done.returncode == 0:
        return False, True
    typed = "[disk.full]" in done.stderr
    outcome.expect(typed, f"{what}: {done.stderr[-300:]}")
    named = re.search(r"\d+ bytes", done.stderr) or "cannot start" in done.stderr
    outcome.expect(named, f"{what}: no bytes are named: {done.stderr[-300:]}")
    collected = disk.sandbox.run(SCRIPTS / "sprawlctl", "gc", "--max-age", "0", check=False)
    started = "cannot start" not in collected.stderr and "cannot be written" not in collected.stderr
    outcome.expect(
        collected.returncode == 0 or not started,
        f"{what}: gc: {collected.returncode} {collected.stderr[-200:]}",
    )
    return typed, False


def _grow(outcome: Outcome, disk: Disk, what: str, options: str) -> bool:
    """Give the disk room; tells whether the daemon had to be another one for it to go on."""
    status = disk.sandbox.run(SCRIPTS / "sprawlctl", "status", "--json", env=NEVER, check=False)
    before = status.stdout
    disk.remount(options)
    done = disk.sync()
    outcome.expect(done.returncode == 0, f"{what}: after a remount: {done.stderr[-300:]}")
    if not before:
        return False  # there was no room for a daemon at all
    after = disk.sandbox.run(SCRIPTS / "sprawlctl", "status", "--json", check=False).stdout
    return _pid(before) != _pid(after)


def _pid(status: str) -> str:
    found = re.search(r'"pid": (\d+)', status)
    return found[1] if found else ""


def _inodes(context: Context, outcome: Outcome, disk: Disk) -> None:
    typed, limits = 0, (40, 60, 90, 130, 200)[: context.count(5, 2)]
    for limit in limits:
        with disk.mounted(f"size=64m,nr_inodes={limit}"):
            done = disk.sync()
            typed += done.returncode == 125 and "[disk.full]" in done.stderr
            outcome.expect("[disk.full]" in done.stderr, f"{limit} inodes: {done.stderr[-300:]}")
            torn = torn_entries(disk.sandbox.store)
            outcome.expect(not torn and not disk.left(), f"{limit} inodes: {torn[:2]} {disk.left()[:3]}")
            _grow(outcome, disk, f"{limit} inodes", "nr_inodes=9000")
    outcome.figures["too few inodes"] = f"{typed} of {len(limits)} times disk.full"


def _read_only(outcome: Outcome, disk: Disk) -> None:
    with disk.mounted("size=64m"):
        lock = disk.project / "requirements.txt"
        whole = lock.read_text()
        lock.write_text("\n".join(whole.splitlines()[:2]) + "\n")
        disk.sync()
        # The kernel makes nothing read-only that somebody has open for writing.
        disk.sandbox.close()
        disk.remount("ro")
        warm = disk.sandbox.run(
            SCRIPTS / "sprawl", "run", "-c", "import part0", cwd=disk.project, check=False
        )
        lock.write_text(whole)
        cold = disk.sync()
        outcome.expect(cold.returncode == 125, f"read-only, cold: exit status {cold.returncode}")
        disk.remount("rw")
        again = disk.sync()
        codes = re.findall(r"\[([a-z.-]+)\]", cold.stderr)
        outcome.figures["read-only"] = (
            f"what is there {'runs' if warm.returncode == 0 else 'does not run'}, what is not: {codes}, "
            f"read-write again: {'installed' if again.returncode == 0 else 'refused'}"
        )
        outcome.expect(warm.returncode == 0, f"read-only, warm: {warm.stderr[-200:]}")
        outcome.expect("store.unwritable" in codes, f"read-only, cold: {cold.stderr[-300:]}")
        outcome.expect(again.returncode == 0, f"read-write again: {again.stderr[-200:]}")


def _nothing_free(outcome: Outcome, disk: Disk) -> None:
    """Fill the disk to the last byte under a daemon; gc has to give room all the same."""
    with disk.mounted("size=40m"):
        outcome.expect(disk.sync().returncode == 0, "it does not fit into 40 MiB")
        # Too late for the last uses: they are written on a disk that takes nothing any more.
        with (disk.path / "ballast").open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass
        before = shutil.disk_usage(disk.path).free
        (disk.project / "requirements.txt").rename(disk.project / "away")
        done = disk.sandbox.run(SCRIPTS / "sprawlctl", "gc", "--max-age", "0", check=False)
        (disk.project / "away").rename(disk.project / "requirements.txt")
        after = shutil.disk_usage(disk.path).free
        outcome.figures["gc at 0 bytes free"] = f"{before} bytes before, {after} after"
        outcome.expect(done.returncode == 0, f"gc on a full disk: {done.stderr[-300:]}")
        outcome.expect(before < 1 << 16 and after > 3 << 20, f"{before} bytes before gc, {after} after")


def _file_size(context: Context, outcome: Outcome, root: Path, index: SimpleIndex, lines: list[str]) -> None:
    typed, limits = 0, (100_000, 300_000, 599_000)[: context.count(3, 1)]
    for limit in limits:
        sandbox = Sandbox(root / f"f{limit}", index=index.url)
        project = sandbox.project("parts", {}, lines)

        def restrict(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        daemon = start_daemon(sandbox, preexec=restrict)
        assert daemon is not None
        done = sandbox.run(SCRIPTS / "sprawl", "sync", cwd=project, env=NEVER, check=False)
        typed += "[disk.full]" in done.stderr
        outcome.expect("[disk.full]" in done.stderr, f"RLIMIT_FSIZE {limit}: {done.stderr[-300:]}")
        outcome.expect(daemon.poll() is None, "RLIMIT_FSIZE ended the daemon")
        outcome.expect(not torn_entries(sandbox.store), "RLIMIT_FSIZE: torn")
        daemon.terminate()
        daemon.wait()
        again = sandbox.run(SCRIPTS / "sprawl", "run", "-c", parts_code(WHEELS), cwd=project, check=False)
        outcome.expect(again.returncode == 0, f"without RLIMIT_FSIZE: {again.stderr[-200:]}")
        sandbox.close()
    outcome.figures["RLIMIT_FSIZE"] = f"{typed} of {len(limits)} times disk.full"


def _control(outcome: Outcome, disk: Disk, wheels: list[Path]) -> None:
    """The same wheels on a disk that is too small, unpacked in place by zipfile."""
    with disk.mounted("size=2m"):
        for number, wheel in enumerate(wheels):
            target = disk.sandbox.store / "wheels" / f"{number:064x}"
            try:
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(target)
                shutil.copy(wheel, target)
            except OSError:
                break
        torn = torn_entries(disk.sandbox.store)
        outcome.control = f"unpacked in place by zipfile: {len(torn)} torn entries stay behind"
        outcome.control_failed = len(torn) > 0
