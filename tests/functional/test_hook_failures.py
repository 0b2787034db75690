"""Starts that cannot get their packages: one line on stderr, exit status 1, and nothing run."""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.fakedaemon import Request, frame, listening, serving
from tests.support.hookstage import Stage
from tests.support.interpreters import interpreter_cases, newest
from virtual_sprawl import connection, protocol, replies

pytestmark = pytest.mark.functional

PROGRAM = ("-c", "print('ran')")


@pytest.fixture(scope="module", params=interpreter_cases())
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), request.param)


@pytest.fixture
def fresh(tmp_path: Path) -> Stage:
    """A stage of its own, with one interpreter."""
    return Stage(tmp_path / "stage", newest())


def refused(done: subprocess.CompletedProcess[str], code: str) -> str:
    """Check the shape of a refusal and return its line."""
    assert (done.returncode, done.stdout) == (125, "")
    assert re.fullmatch(rf"virtual-sprawl: [^\n]+ \[{re.escape(code)}\](; hint: [^\n]+)?\n", done.stderr), (
        done.stderr
    )
    return done.stderr


def test_no_daemon(stage: Stage) -> None:
    assert "VIRTUAL_SPRAWL_DAEMON=never" in refused(stage.run(*PROGRAM), "daemon.unreachable")


def test_a_dead_daemon_leaves_its_socket_behind(stage: Stage) -> None:
    with listening(stage.socket) as listener:
        listener.close()
        refused(stage.run(*PROGRAM), "daemon.unreachable")


def test_the_daemon_refuses(stage: Stage) -> None:
    error = frame(protocol.ERROR, ["lock.hash-missing", "uv.lock: demo has\nno \x1b[31mhash", "lock again"])
    with stage.daemon(error):
        line = refused(stage.run(*PROGRAM), "lock.hash-missing")
    assert (
        line
        == r"virtual-sprawl: uv.lock: demo has\nno \x1b[31mhash [lock.hash-missing]; hint: lock again" + "\n"
    )


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "proto.malformed"),
        (b"vsp\x09\x10\0\0\0\0", "proto.version"),
        (b"vsp\x01\x10\xff\xff\xff\xff", "proto.too-large"),
        (frame(protocol.PATH_SET, ["one string"]), "proto.malformed"),
        (frame(protocol.ERROR, ["one string"]), "proto.malformed"),
        (frame(protocol.PATH_SET, ["digest", "/nonexistent", b"index"]), "store.damaged"),
    ],
)
def test_the_daemon_talks_nonsense(stage: Stage, reply: bytes, code: str) -> None:
    with stage.daemon(reply):
        refused(stage.run(*PROGRAM), code)


@pytest.mark.parametrize("index", [marshal.dumps((99, "cpython-00", "", "", {})), b"", b"garbage"])
def test_an_index_of_another_release_or_interpreter(stage: Stage, index: bytes) -> None:
    digest, directory, _ = stage.set.strings
    with stage.daemon(frame(protocol.PATH_SET, [digest, directory, index])):
        refused(stage.run(*PROGRAM), "proto.version")


def test_a_bug_of_ours_is_told_in_one_line_too(fresh: Stage) -> None:
    (fresh.user_site / "virtual_sprawl/roundtrip.py").write_text("raise RuntimeError('a bug')\n")
    with fresh.daemon():
        assert "RuntimeError: a bug" in refused(fresh.run(*PROGRAM), "client.internal")


def test_going_on_without_packages(stage: Stage) -> None:
    done = stage.run(*PROGRAM, environ={"VIRTUAL_SPRAWL_ON_ERROR": "continue"})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("\n") == 1
    assert "[daemon.unreachable]" in done.stderr
    assert done.stderr.endswith("; starting without packages\n")


def test_a_closed_stderr_is_no_reason_to_run(stage: Stage) -> None:
    command = f"exec {stage.python} -c 'print(1)' 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={**stage.environ, "VIRTUAL_SPRAWL": "1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (125, b"")


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_socket_that_others_can_reach_is_not_trusted(fresh: Stage, mode: int) -> None:
    with fresh.daemon() as daemon:
        fresh.socket.parent.chmod(mode)
        refused(fresh.run(*PROGRAM), "daemon.unsafe-socket")
    assert daemon.connections == 0


def test_a_link_to_the_socket_directory_is_not_trusted(fresh: Stage, tmp_path: Path) -> None:
    with serving(tmp_path / "elsewhere/sock", lambda request, peer: fresh.path_set()) as daemon:
        fresh.socket.parent.symlink_to(tmp_path / "elsewhere")
        refused(fresh.run(*PROGRAM), "daemon.unsafe-socket")
    assert daemon.connections == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_peer_of_another_user_is_not_trusted(fresh: Stage) -> None:
    fresh.socket.parent.mkdir(mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(fresh.socket))
    # The peer's identity is that of the process which calls listen().
    script = "import os, socket, sys; os.setuid(65534); s = socket.socket(fileno=%d); s.listen(); print()"
    squatter = subprocess.Popen(
        [sys.executable, "-uc", f"{script % listener.fileno()}; sys.stdin.read()"],
        pass_fds=[listener.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with listener, squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == b"\n"
        assert "another user" in refused(fresh.run(*PROGRAM), "daemon.unsafe-socket")
        squatter.kill()


def test_a_busy_daemon_is_waited_for(fresh: Stage) -> None:
    """With the queue of the socket full, connecting fails at once: that means busy, not absent."""
    with listening(fresh.socket, backlog=0) as listener:
        waiting = []
        while True:
            filler = socket.socket(socket.AF_UNIX)
            filler.setblocking(False)
            waiting.append(filler)
            try:
                filler.connect(str(fresh.socket))
            except BlockingIOError:
                break

        def serve() -> None:
            while len(served) < len(waiting):
                peer, _ = listener.accept()
                served.append(peer)
                if peer.recv(1 << 16):
                    peer.sendall(fresh.path_set())
                    return

        served: list[socket.socket] = []
        # The last filler was turned away; the others never say anything.
        for filler in waiting[:-1]:
            filler.shutdown(socket.SHUT_WR)
        process = subprocess.Popen(
            [fresh.python, "-c", "import hello"],
            env={**fresh.environ, "VIRTUAL_SPRAWL": "1"},
            cwd=fresh.project,
        )
        serve()
        assert process.wait() == 0
        for peer in (*waiting, *served):
            peer.close()


@pytest.mark.parametrize("code", ["daemon.stopping", "daemon.leaving"])
def test_a_daemon_that_goes_away_is_asked_again(stage: Stage, code: str) -> None:
    def restart(request: Request, peer: socket.socket) -> bytes | None:
        first = len(daemon.requests)
        if first == 1:
            peer.shutdown(socket.SHUT_RDWR)
            return None
        return frame(protocol.ERROR, [code, "stopping", ""]) if first == 2 else stage.path_set()

    with stage.daemon(restart) as daemon:
        assert stage.output("-c", "import hello; print('ran')") == "ran\n"
    assert daemon.connections == 3


def test_a_set_that_was_collected_is_asked_for_again(fresh: Stage, tmp_path: Path) -> None:
    def collect(request: Request, peer: socket.socket) -> bytes:
        if len(daemon.requests) == 1:
            fresh.set.path.rename(fresh.set.path.with_name("gone"))
        else:
            fresh.set.path.with_name("gone").rename(fresh.set.path)
        return fresh.path_set()

    with fresh.daemon(collect) as daemon:
        assert fresh.output("-c", "import hello; print('ran')") == "ran\n"
    assert daemon.connections == 2


def save_reply(
    stage: Stage, *, checks: tuple[object, ...] = (), durable: bool = True, **changed: str
) -> Path:
    """Leave a reply on disk as the daemon does, for `-c` in the project's directory."""
    fields = connection.resolve_fields(python=str(stage.python), start=str(stage.project))
    request: list[bytes] = []
    with stage.daemon(lambda question, peer: request.append(question.payload) or frame(protocol.NO_LOCK)):  # type: ignore[func-returns-value]
        stage.output("-c", "pass")
    assert set(protocol.decode_fields(request[0])) == set(fields)
    path = stage.store / "replies" / hashlib.sha256(request[0]).hexdigest()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        marshal.dumps((replies.RECORD_FORMAT, checks, protocol.encode_strings(stage.set.strings)), 4)
    )
    path.chmod(0o600)
    if durable:
        mark = stage.store / "durable" / f"sets-{stage.set.path.name}"
        mark.parent.mkdir(exist_ok=True)
        mark.unlink(missing_ok=True)
        mark.hardlink_to(stage.set.path / "boot")
    return path


def check(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return (str(path), found.st_ctime_ns, 0 if stat.S_ISDIR(found.st_mode) else found.st_size, found.st_ino)


def test_without_a_daemon_the_saved_reply_is_used_while_it_holds(stage: Stage) -> None:
    lock, nearer = stage.project / "uv.lock", stage.project / "pylock.toml"
    lock.write_text("locked")
    checks = (check(lock), check(stage.project.parent), (str(nearer), -1, 0, 0))
    reply = save_reply(stage, checks=checks)
    program = ("-c", "import hello; print(hello.where())")
    expected = f"{stage.set.site_packages}/hello.py\n"
    assert stage.output(*program) == expected

    nearer.write_text("")
    refused(stage.run(*program), "daemon.unreachable")
    nearer.unlink()
    assert stage.output(*program) == expected

    reply.chmod(0o620)
    refused(stage.run(*program), "daemon.unreachable")
    reply.chmod(0o600)
    lock.write_text("changed")
    refused(stage.run(*program), "daemon.unreachable")


def test_a_silent_daemon_is_answered_for_by_the_saved_reply(stage: Stage) -> None:
    save_reply(stage)
    with listening(stage.socket):
        assert stage.output("-c", "import hello; print('ran')") == "ran\n"


def test_a_set_that_may_not_have_survived_a_power_cut_is_not_used(fresh: Stage) -> None:
    save_reply(fresh, durable=False)
    refused(fresh.run(*PROGRAM), "daemon.unreachable")
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        (fresh.set.path / "boot").write_text(boot.read_text().strip())
        assert fresh.output("-c", "import hello; print('ran')") == "ran\n"


def test_an_interrupt_while_waiting_ends_the_start(stage: Stage) -> None:
    asked = threading.Event()

    def think(request: Request, peer: socket.socket) -> None:
        peer.sendall(frame(protocol.PROGRESS, ["fetch", "0", "9", "0", "9", "demo"]))
        asked.set()

    with stage.daemon(think):
        process = subprocess.Popen(
            [stage.python, *PROGRAM],
            env={**stage.environ, "VIRTUAL_SPRAWL": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=stage.project,
        )  # fmt: skip
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_progress_is_silent_without_a_terminal(stage: Stage) -> None:
    def work(request: Request, peer: socket.socket) -> bytes:
        return frame(protocol.PROGRESS, ["fetch", "1", "9", "1", "9", "demo"]) * 3 + stage.path_set()

    with stage.daemon(work) as daemon:
        assert stage.output("-c", "import hello; print('ran')") == "ran\n"
    assert daemon.connections == 1


def test_a_set_without_its_lease_is_not_run_on(fresh: Stage) -> None:
    (fresh.set.path / "lease").unlink()
    with fresh.daemon() as daemon:
        refused(fresh.run(*PROGRAM), "store.damaged")
    assert daemon.connections == 3


def test_a_failure_leaves_python_as_it_was(fresh: Stage) -> None:
    program = "import sys; print(sys.prefix == sys.base_prefix, *sys.path, *map(type, sys.meta_path))"
    plain = fresh.output("-c", program, mode=None)
    fresh.set.site_packages.rename(fresh.set.site_packages.with_name("gone"))
    with fresh.daemon():
        refused(fresh.run(*PROGRAM), "store.damaged")
        done = fresh.run("-c", program, environ={"VIRTUAL_SPRAWL_ON_ERROR": "continue"})
    assert (done.returncode, done.stdout) == (0, plain)
    assert "[store.damaged]" in done.stderr
