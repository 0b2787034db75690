"""T12: the start-up hook never breaks Python: it is not there unless it is asked for, and fails in a line."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.fakedaemon import frame, listening
from tests.support.hookstage import Stage
from tests.support.interpreters import SUPPORTED, interpreters
from virtual_sprawl import protocol

from .programme import Context, Outcome

TITLE = "the hook never breaks Python"
BAR = (
    "30 scenarios x installed CPythons: unset, exit codes and output are Python's own, no socket is asked; "
    "set, the program runs or one line says why not"
)

PROGRAM = ("-c", "print('ran')")
Around = Callable[[Stage], AbstractContextManager[object]]


@dataclass
class Scenario:
    """One start of Python; `set` tells whether the variable is."""

    around: Around = lambda stage: contextlib.nullcontext()
    arguments: tuple[str, ...] = PROGRAM
    environ: dict[str, str] = field(default_factory=dict)
    mode: str | None = None
    codes: tuple[int, ...] = (0,)
    stdout: str = "ran\n"


def serving(reply: bytes) -> Around:
    return lambda stage: stage.daemon(reply)


def answering(stage: Stage) -> AbstractContextManager[object]:
    return stage.daemon()


def hung(stage: Stage) -> AbstractContextManager[object]:
    return listening(stage.socket)


@contextlib.contextmanager
def dead(stage: Stage) -> Iterator[None]:
    with listening(stage.socket) as listener:
        listener.close()
        yield


@contextlib.contextmanager
def open_to_all(stage: Stage) -> Iterator[None]:
    with stage.daemon():
        stage.socket.parent.chmod(0o777)
        yield
        stage.socket.parent.chmod(0o700)


@contextlib.contextmanager
def read_only_store(stage: Stage) -> Iterator[None]:
    stage.store.chmod(0o555)
    yield
    stage.store.chmod(0o700)


@contextlib.contextmanager
def broken_module(stage: Stage) -> Iterator[None]:
    path = stage.user_site / "virtual_sprawl" / "roundtrip.py"
    whole = path.read_bytes()
    path.write_bytes(b"raise RuntimeError('broken')\n")
    yield
    path.write_bytes(whole)


@contextlib.contextmanager
def hook_twice(stage: Stage) -> Iterator[None]:
    shutil.copy(stage.user_site / "virtual_sprawl.pth", stage.user_site / "a-second-virtual_sprawl.pth")
    yield
    for path in stage.user_site.glob("a-second-*"):
        path.unlink()


@contextlib.contextmanager
def lost_set(stage: Stage) -> Iterator[None]:
    stage.set.site_packages.rename(stage.set.site_packages.with_name("gone"))
    with stage.daemon():
        yield
    stage.set.site_packages.with_name("gone").rename(stage.set.site_packages)


@contextlib.contextmanager
def planted(stage: Stage) -> Iterator[None]:
    """A hook without our guards, as the control: it asks whatever is set, and fails as it likes."""
    path = stage.user_site / "a-planted.pth"
    path.write_text("import socket; socket.socket(socket.AF_UNIX).connect('/nonexistent')\n")
    yield
    path.unlink()


REFUSED = {"mode": "1", "codes": (125,), "stdout": ""}
IMPORTING = ("-c", "import hello; print('ran')")
UNSET: dict[str, Scenario] = {
    "nothing": Scenario(),
    "a dead daemon": Scenario(dead),
    "a daemon that hangs": Scenario(hung),
    "a daemon that talks nonsense": Scenario(serving(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "a socket that all can reach": Scenario(open_to_all),
    "no home": Scenario(environ={"HOME": ""}),
    "a home that does not exist": Scenario(environ={"HOME": "/nonexistent"}),
    "a runtime directory that does not exist": Scenario(environ={"XDG_RUNTIME_DIR": "/nonexistent"}),
    "relative directories": Scenario(environ={"XDG_RUNTIME_DIR": "a", "XDG_CACHE_HOME": "b"}),
    "a read-only store": Scenario(read_only_store),
    "a module of ours that is broken": Scenario(broken_module),
    "the hook twice": Scenario(hook_twice),
    "-S": Scenario(arguments=("-S", *PROGRAM)),
    "-I": Scenario(arguments=("-I", *PROGRAM)),
    "-E": Scenario(arguments=("-E", *PROGRAM)),
    "-s": Scenario(arguments=("-s", *PROGRAM)),
    "an exit status": Scenario(arguments=("-c", "print('ran'); raise SystemExit(3)"), codes=(3,)),
    "the variable empty": Scenario(answering, mode=""),
    "the variable 0": Scenario(answering, mode="0"),
}
SET: dict[str, Scenario] = {
    "set, a daemon": Scenario(answering, IMPORTING, mode="1"),
    "set, an exit status": Scenario(
        answering, ("-c", "import hello; print('ran'); raise SystemExit(7)"), mode="1", codes=(7,)
    ),
    "set, the hook twice": Scenario(
        lambda stage: _both(hook_twice(stage), stage.daemon()), IMPORTING, mode="1"
    ),
    "set, no lock": Scenario(serving(frame(protocol.NO_LOCK)), mode="1"),
    "set, no daemon": Scenario(**REFUSED),
    "set, a dead daemon": Scenario(dead, **REFUSED),
    "set, nonsense": Scenario(serving(b"HTTP/1.1 400 Bad\r\n\r\n"), **REFUSED),
    "set, another version": Scenario(serving(b"vsp\x09\x10\0\0\0\0"), **REFUSED),
    "set, an endless frame": Scenario(serving(b"vsp\x01\x10\xff\xff\xff\xff"), **REFUSED),
    "set, a refusal": Scenario(
        serving(frame(protocol.ERROR, ["lock.syntax", "no\x1b[2J\nlock", "hint"])), **REFUSED
    ),
    "set, a socket that all can reach": Scenario(open_to_all, **REFUSED),
    "set, a set that is gone": Scenario(lost_set, **REFUSED),
    "set, a module of ours that is broken": Scenario(
        lambda stage: _both(broken_module(stage), stage.daemon()), **REFUSED
    ),
    "set, to go on without": Scenario(mode="1", environ={"VIRTUAL_SPRAWL_ON_ERROR": "continue"}),
    "set, -I": Scenario(answering, ("-I", *PROGRAM), mode="1"),
    "set, -S": Scenario(answering, ("-S", *PROGRAM), mode="1"),
}


@contextlib.contextmanager
def _both(one: AbstractContextManager[object], other: AbstractContextManager[object]) -> Iterator[None]:
    with one, other:
        yield


def run(context: Context) -> Outcome:
    outcome = context.outcome
    tried = asked = 0
    found = interpreters()
    outcome.skipped += [f"CPython {v}: not on this machine" for v in SUPPORTED if v not in found]
    chosen = list(found.items()) if context.full else list(found.items())[-1:]
    for version, python in chosen:
        with context.directory() as root:
            stage = Stage(root, python)
            for name, scenario in (UNSET | SET).items():
                asked += _try(outcome, stage, f"{version}, {name}", scenario)
                tried += 1
            tried += _as_somebody_else(outcome, stage, version)
            outcome.control_failed = bool(_wrong(stage, Scenario(planted)))
    outcome.figures = {
        "scenarios": len(UNSET) + len(SET) + 1,
        "interpreters": ", ".join(version for version, _ in chosen),
        "starts": tried,
        "starts that went otherwise than they should": len(outcome.failures),
        "daemons asked with the variable unset": asked,
    }
    outcome.control = "a hook without the guards, that asks whatever is set, is noticed at the first start"
    return outcome


def _try(outcome: Outcome, stage: Stage, name: str, scenario: Scenario) -> int:
    """Start once; return how often a daemon was asked although the variable is not set."""
    asked = 0
    try:
        with scenario.around(stage) as daemon:
            wrong = _wrong(stage, Scenario(**(vars(scenario) | {"around": Scenario.around})))
            if not scenario.mode or scenario.mode == "0":
                asked = getattr(daemon, "connections", 0)
        outcome.expect(not wrong, f"{name}: {wrong}")
        outcome.expect(not asked, f"{name}: the daemon was asked")
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        outcome.fail(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    return asked


def _wrong(stage: Stage, scenario: Scenario) -> str:
    """Return in what a start was not as it should be; the empty string for nothing."""
    with scenario.around(stage):
        done = stage.run(*scenario.arguments, mode=scenario.mode, environ=scenario.environ)
    lines = done.stderr.count("\n")
    allowed = 1 if scenario.mode == "1" else 0
    if done.returncode not in scenario.codes or done.stdout != scenario.stdout or lines > allowed:
        return f"{done.returncode} {done.stdout!r} {done.stderr[-200:]!r}"
    return ""


def _as_somebody_else(outcome: Outcome, stage: Stage, version: str) -> bool:
    """As after `sudo -u` with the environment kept: the store is not theirs, and Python runs all the same."""
    if os.geteuid() != 0 or not _reaches(stage.python):
        outcome.skipped.append(f"another user: needs root, and an interpreter ({version}) that all can reach")
        return False
    done = subprocess.run(
        [stage.python, *PROGRAM],
        env=stage.environ,
        capture_output=True,
        text=True,
        cwd="/",
        user=65534,
        group=65534,
        extra_groups=[],
    )
    good = (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    outcome.expect(good, f"{version}, another user: {done.returncode} {done.stderr[-200:]}")
    return True


def _reaches(path: Path) -> bool:
    """Tell whether others can execute a program at all: homes are closed."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
