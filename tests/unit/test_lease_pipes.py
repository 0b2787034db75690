"""Leases by pipes: both sides of them, every order in which a start and gc can meet, and dead daemons."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sprawld.store import leases
from sprawld.store.holders import holders_of
from virtual_sprawl import lease

CLIENT = str(Path(lease.__file__).parents[1])
DIGEST = "ab" * 20
FORK = "; pid = os.fork(); pid and os._exit(0)"
EXECUTE = "; os.execv('/bin/sh', ['sh', '-c', 'echo up; read line'])"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes hold sets on Linux only")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / leases.PIPES).mkdir()
    made = tmp_path / "sets" / DIGEST
    made.mkdir(parents=True)
    (made / "lease").touch(0o600)
    leases.offer(made)
    return made


def pipe(path: Path) -> Path:
    return Path(leases.pipe_of(path))


def away(path: Path) -> Path:
    return Path(leases.pipe_of(path) + ".closing")


def start(path: Path, then: str = "") -> subprocess.Popen[bytes]:
    """Start a program that takes the lease, does something and waits."""
    code = (
        f"import os, sys; sys.path.insert(0, {CLIENT!r}); from virtual_sprawl import lease; "
        f"lease.take_lease(sys.argv[1]); assert 'fcntl' not in sys.modules{then}; "
        "print('up', flush=True); input()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"up\n"
    return program


def collect(path: Path) -> bool:
    """Do what gc does with a set that nobody needs; return whether it went."""
    with leases.exclusive(path) as free:
        if free:
            path.rename(path.with_name("trash"))
        return free


def test_a_pipe_is_made_once_and_is_private(path: Path) -> None:
    made = pipe(path).lstat()
    assert stat.S_ISFIFO(made.st_mode)
    assert stat.S_IMODE(made.st_mode) == 0o600
    leases.offer(path)
    assert os.path.samestat(made, pipe(path).lstat())


def test_a_process_holds_it_until_it_is_killed(path: Path) -> None:
    assert not leases.is_leased(path)
    with start(path) as program:
        assert leases.is_leased(path)
        assert not collect(path)
        assert [holder.pid for holder in holders_of([path])[path]] == [program.pid]
        program.send_signal(signal.SIGKILL)
        program.wait()
    assert not leases.is_leased(path)
    assert collect(path)
    assert os.listdir(path.parents[1] / leases.PIPES) == []


def test_a_fork_goes_on_holding_it(path: Path) -> None:
    with start(path, FORK) as program:
        program.wait()
        assert leases.is_leased(path)
        program.communicate(b"\n")  # ends when the last process does that has its output
    assert not leases.is_leased(path)


def test_a_program_in_the_place_of_this_one_does_not(path: Path) -> None:
    with start(path, EXECUTE) as program:
        assert not leases.is_leased(path)
        program.communicate(b"\n")


def test_the_lock_holds_it_as_well(path: Path) -> None:
    """So sets of older releases do, and starts while gc looks."""
    pipe(path).unlink()
    descriptor = lease.take_lease(str(path))
    assert leases.is_leased(path)
    os.close(descriptor)
    assert not leases.is_leased(path)


def test_a_pipe_of_another_kind_is_not_believed(path: Path) -> None:
    """As some programs copy them: an empty file. Nothing is collected then."""
    pipe(path).unlink()
    pipe(path).touch()
    os.close(lease.take_lease(str(path)))
    assert leases.is_leased(path)
    assert not collect(path)


def test_exclusive_keeps_everyone_out_and_puts_the_pipe_back(path: Path) -> None:
    with leases.exclusive(path) as free:
        assert free
        assert not pipe(path).exists()
        with leases.exclusive(path) as again:
            assert not again
        leases.offer(path)
        assert not pipe(path).exists(), "no start comes in before the end"
    assert pipe(path).exists()
    assert not leases.is_leased(path)


def test_a_start_that_has_opened_the_pipe_is_seen(path: Path) -> None:
    descriptor = os.open(pipe(path), os.O_RDONLY | os.O_NONBLOCK)
    assert not collect(path)
    assert os.path.samestat(os.fstat(descriptor), pipe(path).lstat())
    os.close(descriptor)


@pytest.mark.parametrize("outcome", ["collected", "made anew", "kept"])
def test_a_start_between_open_and_check_finds_out(path: Path, outcome: str) -> None:
    """The pipe was asked for before it was open, and open before the start has looked again."""
    before = pipe(path).lstat()

    def meanwhile(frame: object, event: str, function: Any) -> None:
        if event == "c_call" and function is os.fstat:
            sys.setprofile(None)
            if outcome == "kept":
                return
            path.rename(path.with_name("trash"))
            pipe(path).unlink()
            if outcome == "made anew":
                path.mkdir()
                (path / "lease").touch()
                leases.offer(path)

    sys.setprofile(meanwhile)
    try:
        if outcome == "collected":
            with pytest.raises(FileNotFoundError):
                lease.take_lease(str(path))
            return
        descriptor = lease.take_lease(str(path))
    finally:
        sys.setprofile(None)
    assert leases.is_leased(path)
    assert os.path.samestat(os.fstat(descriptor), before) == (outcome == "kept")
    os.close(descriptor)


def test_a_set_removed_by_hand_is_not_held_by_its_pipe(path: Path) -> None:
    path.rename(path.with_name("trash"))
    with pytest.raises(FileNotFoundError):
        lease.take_lease(str(path))


def test_a_daemon_that_died_while_it_looked_leaves_everything_safe(path: Path) -> None:
    with start(path) as program:
        pipe(path).rename(away(path))
        assert leases.is_leased(path), "who came before is still seen"
        assert not collect(path)
        later = lease.take_lease(str(path))
        program.kill()
        program.wait()
        assert leases.is_leased(path), "who came after holds it by the lock"
        assert not collect(path)
        os.close(later)
    leases.sweep(path.parents[1])
    assert pipe(path).exists()
    assert not away(path).exists()
    assert collect(path)


def test_a_new_daemon_puts_back_what_is_in_use_and_removes_what_holds_nothing(path: Path) -> None:
    descriptor = lease.take_lease(str(path))
    pipe(path).rename(away(path))
    os.mkfifo(pipe(path).with_name("cd" * 20))
    leases.sweep(path.parents[1])
    assert os.listdir(pipe(path).parent) == [path.name]
    assert os.path.samestat(os.fstat(descriptor), pipe(path).lstat())
    assert leases.is_leased(path)
    os.close(descriptor)


def test_offering_takes_what_a_dead_daemon_has_moved_away(path: Path) -> None:
    inode = pipe(path).lstat().st_ino
    pipe(path).rename(away(path))
    leases.offer(path)
    assert pipe(path).lstat().st_ino == inode


def test_a_second_pipe_is_never_put_over_one_in_use(path: Path) -> None:
    descriptor = lease.take_lease(str(path))
    pipe(path).rename(away(path))
    os.mkfifo(pipe(path))
    assert leases.is_leased(path)
    assert not collect(path)
    leases.sweep(path.parents[1])
    assert leases.is_leased(path)
    os.close(descriptor)
    assert collect(path)


def test_file_systems_that_others_may_share_have_no_pipes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_local", {path.stat().st_dev: False})
    leases.sweep(path.parents[1])
    leases.offer(path)
    assert os.listdir(pipe(path).parent) == []
    os.close(lease.take_lease(str(path)))


def test_what_cannot_be_asked_counts_as_leased(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, flags: int, *rest: Any, **more: Any) -> int:
        if str(name).startswith(leases.pipe_of(path)):
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        return really(name, flags, *rest, **more)

    really = os.open
    monkeypatch.setattr(os, "open", refuse)
    assert leases.is_leased(path)
    assert not collect(path)


def test_a_number_that_is_taken_stays_who_it_is(path: Path) -> None:
    taken = lease.take_lease(str(path))
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(null, taken)
        other = lease.take_lease(str(path))
        assert other > taken >= 200
        assert os.path.samestat(os.fstat(taken), os.stat(os.devnull))
        os.close(other)
    finally:
        os.close(taken)
        os.close(null)
