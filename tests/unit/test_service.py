"""What service managers pass is checked and not handed on; what they are told arrives."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprawld.errors import ConfigError
from sprawld.service import Notifier, inherited_socket

linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

# Runs in a process of its own: descriptor 3 and LISTEN_PID belong to a whole process. `exec` keeps the pid.
CHILD = """
import json, os, sys
from sprawld.errors import SprawlError
from sprawld.service import inherited_socket
try:
    passed = inherited_socket()
except SprawlError as error:
    print(json.dumps([error.code, error.message]))
else:
    answer = [None, None]
    if passed is not None:
        answer = [passed.fileno(), os.get_inheritable(passed.fileno())]
    print(json.dumps(answer + [sorted(name for name in os.environ if name.startswith("LISTEN_"))]))
"""
LAUNCHER = """
import fcntl, os, sys
numbers, pid, names = sys.argv[1].split(","), sys.argv[2] or str(os.getpid()), sys.argv[3]
saved = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for number, descriptor in enumerate(saved):
    os.dup2(descriptor, 3 + number, inheritable=True)
environ = dict(os.environ, LISTEN_PID=pid, LISTEN_FDS=str(len(saved)), LISTEN_FDNAMES=names)
os.execve(sys.executable, [sys.executable, "-c", sys.argv[4]], environ)
"""


def pass_on(*sockets: int, pid: str = "", names: str = "") -> list[object]:
    """Start a process as systemd does, with these descriptors from 3 on; return what it made of them."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, ",".join(map(str, sockets)), pid, names, CHILD],
        pass_fds=sockets,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


def shortened(answer: list[object]) -> list[object]:
    """Cut what every such message begins with."""
    assert isinstance(answer[1], str)
    return [answer[0], answer[1].partition("no usable socket: ")[2]]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        yield listener


@linux
def test_a_listening_socket_is_taken_and_not_handed_on(listening: socket.socket) -> None:
    assert pass_on(listening.fileno()) == [3, False, []]


@linux
def test_a_socket_for_another_process_is_left_alone(listening: socket.socket) -> None:
    assert pass_on(listening.fileno(), pid="1") == [None, None, []]


@linux
def test_of_several_sockets_the_named_one_is_taken(listening: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "other"))
        other.listen()
        both = (other.fileno(), listening.fileno())
        assert pass_on(*both, names="other.socket:sprawld.socket") == [4, False, []]
        refused = ["config.invalid", "2 sockets, and not one of them named sprawld.socket"]
        assert shortened(pass_on(*both, names="a:b")) == refused
        assert shortened(pass_on(*both)) == refused


@linux
@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("datagram", "descriptor 3 is not a Unix stream socket"),
        ("inet", "descriptor 3 is not a Unix stream socket"),
        ("bound", "descriptor 3 does not listen (Accept= must be no)"),
        ("unbound", "descriptor 3 does not listen (Accept= must be no)"),
        ("file", "descriptor 3 is not a socket"),
    ],
)
def test_what_does_not_listen_on_a_unix_socket_is_refused(kind: str, cause: str, tmp_path: Path) -> None:
    if kind == "file":
        descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
        try:
            assert shortened(pass_on(descriptor)) == ["config.invalid", cause]
        finally:
            os.close(descriptor)
        return
    family = socket.AF_INET if kind == "inet" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM) as wrong:
        if kind == "inet":
            wrong.bind(("127.0.0.1", 0))
            wrong.listen()
        elif kind != "unbound":
            wrong.bind(str(tmp_path / "sock"))
        assert shortened(pass_on(wrong.fileno())) == ["config.invalid", cause]


@linux
@pytest.mark.parametrize(
    ("pid", "count"), [("", ""), ("self", "0"), ("self", "x"), ("self", "-1"), ("self", "99999"), ("x", "1")]
)
def test_no_manager_means_no_socket(pid: str, count: str) -> None:
    environ = {"LISTEN_PID": str(os.getpid()) if pid == "self" else pid, "LISTEN_FDS": count, "HOME": "/"}
    assert inherited_socket(environ) is None
    assert environ == {"HOME": "/"}


@linux
def test_a_descriptor_that_is_not_open_is_refused() -> None:
    taken = set(map(int, os.listdir("/proc/self/fd")))
    count = next(number for number in range(1, 60) if number + 2 not in taken)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}
    # Marks descriptors of this very process as not inheritable, which they are.
    with pytest.raises(ConfigError) as caught:
        inherited_socket(environ)
    assert caught.value.code == "config.invalid"


class Manager:
    """A service manager that listens: the receiving end of NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.settimeout(10)
        self.name = name

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    name = f"@sprawl-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    manager = Manager(name)
    yield manager
    manager.socket.close()


def test_the_manager_hears_everything(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environ)
    assert environ == {}
    assert notifier.supervised
    assert notifier.watchdog_seconds == 30
    assert notifier.ready("serving /store")
    assert manager.hear() == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=serving /store"]
    assert notifier.status("two\nlines\tof  text")
    assert manager.hear() == ["STATUS=two lines of text"]
    assert notifier.extend_timeout(1.5)
    assert manager.hear() == ["EXTEND_TIMEOUT_USEC=1500000"]
    assert notifier.watchdog()
    assert manager.hear() == ["WATCHDOG=1"]
    assert notifier.stopping()
    assert manager.hear() == ["STOPPING=1"]
    assert notifier.statistics() == {"supervised": True, "watchdog_s": 30.0, "sent": 5}


def test_without_a_manager_nothing_happens() -> None:
    for address in ("", "vsock:2:1234", "relative"):
        notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
        assert not notifier.supervised
        assert not notifier.ready()
        assert not notifier.stopping("bye")
        # Returns at once: nobody watches.
        asyncio.run(notifier.keep_alive(lambda: True))


def test_an_empty_status_says_nothing(manager: Manager) -> None:
    assert not Notifier({"NOTIFY_SOCKET": manager.name}).status("")


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("2000000", "", 2), ("2000000", "1", 0), ("", "", 0), ("x", "", 0), ("-5", "", 0)],
)
def test_the_watchdog_is_for_this_process_only(usec: str, pid: str, seconds: float) -> None:
    environ = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid, "NOTIFY_SOCKET": "/x"}
    assert Notifier(environ).watchdog_seconds == seconds


def test_a_manager_that_went_away_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot notify" in caplog.text


def test_a_manager_that_does_not_read_does_not_block(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": manager.name})
    with manager.socket:
        # The kernel queues a few datagrams; after that a sender would wait for ever.
        assert not all(notifier.watchdog() for _ in range(5000))


def test_signs_of_life_come_from_a_loop_that_lives(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "20000"})
    health = [True]

    async def live() -> list[list[str]]:
        task = asyncio.create_task(notifier.keep_alive(lambda: health[0]))
        loop = asyncio.get_running_loop()
        try:
            return [await loop.run_in_executor(None, manager.hear) for _ in range(3)]
        finally:
            task.cancel()

    assert asyncio.run(live()) == [["WATCHDOG=1"]] * 3


def queued(manager: Manager) -> int:
    """Return how many datagrams wait, and take them."""
    manager.socket.setblocking(False)
    count = 0
    try:
        while manager.hear():
            count += 1
    except BlockingIOError:
        return count
    finally:
        manager.socket.settimeout(10)
    return count


def test_a_blocked_loop_and_an_unhealthy_daemon_give_no_sign_of_life(manager: Manager) -> None:
    """The negative control: the same task, the same manager, and nothing may arrive."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "20000"})
    asked = 0

    def unhealthy() -> bool:
        nonlocal asked
        asked += 1
        return False

    async def blocked() -> int:
        task = asyncio.create_task(notifier.keep_alive(lambda: True))
        await asyncio.sleep(0)
        queued(manager)
        # What a daemon must never do: more than twice the time allowed without giving way to the loop.
        time.sleep(0.05)
        try:
            return queued(manager)
        finally:
            task.cancel()

    async def ill() -> int:
        task = asyncio.create_task(notifier.keep_alive(unhealthy))
        while asked < 3:
            await asyncio.sleep(0)
        task.cancel()
        return queued(manager)

    assert asyncio.run(blocked()) == 0
    assert asyncio.run(ill()) == 0


@pytest.mark.skipif(sys.platform != "darwin", reason="launchd is macOS's")
def test_outside_launchd_there_is_no_socket() -> None:
    assert inherited_socket() is None
