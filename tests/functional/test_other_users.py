"""A process of another user that reaches the socket all the same is hung up on before it is heard."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from tests.support.children import NOBODY, run_as
from tests.support.sandbox import Sandbox
from virtual_sprawl import protocol

pytestmark = pytest.mark.functional


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_peer_of_another_user_is_hung_up_on() -> None:
    # Pytest's own directories are closed to other users.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o711)
        user = Sandbox(Path(name) / "user")
        try:
            pid = user.ctl("gc") and user.daemon_pid()
            path = user.runtime / "virtual-sprawl" / "sock"
            opened = (user.root, user.runtime, path.parent)
            for directory in opened:
                directory.chmod(0o711)
            path.chmod(0o666)
            payload = protocol.encode_fields({"command": "stop", "arguments": "{}"})

            def ask() -> None:
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.settimeout(20)
                    peer.connect(str(path))
                    try:
                        peer.sendall(protocol.encode_frame(protocol.CALL, payload))
                        answer = peer.recv(100)
                    except (BrokenPipeError, ConnectionResetError):
                        answer = b""
                    assert answer == b""

            run_as(NOBODY, ask)
            for directory in opened:
                directory.chmod(0o700)
            assert user.status()["refused_peers"] == 1
            assert user.daemon_pid() == pid
        finally:
            user.close()
