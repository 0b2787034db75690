"""What a daemon has of the client that started it: none of its Python settings, libraries and directories."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sprawld
from sprawld import __main__ as program

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

HOSTILE = {
    "PYTHONPATH": "/hostile",
    "PYTHONSTARTUP": "/hostile/start.py",
    "PYTHONHASHSEED": "1",
    "LD_LIBRARY_PATH": "/hostile",
    "LD_BIND_NOW": "1",
    "DYLD_INSERT_LIBRARIES": "/hostile/lib.dylib",
    "LISTEN_FDS": "1",
    "NOTIFY_SOCKET": "/hostile/notify",
}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the system does not show processes")
def test_nothing_that_loads_code_is_inherited(sandbox: Sandbox) -> None:
    sandbox.ctl("gc", "--dry-run", env=HOSTILE)
    process = Path(f"/proc/{sandbox.daemon_pid()}")
    names = {entry.partition(b"=")[0].decode() for entry in (process / "environ").read_bytes().split(b"\0")}
    assert names.isdisjoint(HOSTILE)
    assert "HOME" in names
    assert os.readlink(process / "cwd") == "/"
    assert "Umask:\t0077" in (process / "status").read_text()


def test_no_directory_of_the_user_is_searched_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with -I, but for the directory that the daemon itself lies in."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin/sprawld")])
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    own = str(Path(sprawld.__path__[0]).parent)
    path = [str(tmp_path / "bin"), "", str(tmp_path), own, "/usr/lib/python3", str(tmp_path / "user")]
    program._isolate(path)
    assert path == [own, "/usr/lib/python3"]
    monkeypatch.setattr(site, "getusersitepackages", lambda: own)
    program._isolate(path)
    assert path == [own, "/usr/lib/python3"]
