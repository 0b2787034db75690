"""T14: a daemon under mixed work for minutes: no errors, no descriptors and no memory that stay."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.daemons import NEVER, Refused, call, resolve, start_daemon
from tests.support.index import SimpleIndex
from tests.support.parts import make_parts
from tests.support.sandbox import SCRIPTS, Sandbox

from .programme import Context, Outcome

TITLE = "soak"
BAR = "3 min of 20 runs/s mixed with cold runs, gc and verify: 0 errors, descriptors flat, RSS < 1 MiB/min"

WHEELS = 10
LEAK = """
import os, time
kept = []
while True:
    kept.append((os.open("/", 0), b"x" * 300_000))
    time.sleep(0.2)
"""


def run(context: Context) -> Outcome:
    outcome = context.outcome
    seconds = context.count(180, 12)
    with context.directory() as root, SimpleIndex() as index:
        sandbox = Sandbox(root / "u", index=index.url)
        lines = make_parts(root, index, WHEELS, size=100_000, modules=10)
        project = sandbox.project("parts", {}, lines)
        daemon = start_daemon(sandbox)
        assert daemon is not None
        try:
            _soak(context, outcome, sandbox, project, lines, daemon.pid, seconds)
        finally:
            daemon.terminate()
            daemon.wait()
    _control(outcome, max(4, seconds // 12))
    return outcome


def _soak(
    context: Context,
    outcome: Outcome,
    sandbox: Sandbox,
    project: Path,
    lines: list[str],
    pid: int,
    seconds: float,
) -> None:
    watch = Watch(pid)
    done = dict.fromkeys(("warm", "cold", "client", "gc", "verify"), 0)
    errors: list[str] = []
    chosen = random.Random(context.seed)
    lock = project / "requirements.txt"
    end = time.monotonic() + seconds
    beat = 0
    while time.monotonic() < end:
        due = time.monotonic() + 0.05
        kind = _kind(beat)
        try:
            if kind == "cold":
                # Another selection of the wheels: another set, and sometimes another wheel to fetch.
                lock.write_text("\n".join(chosen.sample(lines, chosen.randint(2, WHEELS))) + "\n")
            if kind in ("warm", "cold"):
                resolve(sandbox, project)
            elif kind == "client":
                command = (SCRIPTS / "sprawl", "run", "-c", "pass")
                answer = sandbox.run(*command, cwd=project, env=NEVER, check=False)
                if answer.returncode or answer.stderr:
                    errors.append(answer.stderr[-200:])
            elif kind == "gc":
                call(sandbox, "gc", max_age_s=0)
            else:
                found = call(sandbox, "verify", level="all", repair=False, offline=False)
                errors += [str(problem) for problem in found["problems"]]
        except (OSError, Refused) as error:
            errors.append(f"{kind}: {error}")
        done[kind] += 1
        beat += 1
        watch.look()
        time.sleep(max(0.0, due - time.monotonic()))
    settled = min(60.0, seconds / 3)
    slope, low, high = watch.slope(settled), *watch.descriptors(settled)
    outcome.figures = {
        "asked": ", ".join(f"{count} {kind}" for kind, count in done.items()),
        "errors": len(errors),
        "descriptors after the first minute": f"{low} to {high}",
        "RSS after the first minute": f"{slope:+.2f} MiB/min, {watch.rss():.0f} MiB at the end",
    }
    outcome.expect(not errors, f"{errors[:3]}")
    if context.full:
        outcome.expect(slope < 1, f"RSS grows by {slope:.2f} MiB/min")
    outcome.expect(high - low < 40, f"{low} to {high} descriptors")


def _kind(beat: int) -> str:
    if beat % 200 == 150:
        return "gc"
    if beat % 400 == 250:
        return "verify"
    if beat % 20 == 5:
        return "client"
    return "cold" if beat % 30 == 7 else "warm"


class Watch:
    """Looks at a process twice a second."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc", str(pid))
        self._begun = self._next = time.monotonic()
        self.samples: list[tuple[float, float, int]] = []

    def look(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.5
            self.samples.append((now - self._begun, self.rss(), len(os.listdir(self._proc / "fd"))))

    def rss(self) -> float:
        """Return resident memory in MiB."""
        return int((self._proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def slope(self, settled: float) -> float:
        """Return the slope of a line through the samples after `settled` seconds, in MiB a minute."""
        points = [(at, rss) for at, rss, _ in self.samples if at >= settled]
        if len(points) < 3:
            return 0.0
        mean_at = sum(at for at, _ in points) / len(points)
        mean = sum(rss for _, rss in points) / len(points)
        spread = sum((at - mean_at) ** 2 for at, _ in points)
        return 60 * sum((at - mean_at) * (rss - mean) for at, rss in points) / spread

    def descriptors(self, settled: float) -> tuple[int, int]:
        """Return the least and the most descriptors after `settled` seconds."""
        counts = [count for at, _, count in self.samples if at >= settled] or [0]
        return min(counts), max(counts)


def _control(outcome: Outcome, seconds: float) -> None:
    """The same watch on a process that keeps one descriptor and 300 kB of each round."""
    leaking = subprocess.Popen([sys.executable, "-c", LEAK])
    watch, end = Watch(leaking.pid), time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look()
        threading.Event().wait(0.1)
    leaking.kill()
    leaking.wait()
    low, high = watch.descriptors(seconds / 3)
    slope = watch.slope(seconds / 3)
    outcome.control = f"a process that leaks: {slope:+.0f} MiB/min, {low} to {high} descriptors"
    outcome.control_failed = slope > 1 and high > low
