"""T5: crowds: cold clients, idle sockets, few descriptors, and many daemons at once."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.daemons import NEVER, Refused, call, socket_of, start_daemon
from tests.support.index import SimpleIndex
from tests.support.parts import expected_output, make_parts, parts_code
from tests.support.sandbox import SCRIPTS, Sandbox

from .programme import Context, Outcome

TITLE = "crowds"
BAR = (
    "200 cold clients, 1,000 raw sockets, 64 descriptors, 50 daemons at once: each wheel fetched once, 0 "
    "client errors, one daemon wins and 49 exit 0"
)

WHEELS = 8


def run(context: Context) -> Outcome:
    outcome = context.outcome
    with context.directory() as root, SimpleIndex() as index:
        lines = make_parts(root, index, WHEELS, size=200_000, modules=10)
        _clients(context, outcome, root / "a", index, lines)
        _raw_sockets(context, outcome, root / "b", index, lines)
        _few_descriptors(context, outcome, root / "c", index, lines)
        _daemons(context, outcome, root / "d")
        _control(outcome, root / "e")
    return outcome


def _clients(context: Context, outcome: Outcome, root: Path, index: SimpleIndex, lines: list[str]) -> None:
    """Everybody at once, on a cold store, without a daemon."""
    sandbox = Sandbox(root, index=index.url)
    project = sandbox.project("parts", {}, lines)
    code, count = parts_code(WHEELS), context.count(200, 20)

    def client(_: int) -> str:
        done = sandbox.run(SCRIPTS / "sprawl", "run", "-c", code, cwd=project, check=False, timeout=300)
        return done.stdout if not done.stderr else done.stderr

    index.requests.clear()
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(count) as pool:
            replies = list(pool.map(client, range(count)))
        seconds = time.monotonic() - begun
        wrong = [reply for reply in replies if reply != expected_output(WHEELS)]
        fetched = {path: n for path, n in index.requests.items() if path.startswith("/files/")}
        outcome.figures["cold clients"] = f"{count} in {seconds:.1f} s, {len(wrong)} errors"
        outcome.figures["wheels fetched"] = f"{len(fetched)}, each {max(fetched.values(), default=0)} time"
        outcome.expect(not wrong, f"clients: {wrong[:2]}")
        outcome.expect(
            fetched and set(fetched.values()) == {1} and len(fetched) == WHEELS, f"fetched: {fetched}"
        )
    finally:
        sandbox.close()
    context.note(str(outcome.figures))


def _raw_sockets(
    context: Context, outcome: Outcome, root: Path, index: SimpleIndex, lines: list[str]
) -> None:
    """Peers that connect and say nothing; a client among them is served as ever."""
    sandbox = Sandbox(root, index=index.url)
    project = sandbox.project("parts", {}, lines[:2])
    count = context.count(1000, 300)
    _raise_descriptors(count + 200)
    daemon = start_daemon(sandbox)
    assert daemon is not None
    peers: list[socket.socket] = []
    try:
        busy = 0
        while len(peers) < count:
            peer = socket.socket(socket.AF_UNIX)
            try:
                peer.settimeout(5)
                peer.connect(str(socket_of(sandbox)))
                peers.append(peer)
            except BlockingIOError:
                peer.close()
                busy += 1
                time.sleep(0.01)
        held = call(sandbox, "status")["connections"]
        done = sandbox.run(
            SCRIPTS / "sprawl", "run", "-c", "import part0, part1", cwd=project, env=NEVER, check=False
        )
        outcome.figures["raw sockets held open"] = f"{held} of {count}, {busy} connects had to be repeated"
        outcome.expect(held >= count, f"only {held} connections are held")
        outcome.expect(done.returncode == 0 and not done.stderr, f"a client among them: {done.stderr}")
        for number, peer in enumerate(peers):
            if number % 2:
                peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        done = sandbox.run(
            SCRIPTS / "sprawl", "run", "-c", "import part0, part1", cwd=project, env=NEVER, check=False
        )
        outcome.expect(done.returncode == 0 and not done.stderr, f"a client beside nonsense: {done.stderr}")
        outcome.expect(daemon.poll() is None, "the daemon died")
    finally:
        for peer in peers:
            peer.close()
        daemon.terminate()
        daemon.wait()


def _few_descriptors(
    context: Context, outcome: Outcome, root: Path, index: SimpleIndex, lines: list[str]
) -> None:
    """A daemon that may open 64 files, and more peers than that; who comes when they are gone is served."""
    sandbox = Sandbox(root, index=index.url)
    project = sandbox.project("parts", {}, lines[:3])
    daemon = start_daemon(sandbox, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert daemon is not None
    peers = []
    try:
        for _ in range(200):
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(5)
            try:
                peer.connect(str(socket_of(sandbox)))
                peers.append(peer)
            except OSError:
                peer.close()
        client = sandbox.start(SCRIPTS / "sprawl", "run", "-c", "import part0, part2", cwd=project, env=NEVER)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.communicate(timeout=2)
        early = client.returncode
        for peer in peers:
            peer.close()
        _, errors = client.communicate(timeout=100)
        typed = client.returncode == 0 or "[daemon." in errors
        outcome.figures["with 64 descriptors"] = (
            f"{len(peers)} peers connected; a client beside them: "
            f"{'answered' if client.returncode == 0 else 'refused with a code'}"
            f"{' after they had left' if early is None else ''}"
        )
        outcome.expect(typed, f"without descriptors: {errors}")
        done = sandbox.run(
            SCRIPTS / "sprawl", "run", "-c", "import part0, part2", cwd=project, env=NEVER, check=False
        )
        outcome.expect(done.returncode == 0, f"after the crowd: {done.stderr}")
        outcome.expect(daemon.poll() is None, "the daemon died of it")
    finally:
        daemon.terminate()
        daemon.wait()


def _daemons(context: Context, outcome: Outcome, root: Path) -> None:
    """One lock decides."""
    sandbox = Sandbox(root)
    count = context.count(50, 8)
    started = [_quiet(sandbox) for _ in range(count)]
    give_up = time.monotonic() + 120
    while sum(one.poll() is None for one in started) > 1 and time.monotonic() < give_up:
        time.sleep(0.1)
    alive = [one for one in started if one.poll() is None]
    codes = [one.returncode for one in started if one.poll() is not None]
    try:
        serves = call(sandbox, "status")["pid"] if alive else 0
    except (OSError, Refused):
        serves = 0
    outcome.figures["daemons started at once"] = f"{count}: {len(alive)} serves, {codes.count(0)} exit 0"
    outcome.expect(len(alive) == 1 and codes == [0] * (count - 1), f"{len(alive)} alive, exits {set(codes)}")
    outcome.expect(alive and serves == alive[0].pid, "it is not the winner that answers")
    for one in alive:
        one.terminate()
        one.wait()


def _control(outcome: Outcome, root: Path) -> None:
    """Without the lock, that is with a lock file that somebody takes away, each start is a winner."""
    sandbox = Sandbox(root)
    daemons = []
    for _ in range(3):
        (sandbox.store / "daemon.lock").unlink(missing_ok=True)
        daemons.append(start_daemon(sandbox))
    alive = [one for one in daemons if one is not None]
    outcome.control = f"with the lock file removed before each start: {len(alive)} of 3 daemons serve"
    outcome.control_failed = len(alive) > 1
    for one in alive:
        one.terminate()
        one.wait()


def _run(sandbox: Sandbox, project: Path, code: str) -> subprocess.CompletedProcess[str]:
    return sandbox.run(SCRIPTS / "sprawl", "run", "-c", code, cwd=project, env=NEVER, check=False)


def _quiet(sandbox: Sandbox) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(SCRIPTS / "sprawld")],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _raise_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
