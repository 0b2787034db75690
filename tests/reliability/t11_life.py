"""T11: the daemon's life: what it finds at its start, what is done to it, and restarts under clients."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.daemons import Refused, call, socket_of, start_daemon
from tests.support.index import SimpleIndex
from tests.support.parts import make_parts
from tests.support.sandbox import SCRIPTS, Sandbox
from virtual_sprawl import protocol

from .programme import Context, Outcome, percentile
from .restarts import CODE, end_all, forget, restart_under_clients

TITLE = "life cycle"
BAR = "40 scenarios: an answer or a typed error each; 100 restarts under 20 looping clients: 0 failed runs"

LONG = "x" * 100


class Life:
    """A user, a project of one wheel, and a new home for each scenario."""

    def __init__(self, root: Path, index: SimpleIndex) -> None:
        self.root, self.index = root, index
        self.lines = make_parts(root, index, 2, size=1000, modules=1)
        self.numbers = itertools.count()
        self.seconds: list[float] = []

    def begin(self) -> Sandbox:
        user = Sandbox(self.root / f"u{next(self.numbers)}", index=self.index.url)
        self.project = user.project("app", {}, self.lines[:1])
        return user

    def run(self, user: Sandbox, **environ: str) -> str:
        """Run the program; return "ok", or the code of the line that says why not."""
        command = (SCRIPTS / "sprawl", "run", "-c", CODE)
        begun = time.monotonic()
        done = user.run(*command, cwd=self.project, env=environ, check=False, timeout=60)
        self.seconds.append(time.monotonic() - begun)
        if (done.returncode, done.stdout, done.stderr) == (0, "0\n", ""):
            return "ok"
        codes = re.findall(r"\[([a-z]+\.[a-z-]+)\]", done.stderr)
        one_line = done.stderr.count("\n") == 1
        return codes[-1] if codes and one_line else f"{done.returncode} {done.stderr[-300:]!r}"


Scenario = Callable[[Life, Sandbox], str]
SCENARIOS: dict[str, tuple[Scenario, set[str]]] = {}
OK = {"ok"}


def scenario(name: str, *expected: str) -> Callable[[Scenario], Scenario]:
    def register(work: Scenario) -> Scenario:
        SCENARIOS[name] = (work, set(expected) or OK)
        return work

    return register


def stopped(life: Life, user: Sandbox) -> None:
    """Have had a daemon, that stopped."""
    life.run(user)
    user.close()


def written(relative: str, content: bytes) -> Scenario:
    """Change a file of a store whose daemon has stopped, take away the saved reply, and run."""

    def work(life: Life, user: Sandbox) -> str:
        stopped(life, user)
        path = user.store / relative
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        forget(user)
        return life.run(user)

    return work


def in_place_of(make: Callable[[Path], object], where: Callable[[Sandbox], Path]) -> Scenario:
    """Put something else where a path should be, and run."""

    def work(life: Life, user: Sandbox) -> str:
        path = where(user)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        make(path)
        return life.run(user)

    return work


def with_environ(**values: str) -> Scenario:
    return lambda life, user: life.run(user, **values)


def said(frame: bytes) -> Scenario:
    """Send bytes to a daemon; return the code of its answer, if it lives on and serves."""

    def work(life: Life, user: Sandbox) -> str:
        life.run(user)
        pid = call(user, "status")["pid"]
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(str(socket_of(user)))
            peer.sendall(frame)
            peer.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: peer.recv(1 << 16), b""))
        alive = call(user, "status")["pid"] == pid
        found = list(protocol.FrameReader(protocol.REPLY_LIMIT).feed(answer))
        codes = [protocol.decode_strings(p)[0].decode() for kind, p in found if kind == protocol.ERROR]
        return (codes[0] if codes else "hung up") if alive else "the daemon died"

    return work


def signalled(number: int) -> Scenario:
    def work(life: Life, user: Sandbox) -> str:
        life.run(user)
        os.kill(call(user, "status")["pid"], number)
        return life.run(user)

    return work


runtime = lambda user: user.runtime / "virtual-sprawl"  # noqa: E731
stale = lambda path: socket.socket(socket.AF_UNIX).bind(str(path))  # noqa: E731
BODY = protocol.encode_fields({"command": "status", "arguments": "{}"})
UNKNOWN = protocol.encode_frame(protocol.CALL, protocol.encode_fields({"command": "x"}))
GONE, EITHER = ("daemon.unreachable",), ("ok", "daemon.unreachable")
UNSAFE = ("daemon.unsafe-socket", "daemon.unreachable")
ANY = ("ok", *UNSAFE)


def to_itself(path: Path) -> None:
    path.symlink_to(path.parent)


def to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


TABLE: list[tuple[str, Scenario, tuple[str, ...]]] = [
    ("nothing is there", Life.run, ()),
    ("a stale socket", in_place_of(stale, socket_of), ()),
    ("a file in place of the socket", in_place_of(Path.touch, socket_of), EITHER),
    ("a directory in place of the socket", in_place_of(Path.mkdir, socket_of), GONE),
    ("a file in place of the directory", in_place_of(Path.touch, runtime), ANY),
    ("a link in place of the directory", in_place_of(to_itself, runtime), UNSAFE),
    ("a dangling link there", in_place_of(to_nothing, runtime), UNSAFE),
    ("a lock file with the pid of a living process", written("daemon.lock", b"1\n"), ()),
    ("XDG_RUNTIME_DIR empty", with_environ(XDG_RUNTIME_DIR=""), ()),
    ("XDG_RUNTIME_DIR relative", with_environ(XDG_RUNTIME_DIR="run"), ()),
    ("XDG_RUNTIME_DIR does not exist", with_environ(XDG_RUNTIME_DIR="/proc/nonexistent/run"), EITHER),
    ("XDG_CACHE_HOME relative", with_environ(XDG_CACHE_HOME="cache"), ()),
    ("XDG_CACHE_HOME below a file", with_environ(XDG_CACHE_HOME="/dev/null/x"), GONE),
    ("a newer store", written("format", b"999\n"), ("daemon.unreachable", "store.newer-format")),
    ("a store of nonsense", written("format", b"?"), ("daemon.unreachable", "store.damaged")),
    ("a database of nonsense", written("state.sqlite", b"?" * 5000), ()),
    ("a newer database", written("state.sqlite", b""), ()),
    ("LISTEN_PID of another process", with_environ(LISTEN_PID="1", LISTEN_FDS="1"), ()),
    ("LISTEN_FDS of nonsense", with_environ(LISTEN_PID="x", LISTEN_FDS="many"), EITHER),
    ("a named daemon that does not exist", with_environ(VIRTUAL_SPRAWL_DAEMON="/nonexistent"), GONE),
    ("a named daemon with a relative path", with_environ(VIRTUAL_SPRAWL_DAEMON="sprawld"), GONE),
    ("a named daemon that ends at once", with_environ(VIRTUAL_SPRAWL_DAEMON="/bin/true"), GONE),
    ("a named daemon that fails", with_environ(VIRTUAL_SPRAWL_DAEMON="/bin/false"), GONE),
    ("SIGTERM", signalled(signal.SIGTERM), ()),
    ("SIGKILL", signalled(signal.SIGKILL), ()),
    ("SIGHUP", signalled(signal.SIGHUP), ()),
    ("SIGSTOP, and a saved reply", signalled(signal.SIGSTOP), ()),
    ("an older protocol", said(b"vsp\x00\x02" + len(BODY).to_bytes(4, "big") + BODY), ("proto.version",)),
    ("a newer protocol", said(b"vsp\x02\x02" + len(BODY).to_bytes(4, "big") + BODY), ("proto.version",)),
    ("another protocol", said(b"GET / HTTP/1.1\r\n\r\n"), ("proto.malformed",)),
    ("an endless frame", said(b"vsp\x01\x02\xff\xff\xff\xff"), ("proto.too-large",)),
    ("an unknown kind", said(protocol.encode_frame(99, b"")), ("proto.unknown-request",)),
    ("an unknown command", said(UNKNOWN), ("proto.unknown-request", "hung up")),
    ("two requests at once", said(protocol.encode_frame(protocol.CALL, BODY) * 2), ("proto.malformed",)),
    ("half a request", said(protocol.encode_frame(protocol.CALL, BODY)[:-3]), ("hung up",)),
]  # fmt: skip
for _name, _work, _expected in TABLE:
    scenario(_name, *_expected)(_work)


@scenario("long paths everywhere")
def _(life: Life, user: Sandbox) -> str:
    runtime_directory = user.root / LONG / LONG
    runtime_directory.mkdir(parents=True)
    runtime_directory.chmod(0o700)
    cache = user.root / f"{LONG}c" / LONG
    return life.run(user, XDG_RUNTIME_DIR=str(runtime_directory), XDG_CACHE_HOME=str(cache))


@scenario("SIGSTOP, and nothing saved", "daemon.unreachable")
def _(life: Life, user: Sandbox) -> str:
    life.run(user)
    pid = call(user, "status")["pid"]
    forget(user)
    os.kill(pid, signal.SIGSTOP)
    try:
        return life.run(user)
    finally:
        os.kill(pid, signal.SIGCONT)


@scenario("a runtime directory that all can write to", "daemon.unsafe-socket")
def _(life: Life, user: Sandbox) -> str:
    life.run(user)
    forget(user)
    runtime(user).chmod(0o777)
    try:
        return life.run(user)
    finally:
        runtime(user).chmod(0o700)


@scenario("a store of another user", "daemon.unreachable", "store.foreign-owner", "ok")
def _(life: Life, user: Sandbox) -> str:
    user.store.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(user.store, 65534, 65534)
    try:
        return life.run(user)
    finally:
        os.chown(user.store, os.geteuid(), os.getegid())


@scenario("the runtime directory goes away, as at a logout")
def _(life: Life, user: Sandbox) -> str:
    life.run(user)
    forget(user)
    shutil.rmtree(runtime(user))
    return life.run(user)


@scenario("the store goes away under the daemon")
def _(life: Life, user: Sandbox) -> str:
    life.run(user)
    shutil.rmtree(user.store)
    return life.run(user)


@scenario("what a crash left in tmp/ and trash/")
def _(life: Life, user: Sandbox) -> str:
    stopped(life, user)
    for name in ("tmp/entry-dead", "trash/dead"):
        (user.store / name / "deep").mkdir(parents=True)
        (user.store / name / "deep/file").write_text("x")
    forget(user)
    answer = life.run(user)
    return answer if not (user.store / "tmp/entry-dead").exists() else "left in tmp/"


@scenario("an idle exit while clients come")
def _(life: Life, user: Sandbox) -> str:
    """The daemon ends whenever nobody has asked for a moment; no client may notice."""
    life.run(user)
    answers = set()
    for _ in range(15):
        daemon = start_daemon(user, "--on-demand", "--idle-exit", "0.05")
        answers.add(life.run(user))
        if daemon is not None:
            daemon.wait(30)
    return ", ".join(sorted(answers))


def run(context: Context) -> Outcome:
    outcome = context.outcome
    with context.directory() as root, SimpleIndex() as index:
        life = Life(root, index)
        for number, (name, (work, expected)) in enumerate(SCENARIOS.items()):
            if context.full or number % 8 == 0:
                _one(life, outcome, name, work, expected)
        tried = len(life.seconds)
        context.note(f"{len(SCENARIOS)} scenarios, {len(outcome.failures)} failures")
        user = life.begin()
        restart_under_clients(context, outcome, user, life.project)
        outcome.figures = {
            "scenarios": len(SCENARIOS) if context.full else len(SCENARIOS) // 8 + 1,
            "runs in them": f"{tried}, median {percentile(life.seconds[:tried], 0.5) * 1000:.0f} ms",
        } | outcome.figures
    return outcome


def _one(life: Life, outcome: Outcome, name: str, work: Scenario, expected: set[str]) -> None:
    user = life.begin()
    try:
        answer = work(life, user)
    except (OSError, AssertionError, Refused, subprocess.TimeoutExpired) as error:
        answer = f"{type(error).__name__}: {str(error)[:200]}"
    outcome.expect(answer in expected, f"{name}: {answer} instead of {sorted(expected)}")
    end_all(user)
