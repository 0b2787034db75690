"""Questions to the daemon: what is sent, what is believed, how long is waited."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakedaemon import Request, frame, listening, serving
from virtual_sprawl import asking, connection, launch, protocol

FIELDS = {"python": "/usr/bin/python3", "start": "/project"}
PATH_SET = frame(protocol.PATH_SET, ["digest", "/sets/digest", b"index"])
PROGRESS = ["fetch", "1", "2", "3", "4", "demo"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", "never")
    yield
    # What a test started says who it is.
    for path in tmp_path.glob("*.pid"):
        os.kill(int(path.read_text()), signal.SIGTERM)


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "run/virtual-sprawl/sock"


def test_resolve_returns_the_path_set_or_none(address: Path) -> None:
    with serving(address, lambda request, peer: PATH_SET) as daemon:
        assert connection.resolve(FIELDS) == ("digest", "/sets/digest", b"index")
        assert daemon.requests[0].kind == protocol.RESOLVE
        assert daemon.requests[0].fields == FIELDS
    with serving(address, lambda request, peer: frame(protocol.NO_LOCK)):
        assert connection.resolve(FIELDS) is None


def test_progress_comes_before_the_reply_on_one_connection(address: Path) -> None:
    events: list[list[bytes]] = []
    reply = frame(protocol.PROGRESS, PROGRESS) * 2 + PATH_SET
    with serving(address, lambda request, peer: reply) as daemon:
        assert connection.resolve(FIELDS, events.append) is not None
    assert events == [[text.encode() for text in PROGRESS]] * 2
    assert daemon.connections == 1


def test_a_reply_may_come_in_pieces_and_be_large(address: Path) -> None:
    large = frame(protocol.PATH_SET, ["digest", "/sets/digest", bytes(3 << 20)])

    def dribble(request: Request, peer: socket.socket) -> None:
        for position in range(12):
            peer.sendall(large[position : position + 1])
        peer.sendall(large[12:])

    with serving(address, dribble):
        reply = connection.resolve(FIELDS)
    assert reply is not None
    assert len(reply[2]) == 3 << 20


def test_call_speaks_json(address: Path) -> None:
    reply = frame(protocol.PROGRESS, PROGRESS) + frame(protocol.RESULT, [json.dumps({"sets": 2})])
    with serving(address, lambda request, peer: reply) as daemon:
        assert connection.call("status", {"all": True}) == {"sets": 2}
        fields = daemon.requests[0].fields
        assert (daemon.requests[0].kind, fields["command"]) == (protocol.CALL, "status")
        assert json.loads(fields["arguments"]) == {"all": True}


def test_call_does_not_start_a_daemon_to_stop_it() -> None:
    with pytest.raises(connection.Refusal, match="no daemon is running") as caught:
        connection.call("stop", {}, start=False)
    assert caught.value.code == "daemon.unreachable"


def test_a_command_is_never_repeated(address: Path) -> None:
    def die(request: Request, peer: socket.socket) -> None:
        peer.shutdown(socket.SHUT_RDWR)

    with serving(address, die) as daemon:
        with pytest.raises(connection.Refusal) as caught:
            connection.call("gc", {})
        assert caught.value.code == "daemon.unreachable"
    assert daemon.connections == 1


def test_a_refusal_is_one_line_with_code_and_hint(address: Path) -> None:
    error = frame(protocol.ERROR, ["lock.stale", "old", "lock again"])
    with serving(address, lambda request, peer: error), pytest.raises(connection.Refusal) as caught:
        connection.call("select", {})
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("lock.stale", "old", "lock again")
    assert str(caught.value) == "old [lock.stale]; hint: lock again"
    assert str(connection.Refusal("a.b", "x\ny\x1b\udc80é")) == r"x\ny\x1b\udc80é [a.b]"


def test_patience_ends(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.0)
    with listening(address), pytest.raises(connection.Refusal, match="does not answer") as caught:
        connection.resolve(FIELDS)
    assert caught.value.code == "daemon.unreachable"
    assert "sprawld.log" in caught.value.hint


def test_a_slow_daemon_is_not_asked_twice(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HELLO_SECONDS", 0.0)
    release, waiting = socket.socketpair()

    def think(request: Request, peer: socket.socket) -> bytes:
        waiting.recv(1)
        return PATH_SET

    def meanwhile() -> None:
        # The first deadline passes before the daemon says anything.
        release.send(b"x")

    with serving(address, think) as daemon, release, waiting:
        assert connection.resolve(FIELDS, None, meanwhile) is not None
    assert daemon.connections == 1


def test_an_address_may_be_longer_than_the_kernel_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / ("x" * 200)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with serving(runtime / "virtual-sprawl/sock", lambda request, peer: PATH_SET):
        assert connection.resolve(FIELDS) is not None
    with pytest.raises(connection.Refusal) as caught:
        connection.resolve(FIELDS)
    assert caught.value.code == "daemon.unreachable"


def test_fields_of_another_interpreter_have_no_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1/u")
    own = connection.resolve_fields(python=connection.base_executable(), start="/")
    other = connection.resolve_fields(python="/opt/python", start="/")
    assert own["tag"] == sys.implementation.cache_tag
    assert other["tag"] == ""
    assert own["uv-index"] == "http://127.0.0.1/u"
    assert "pip-index" not in own


# -- starting a daemon -------------------------------------------------------------------------------

DAEMON = """#!{python}
import os, signal, socket, sys
sys.path.insert(0, {client!r})
from virtual_sprawl import locations, protocol
def is_open(number):
    try:
        return os.fstat(number)
    except OSError:
        return None
open_at_start = {{n for n in range(256) if is_open(n)}}
arguments = sys.argv[1:]
assert arguments[0] == "--on-demand", arguments
ready = int(arguments[2]) if arguments[1:2] == ["--ready-fd"] else -1
open({scratch!r} + "/seen", "w").write(repr((
    os.getcwd(), os.getsid(0) != os.getpid(), open_at_start - {{0, 1, 2, ready}},
    [name for name in os.environ if name.startswith("PYTHON") or name == "VIRTUAL_SPRAWL"],
)))
print("a line for the log", flush=True)
os.makedirs(locations.runtime_directory(os.environ), 0o700, exist_ok=True)
server = socket.socket(socket.AF_UNIX)
server.bind(locations.socket_path(os.environ))
server.listen()
open({scratch!r} + "/daemon.pid", "w").write(str(os.getpid()))
if ready >= 0:
    os.write(ready, b"1")
    os.close(ready)
signal.alarm(60)
while True:
    peer, _ = server.accept()
    peer.recv(65536)
    peer.sendall({reply!r})
    peer.close()
"""


def write_daemon(directory: Path, scratch: Path) -> Path:
    path = directory / "sprawld"
    client = Path(connection.__file__).parents[1]
    text = DAEMON.format(python=sys.executable, client=str(client), scratch=str(scratch), reply=PATH_SET)
    path.write_text(text)
    path.chmod(0o700)
    return path


def test_an_absent_daemon_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", str(write_daemon(tmp_path, tmp_path)))
    monkeypatch.setenv("VIRTUAL_SPRAWL", "1")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    assert connection.resolve(FIELDS) == ("digest", "/sets/digest", b"index")
    # A daemon that kept the write end would make this wait for ever.
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert (tmp_path / "seen").read_text() == "('/', True, set(), [])"
    assert (tmp_path / "cache/virtual-sprawl/sprawld.log").read_text() == "a line for the log\n"
    assert stat.S_IMODE((tmp_path / "cache/virtual-sprawl/sprawld.log").stat().st_mode) == 0o600
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_daemon_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "sprawld"
    broken.write_text("#!/nonexistent/python\n")
    broken.chmod(0o700)
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", str(broken))
    with pytest.raises(connection.Refusal, match="No such file or directory") as caught:
        connection.resolve(FIELDS)
    assert caught.value.code == "daemon.unreachable"


def test_a_daemon_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "sprawld"
    broken.write_text("#!/bin/sh\necho no >&2\n")
    broken.chmod(0o700)
    monkeypatch.setenv("VIRTUAL_SPRAWL_DAEMON", str(broken))
    with pytest.raises(connection.Refusal, match="was started 2 times") as caught:
        connection.resolve(FIELDS)
    assert caught.value.code == "daemon.unreachable"
    # Nobody waits for what has died: it is started once more, and that is all.
    assert (tmp_path / "cache/virtual-sprawl/sprawld.log").read_text() == "no\nno\n"


def test_where_the_program_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {name: tmp_path / name for name in ("bin", "recorded", "path")}
    for place in places.values():
        place.mkdir()
        write_daemon(place, tmp_path)
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": f".:{places['path']}"}
    record = tmp_path / "cache/virtual-sprawl/daemon"
    record.parent.mkdir(parents=True)
    record.write_text(f"{places['recorded']}/sprawld\n")
    record.chmod(0o600)
    monkeypatch.setattr(sys, "executable", str(places["bin"] / "python"))
    for name, spoil in (
        ("bin", lambda: (places["bin"] / "sprawld").chmod(0o600)),
        ("recorded", lambda: record.chmod(0o620)),
        ("path", lambda: (places["path"] / "sprawld").unlink()),
    ):
        assert launch.find_daemon(environ) == f"{places[name]}/sprawld"
        spoil()
    with pytest.raises(launch.NotStartedError, match="not found"):
        launch.find_daemon(environ)
    for named, message in (
        ("never", "never"),
        ("sprawld", "not an executable"),
        ("/nonexistent", "not an exe"),
    ):
        with pytest.raises(launch.NotStartedError, match=message):
            launch.find_daemon({**environ, "VIRTUAL_SPRAWL_DAEMON": named})


@pytest.mark.parametrize("command", ["status", "stop"])
def test_who_looks_after_a_daemon_does_not_hang_with_it(
    address: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.05)
    with serving(address, lambda request, peer: b""), pytest.raises(connection.Refusal) as refused:
        connection.call(command, {}, start=False)
    assert refused.value.code == "daemon.unreachable"
    assert "does not answer" in refused.value.message
    # The peer is this test, which is no daemon: no process is named for killing.
    assert "process" not in refused.value.message


@pytest.mark.skipif(sys.platform == "darwin", reason="the kernel does not tell who listens")
def test_a_daemon_that_hangs_is_named(address: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.05)
    address.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    program = tmp_path / "sprawld"
    program.write_text(
        "import socket, sys\nlistener = socket.socket(socket.AF_UNIX)\n"
        "listener.bind(sys.argv[1])\nlistener.listen()\nprint(flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, program, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hanging:
        assert hanging.stdout is not None
        hanging.stdout.readline()
        with pytest.raises(connection.Refusal, match=f"process {hanging.pid}") as refused:
            connection.call("status", {}, start=False)
        hanging.communicate()
    assert f"kill {hanging.pid}" in refused.value.hint
