"""Restarts of the daemon under clients that loop: a part of T11."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time
from pathlib import Path

from tests.support.daemons import Refused, call
from tests.support.sandbox import SCRIPTS, Sandbox

from .programme import Context, Outcome

__all__ = ["CODE", "end_all", "forget", "restart_under_clients"]

CODE = "import part0; print(part0.VALUE)"


def forget(user: Sandbox) -> None:
    """Take away what answers in the place of a daemon."""
    for name in ("replies", "direct"):
        shutil.rmtree(user.store / name, ignore_errors=True)


def end_all(user: Sandbox) -> None:
    """End the daemons of a scenario, whatever was done to their sockets."""
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and f"HOME={user.home}\0".encode() in (process / "environ").read_bytes()
            ):
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


def restart_under_clients(context: Context, outcome: Outcome, user: Sandbox, project: Path) -> None:
    """End the daemon again and again while clients run one after the other; no run may fail."""
    user.run(SCRIPTS / "sprawl", "sync", cwd=project)
    clients, restarts = context.count(20, 3), context.count(100, 3)
    ends, failed, done = threading.Event(), [], itertools.count()

    def loop(number: int) -> None:
        command = (SCRIPTS / "sprawl", "run", "-c", CODE)
        while not ends.is_set():
            if number % 4 == 0:
                forget(user)  # and so have the daemon itself answer
            answer = user.run(*command, cwd=project, check=False, timeout=120)
            next(done)
            if (answer.returncode, answer.stdout, answer.stderr) != (0, "0\n", ""):
                failed.append(f"{answer.returncode} {answer.stderr[-200:]!r}")

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    unlucky = 0
    for number in range(restarts):
        try:
            pid = call(user, "status")["pid"]
            os.kill(pid, signal.SIGKILL if number % 4 == 3 else signal.SIGTERM)
            call(user, "status")
        except (OSError, Refused):
            unlucky += 1
        time.sleep(0.2)
        user.run(SCRIPTS / "sprawlctl", "gc", "--dry-run", check=False)
    ends.set()
    for thread in threads:
        thread.join()
    runs = next(done)
    outcome.figures["restarts"] = f"{restarts} under {clients} clients: {runs} runs, {len(failed)} failed"
    outcome.expect(not failed, f"runs under restarts: {failed[:3]}")
    outcome.control = f"a client that asks only once: {unlucky} of {restarts} questions fail"
    outcome.control_failed = unlucky > 0
    user.close()
    end_all(user)
