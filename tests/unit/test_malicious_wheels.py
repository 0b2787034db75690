"""Every hostile wheel is refused with its own code and writes nothing outside its staging directory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from sprawld.acquire.unpack import unpack_wheel
from sprawld.acquire.workers import UnpackJob, WorkerPool
from sprawld.errors import SprawlError, WheelError
from tests.support.hostile_wheels import HOSTILE
from tests.support.wheels import build_wheel

MEMORY_GROWTH_KIBIBYTES = 64 << 10


def tree_hash(root: Path) -> str:
    """Hash names, kinds, modes, contents and link targets below a directory."""
    digest = hashlib.sha256()
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files]):
            path = Path(directory, name)
            status = path.lstat()
            digest.update(f"{path.relative_to(root)} {status.st_mode:o} {status.st_size}\n".encode())
            if path.is_symlink():
                digest.update(os.fsencode(path.readlink()))
            elif path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with things an attacker would like to replace; the staging directory lies in it."""
    home = tmp_path / "home"
    for name in (".ssh/authorized_keys", ".bashrc", "x.py", "cache/wheels/entry/x.py", "cache/tmp/x.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("untouched\n")
    return home


@pytest.mark.parametrize("case", HOSTILE)
def test_refused(case: str, tmp_path: Path, home: Path) -> None:
    code, build = HOSTILE[case]
    wheel = build(tmp_path)
    staging = home / "cache/tmp/staging/deep"
    staging.parent.mkdir()
    before = tree_hash(home)
    staging.mkdir()
    with pytest.raises(WheelError) as refused:
        unpack_wheel(str(wheel), str(staging), filename=wheel.name, digest="0" * 64, boot_id="boot")
    assert refused.value.code == code
    assert wheel.name in refused.value.message
    assert refused.value.message.isprintable()
    assert ("allow-bad-record" in refused.value.hint) == code.startswith("record.")
    assert not (staging / "manifest").exists()
    remove(staging)
    assert tree_hash(home) == before


def remove(staging: Path) -> None:
    for directory, names, files in os.walk(staging, topdown=False):
        for name in files:
            Path(directory, name).unlink()
        for name in names:
            Path(directory, name).rmdir()
    staging.rmdir()


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(HOSTILE) >= 72


def test_one_worker_refuses_them_all_and_goes_on(tmp_path: Path) -> None:
    """The same process takes the whole table, keeps its memory and unpacks an honest wheel afterwards."""

    async def scenario() -> None:
        pool = WorkerPool(1)

        async def unpack(number: int, wheel: Path) -> str:
            staging = tmp_path / f"staging-{number}"
            staging.mkdir()
            job = UnpackJob(
                wheel=str(wheel),
                destination=str(staging),
                filename=wheel.name,
                digest="0" * 64,
                boot_id="boot",
                size=wheel.stat().st_size,
            )
            try:
                await pool.unpack(job)
            except SprawlError as error:
                return error.code
            return "unpacked"

        try:
            honest = build_wheel(tmp_path / "honest")
            assert await unpack(-1, honest) == "unpacked"
            start = peak_memory()
            for number, (code, build) in enumerate(HOSTILE.values()):
                directory = tmp_path / str(number)
                directory.mkdir()
                assert await unpack(number, build(directory)) == code
            assert await unpack(-2, honest) == "unpacked"
            assert pool.statistics().started == 1
            if start is not None:
                assert peak_memory() - start < MEMORY_GROWTH_KIBIBYTES
        finally:
            await pool.close()

    asyncio.run(scenario())


def peak_memory() -> int | None:
    """Return the anonymous-memory peak of the one child process in KiB, where /proc tells it."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        return None
    (child,) = children.read_text().split()
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0])
