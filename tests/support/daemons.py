"""Daemons started by hand, and questions to them without a client process in between."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from virtual_sprawl import protocol

from .sandbox import Sandbox

__all__ = ["NEVER", "Refused", "ask", "call", "resolve", "start_daemon", "wait_until_free"]

NEVER = {"VIRTUAL_SPRAWL_DAEMON": "never"}
"""Environment of a client that must not start a daemon by itself."""
READY_SECONDS = 120.0


class Refused(Exception):  # noqa: N818 - the word of the protocol
    """The daemon answered with an ERROR frame."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code


def start_daemon(
    sandbox: Sandbox, *options: str, env: Mapping[str, str] | None = None, preexec: Any = None
) -> subprocess.Popen[str] | None:
    """Start `sprawld` and wait until it listens; None when it ended before."""
    reader, writer = os.pipe()
    log = (sandbox.root / "daemon.log").open("a")
    try:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("sprawld")), "--ready-fd", str(writer), *options],
            env=sandbox.environ | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            preexec_fn=preexec,
            text=True,
        )
        os.close(writer)
        if not select.select([reader], [], [], READY_SECONDS)[0]:
            process.kill()
            raise AssertionError("the daemon does not come up")
        if os.read(reader, 1000) == b"\n":
            return process
        process.wait()
        return None
    finally:
        os.close(reader)
        log.close()


def ask(path: Path, kind: int, fields: Mapping[str, str], timeout: float = 60.0) -> list[bytes]:
    """Return the strings of the reply; Refused for an ERROR, OSError when the daemon goes away."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(timeout)
        peer.connect(str(path))
        peer.sendall(protocol.encode_frame(kind, protocol.encode_fields(fields)))
        reader = protocol.FrameReader(protocol.REPLY_LIMIT)
        while data := peer.recv(1 << 16):
            for answer, payload in reader.feed(data):
                if answer == protocol.PROGRESS:
                    continue
                strings = protocol.decode_strings(payload)
                if answer == protocol.ERROR:
                    raise Refused(strings[0].decode(), strings[1].decode(errors="replace"))
                return strings
    raise ConnectionResetError("the daemon hung up")


def call(sandbox: Sandbox, command: str, timeout: float = 60.0, **arguments: object) -> Any:
    """Run a command of the tools in the daemon."""
    fields = {"command": command, "arguments": json.dumps(arguments)}
    return json.loads(ask(socket_of(sandbox), protocol.CALL, fields, timeout)[0])


def resolve(
    sandbox: Sandbox, project: Path, python: Path | None = None, timeout: float = 60.0
) -> tuple[str, Path]:
    """Return digest and directory of the path set of a project, as a start of Python would ask for it."""
    executable = str(python or os.path.realpath(sys.executable))
    fields = dict.fromkeys(("python", "tag", "start", "script", "lock", "extras", "groups", "options"), "")
    fields |= {"python": executable, "start": str(project)}
    if "VIRTUAL_SPRAWL_INDEX" in sandbox.environ:
        fields["index"] = sandbox.environ["VIRTUAL_SPRAWL_INDEX"]
    digest, directory, _ = ask(socket_of(sandbox), protocol.RESOLVE, fields, timeout)
    return digest.decode(), Path(os.fsdecode(directory))


def socket_of(sandbox: Sandbox) -> Path:
    """Return the path of the sandbox's socket."""
    return sandbox.runtime / "virtual-sprawl" / "sock"


def wait_until_free(sandbox: Sandbox, seconds: float = 30.0) -> None:
    """Wait until no daemon holds the store."""
    import fcntl

    lock = sandbox.store / "daemon.lock"
    give_up = time.monotonic() + seconds
    while lock.exists():
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise AssertionError("a daemon does not stop") from None
            time.sleep(0.02)
        finally:
            os.close(descriptor)
