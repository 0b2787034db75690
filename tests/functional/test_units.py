"""The units satisfy systemd's own checks, and a socket that systemd passes is served."""

from __future__ import annotations

import contextlib
import os
import plistlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import build_wheel
from virtual_sprawl.servicefiles import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

# systemd-analyze's exposure of a service, times ten: the tightest that the units hold.
BASE_THRESHOLD = 64
USERNS_THRESHOLD = 40

SERVER = """
import sys
from sprawld.service import Notifier, inherited_socket
notifier = Notifier()
with inherited_socket() as listener:
    notifier.ready("serving")
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())
    notifier.stopping()
"""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a directory with the units as `sprawlctl service install` writes them, the drop-in elsewhere."""
    for file in render("/bin/true", {"HOME": str(tmp_path), "XDG_CACHE_HOME": "/var/cache/of mine"}, "linux"):
        path = Path(file.path)
        target = tmp_path / "units" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(file.content)
    return tmp_path / "units"


def analyze(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        [tool("systemd-analyze"), "--user", *arguments],
        env={"PATH": os.defpath, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime), "LC_ALL": "C.UTF-8"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def with_drop_in(units: Path) -> None:
    directory = units / "sprawld.service.d"
    directory.mkdir()
    (units / "50-userns.conf").rename(directory / "50-userns.conf")


def test_systemd_finds_nothing_wrong(tmp_path: Path, units: Path) -> None:
    files = [units / "sprawld.service", units / "sprawld.socket"]
    done = analyze(tmp_path, "verify", *files)
    assert (done.returncode, done.stderr) == (0, "")
    with_drop_in(units)
    done = analyze(tmp_path, "verify", *files)
    assert (done.returncode, done.stderr) == (0, "")
    # The negative control: the check does see what is wrong.
    files[0].write_text(files[0].read_text().replace("Type=notify", "Type=notified"))
    assert "Failed to parse service type" in analyze(tmp_path, "verify", *files).stderr


def exposed(tmp_path: Path, units: Path, threshold: int) -> int:
    unit = units / "sprawld.service"
    return analyze(tmp_path, "security", "--offline=true", f"--threshold={threshold}", unit).returncode


def test_the_service_is_as_confined_as_promised(tmp_path: Path, units: Path) -> None:
    assert exposed(tmp_path, units, BASE_THRESHOLD) == 0
    # The negative control: without its restrictions the same unit is over the limit.
    unit = units / "sprawld.service"
    confined = unit.read_text()
    unit.write_text("\n".join(line for line in confined.split("\n") if not line.startswith("Restrict")))
    assert exposed(tmp_path, units, BASE_THRESHOLD) != 0
    unit.write_text(confined)
    with_drop_in(units)
    assert exposed(tmp_path, units, USERNS_THRESHOLD) == 0


def test_the_property_list_is_one(tmp_path: Path) -> None:
    (file,) = render("/opt/sprawld", {"HOME": str(tmp_path)}, "darwin")
    document = plistlib.loads(file.content.encode(), fmt=plistlib.FMT_XML)
    assert plistlib.loads(plistlib.dumps(document)) == document


def test_the_unit_and_the_clients_agree_on_the_socket(tmp_path: Path, units: Path) -> None:
    from virtual_sprawl import locations

    (line,) = [
        line
        for line in (units / "sprawld.socket").read_text().split("\n")
        if line.startswith("ListenStream=")
    ]
    rendered = line.partition("=")[2].replace("%t", "/run/user/1000")
    assert rendered == locations.socket_path({"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/x"})


def system_calls(tmp_path: Path, group: str) -> set[str]:
    """Return the system calls of one of systemd's groups."""
    found = set()
    for line in analyze(tmp_path, "syscall-filter", group).stdout.split("\n"):
        name = line.strip()
        if line.startswith(" ") and not name.startswith("#"):
            found |= system_calls(tmp_path, name) if name.startswith("@") else {name}
    return found


def test_the_daemon_makes_no_system_call_that_the_unit_forbids(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    """Traced from its start, through download, unpacking, a set and gc, to its end; workers included."""
    trace, counted = tool("strace"), tmp_path / "counted"
    allowed = system_calls(tmp_path, "@system-service")
    allowed -= system_calls(tmp_path, "@privileged") | system_calls(tmp_path, "@resources")
    assert "openat" in allowed
    assert "setpriority" not in allowed
    program = tmp_path / "sprawld"
    program.write_text(
        f'#!/bin/sh\nexec {trace} -f -qq -c -U name -o {counted} {sys.executable} -m sprawld "$@"\n'
    )
    program.chmod(0o755)
    # A pipe ends when strace has written its table; the daemon's lock is free some time before that.
    os.mkfifo(counted)
    pipe = os.fdopen(os.open(counted, os.O_RDONLY | os.O_NONBLOCK))
    sandbox.environ["VIRTUAL_SPRAWL_DAEMON"] = str(program)
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": "WHO = 'alpha'\n"})
    index.add(wheel)
    lock = (
        'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "alpha"\nversion = "1.0"\n'
        f'index = "{index.url}"\n[[packages.wheels]]\nname = "{wheel.name}"\n'
        f'url = "{index.file_url(wheel.name)}"\nhashes = {{sha256 = "{index.sha256(wheel.name)}"}}\n'
    )
    project = sandbox.project("one", {"script.py": "import alpha; print(alpha.WHO)", "pylock.toml": lock})
    assert sandbox.sprawl("run", project / "script.py").stdout == "alpha\n"
    sandbox.ctl("gc")
    sandbox.close()
    os.set_blocking(pipe.fileno(), True)
    with pipe:
        made = {line.strip() for line in pipe if not line.startswith("-")} - {"syscall", "total"}
    assert {"openat", "renameat2", "rename"} & made
    # Calls that may be refused (EPERM): the maker of packs lowers its priority, and SQLite as root gives new
    # journals the owner of their database; neither minds.
    assert made - allowed <= ({"setpriority", "fchown"} if os.geteuid() == 0 else {"setpriority"})


@contextlib.contextmanager
def activated(path: Path, *command: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Let systemd-socket-activate listen on `path` and start `command` at the first connection."""
    options = ["--fdname=sprawld.socket", *(f"--setenv={name}={value}" for name, value in environ.items())]
    process = subprocess.Popen(
        [tool("systemd-socket-activate"), f"--listen={path}", *options, *command],
        stderr=subprocess.PIPE,
        env={"PATH": os.defpath},
    )
    try:
        assert process.stderr is not None
        # Its first line says that it listens.
        assert b"Listening on" in process.stderr.readline()
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_socket_that_systemd_passes_is_served(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with activated(tmp_path / "sock", sys.executable, "-c", SERVER, environ=environ) as process:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(60)
                client.connect(str(tmp_path / "sock"))
                client.sendall(b"hello")
                assert client.recv(100) == b"HELLO"
            assert manager.recv(1000).decode() == f"READY=1\nMAINPID={process.pid}\nSTATUS=serving"
            assert manager.recv(1000) == b"STOPPING=1"
            assert process.wait(timeout=60) == 0


def test_the_daemon_serves_a_socket_that_systemd_passes(sandbox: Sandbox) -> None:
    """Started by the first request, on a socket it did not make, telling the manager, leaving the file."""
    directory = sandbox.runtime / "virtual-sprawl"
    directory.mkdir(mode=0o700)
    path = directory / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(sandbox.root / "notify"))
        manager.settimeout(60)
        environ = {
            **sandbox.environ,
            "NOTIFY_SOCKET": str(sandbox.root / "notify"),
            "WATCHDOG_USEC": "1000000",
        }
        daemon = [sys.executable, "-m", "sprawld"]
        with activated(path, *daemon, environ=environ) as process:
            status = sandbox.run("sprawlctl", "status", "--json", env={"VIRTUAL_SPRAWL_DAEMON": "never"})
            assert f'"pid": {process.pid}' in status.stdout
            heard = [manager.recv(1000).decode() for _ in range(3)]
            assert any(said.startswith(f"READY=1\nMAINPID={process.pid}") for said in heard)
            assert "WATCHDOG=1" in heard
            process.terminate()
            assert process.wait(timeout=60) == 0
            while manager.recv(1000) != b"STOPPING=1":
                pass
        # It belongs to the manager, which goes on listening on it.
        assert path.is_socket()
