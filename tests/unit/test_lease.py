"""The client's side of the lease: lock, look again, keep."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sprawld.store import leases
from virtual_sprawl import lease

CLIENT = str(Path(lease.__file__).parents[1])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    path.mkdir()
    (path / "lease").touch(0o600)
    return path


def holder(code: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    program = f"import sys; sys.path.insert(0, {CLIENT!r}); from virtual_sprawl import lease; {code}"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_daemon_and_client_agree_on_what_a_lease_is(made: Path) -> None:
    assert not leases.is_leased(made)
    with holder("lease.take_lease(sys.argv[1]); print(flush=True); input()", made) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leases.is_leased(made)
        process.kill()
    assert not leases.is_leased(made)


def test_a_collected_set_is_noticed_after_the_lock(made: Path) -> None:
    """gc holds the lock while it renames the set away: who waited for it must not run on what is left."""
    with leases.exclusive(made) as held:
        assert held
        process = holder("print(flush=True); lease.take_lease(sys.argv[1])", made)
        assert process.stdout is not None
        process.stdout.readline()
        made.rename(made.with_name("trash"))
    with process:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert process.wait() == 1


def test_what_is_not_there_cannot_be_held(made: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lease.take_lease(str(made / "absent"))
    (made / "lease").unlink()
    with pytest.raises(FileNotFoundError):
        lease.take_lease(str(made))


def test_a_link_is_not_a_lease(made: Path) -> None:
    (made / "lease").rename(made / "other")
    (made / "lease").symlink_to("other")
    with pytest.raises(OSError, match="symbolic links"):
        lease.take_lease(str(made))


def test_the_descriptor_is_out_of_the_way_and_not_inherited(made: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    lease.take_lease(str(made))
    new = {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")} - before
    try:
        assert [int(name) >= 200 for name in new] == [True]
        assert not os.get_inheritable(int(new.copy().pop()))
    finally:
        for name in new:
            os.close(int(name))


def test_a_low_limit_on_open_files_is_no_obstacle(made: Path) -> None:
    code = (
        "import os, resource; hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); "
        "lease.take_lease(sys.argv[1]); print(flush=True); input()"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 64
    with holder(code, made) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leases.is_leased(made)
        process.kill()


def test_several_processes_hold_one_set(made: Path) -> None:
    descriptor = os.open(made / "lease", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    try:
        with holder("lease.take_lease(sys.argv[1]); print('held')", made) as process:
            assert process.stdout is not None
            assert process.stdout.read() == b"held\n"
    finally:
        os.close(descriptor)
