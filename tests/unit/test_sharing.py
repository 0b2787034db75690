"""One wheel written by two processes: the outcome is that of one, whatever it is, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.acquire import inflate, sharing
from sprawld.errors import StoreError, WheelError
from sprawld.store import failpoints
from tests.support import unpacking
from tests.support.binaries import elf_bytes
from tests.support.hostile_wheels import HOSTILE
from tests.support.odd_wheels import ODD
from tests.support.wheels import Content, build_wheel, wheel_members, write_zip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="wheels are shared on Linux only")

FILES: dict[str, Content] = {
    **{f"demo/{number}/x.py": f"x = {number}\n" * number for number in range(40)},
    **{f"demo/lib{number}.so": elf_bytes(f"$ORIGIN/../libs{number}") for number in range(4)},
    "demo/large": os.urandom(1 << 20) * 17,
}
DATA: dict[str, Content] = {"scripts/tool": "#!python\n", "scripts/other": b"\x7fELF", "data/share/x": "x"}


@pytest.fixture(autouse=True)
def mask_and_rest() -> Iterator[None]:
    """The mask that a worker sets; afterwards no child and no descriptor more than before."""
    before = os.umask(0o022)
    open_files = sorted(os.listdir("/proc/self/fd"))
    yield
    failpoints.install(None)
    os.umask(before)
    assert sorted(os.listdir("/proc/self/fd")) == open_files
    assert no_child()


def no_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def unpack(wheel: Path, entry: Path, *, share_from: int | None = 0, allow_bad_record: bool = False) -> None:
    entry.mkdir(mode=0o700)
    unpacking.unpack(wheel, entry, share_from=share_from, allow_bad_record=allow_bad_record)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return path -> mode and content."""
    return {
        path.relative_to(root).as_posix(): (path.lstat().st_mode, b"" if path.is_dir() else path.read_bytes())
        for path in root.rglob("*")
    }


def in_helper(action: Callable[[], None]) -> None:
    """Have `action` called whenever the helper has made a file."""
    worker = os.getpid()

    def hook(name: str) -> None:
        if name == "unpack.file-made" and os.getpid() != worker:
            action()

    failpoints.install(hook)


@pytest.mark.parametrize("case", ["large", *ODD])
def test_the_entry_is_the_same(case: str, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, files=FILES, data=DATA) if case == "large" else ODD[case](tmp_path)
    unpack(wheel, tmp_path / "alone", share_from=None)
    unpack(wheel, tmp_path / "shared")
    assert tree(tmp_path / "shared") == tree(tmp_path / "alone")


@pytest.mark.parametrize("case", HOSTILE)
def test_refusals_are_the_same(case: str, tmp_path: Path) -> None:
    code, build = HOSTILE[case]
    wheel = build(tmp_path)
    errors = []
    for name, cost in (("alone", None), ("shared", 0)):
        with pytest.raises(WheelError) as refused:
            unpack(wheel, tmp_path / name, share_from=cost)
        errors.append(refused.value)
    alone, shared = errors
    assert (shared.code, shared.message, shared.hint) == (alone.code, alone.message, alone.hint)
    assert shared.code == code


def broken(directory: Path, *names: str) -> Path:
    """Return a wheel of ten files in which some have another checksum than they should."""
    members = wheel_members(files={f"x{number}": bytes(1000) for number in range(10)})
    told = [replace(m, claimed_crc=1) if m.name.decode() in names else m for m in members]
    return write_zip(directory / "demo-1.0-py3-none-any.whl", told)


@pytest.mark.parametrize(
    ("names", "first"), [(["x1", "x9"], "x1"), (["x8", "x9"], "x8"), (["x0", "x1"], "x0"), (["x9"], "x9")]
)
def test_the_first_error_in_the_archive_is_told(names: list[str], first: str, tmp_path: Path) -> None:
    with pytest.raises(WheelError) as refused:
        unpack(broken(tmp_path, *names), tmp_path / "entry")
    assert refused.value.code == "zip.crc-mismatch"
    assert f"'{first}'" in refused.value.message


@pytest.mark.parametrize("name", ["x0", "x9"])
def test_an_allowed_bad_record_is_noted_from_either_half(name: str, tmp_path: Path) -> None:
    files: dict[str, Content] = {f"x{number}": bytes(1000) for number in range(10)}
    wheel = build_wheel(tmp_path, files=files, record={name: f"{name},sha256={'A' * 43},1000"})
    unpack(wheel, tmp_path / "entry", allow_bad_record=True)
    assert b'"record_verified":false' in (tmp_path / "entry/manifest").read_bytes()


def test_a_disk_that_is_full_for_the_helper(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, files=FILES)
    worker = os.getpid()
    fail = failpoints.hook_from("unpack.file-made:enospc")
    failpoints.install(lambda name: None if os.getpid() == worker else fail(name))
    with pytest.raises(StoreError) as refused:
        unpack(wheel, tmp_path / "entry")
    assert refused.value.code == "disk.full"
    assert "bytes in" in refused.value.message


def test_a_bug_in_the_helper_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    in_helper(fail)
    with pytest.raises(Exception, match="unpacking failed: ZeroDivisionError") as refused:
        unpack(build_wheel(tmp_path, files=FILES), tmp_path / "entry")
    assert getattr(refused.value, "code", "") == "daemon.internal"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_helper_that_is_killed_fails_the_job(tmp_path: Path) -> None:
    in_helper(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(StoreError) as refused:
        unpack(build_wheel(tmp_path, files=FILES), tmp_path / "entry")
    assert refused.value.code == "store.worker-died"
    assert "signal 9" in refused.value.message
    assert not (tmp_path / "entry/manifest").exists()


def test_a_worker_that_fails_ends_its_helper(tmp_path: Path) -> None:
    """The helper would wait for ever: what is raised after it was ended is the worker's own error."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    in_helper(lambda: os.close(os.open(fifo, os.O_RDONLY)))
    with pytest.raises(WheelError) as refused:
        unpack(broken(tmp_path, "x0"), tmp_path / "entry")
    assert refused.value.code == "zip.crc-mismatch"


WORKER = """
import os, signal, sys
from sprawld.acquire.unpack import unpack_wheel
from sprawld.store import failpoints
worker = os.getpid()
def hook(name):
    if name == "unpack.file-made" and os.getpid() != worker:
        os.write(1, b"file\\n")
        os.kill(worker, signal.SIGKILL)
        while os.getppid() == worker:
            os.sched_yield()
    elif name == "unpack.file-made":
        signal.pause()
failpoints.install(hook)
wheel, entry = sys.argv[1:]
unpack_wheel(wheel, entry, filename=os.path.basename(wheel), digest="a" * 64, boot_id="boot", share_from=0)
"""


def test_a_helper_does_not_go_on_without_its_worker(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, files=FILES)
    (tmp_path / "entry").mkdir()
    outcome = subprocess.run(
        [sys.executable, "-c", WORKER, wheel, tmp_path / "entry"], stdout=subprocess.PIPE, check=False
    )
    # Its output ends when the helper has ended too.
    assert (outcome.returncode, outcome.stdout) == (-signal.SIGKILL, b"file\n")


def writers(wheel: Path, entry: Path, cost: int | None) -> int:
    """Return how many processes write the files of a wheel."""
    seen = entry.with_name("seen")
    seen.mkdir()

    def hook(name: str) -> None:
        if name == "unpack.file-made":
            (seen / str(os.getpid())).touch()

    failpoints.install(hook)
    unpack(wheel, entry, share_from=cost)
    return len(list(seen.iterdir()))


@pytest.mark.parametrize(("cost", "count"), [(0, 2), (90_000, 2), (110_000, 1), (None, 1)])
def test_what_is_shared(cost: int | None, count: int, tmp_path: Path) -> None:
    # 13 files of 7,500 and a little more than 2,000 bytes of content.
    wheel = build_wheel(tmp_path, files={f"x{number}": bytes(100) for number in range(10)})
    assert writers(wheel, tmp_path / "entry", cost) == count


def test_halves_cost_about_the_same(tmp_path: Path) -> None:
    """A file that is as large as all others is the whole second half."""
    files: dict[str, Content] = {f"x{number}": b"" for number in range(100)}
    wheel = build_wheel(tmp_path, files={**files, "y": bytes(inflate.WHOLE_BYTES)}, method=0)
    in_helper(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(StoreError) as refused:
        unpack(wheel, tmp_path / "entry")
    assert refused.value.code == "store.worker-died"
    made = {path.name for path in (tmp_path / "entry").rglob("*") if path.is_file()}
    assert {f"x{number}" for number in range(100)} <= made


def test_one_processor_writes_alone() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from sprawld.acquire import sharing; print(sharing.cost_to_share())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "None\n"
    if len(os.sched_getaffinity(0)) > 1:
        assert sharing.cost_to_share() == sharing.SHARED_COST
