"""T1: the daemon is killed while it installs, collects, repairs and starts; nothing may be torn or wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.daemons import NEVER, call, start_daemon, wait_until_free
from tests.support.index import SimpleIndex
from tests.support.parts import expected_output, make_parts, parts_code, torn_entries
from tests.support.sandbox import SCRIPTS, Sandbox

from .programme import Context, Outcome, percentile

TITLE = "SIGKILL of the daemon"
BAR = (
    "300 kills at random moments and 20 at each of 18 failpoints: 0 torn, 0 wrong sets, tmp clean after a "
    "restart, serving again p95 < 300 ms"
)

INSTALL, COLLECT, STOP, REPAIR, OPEN = "install", "collect", "stop", "repair", "open"
POINTS: dict[str, tuple[str, str, int]] = {
    # Ours -> (the programme's name, what is under way, how often it may be passed before)
    "fetch.created": ("tmp-created", INSTALL, 30),
    "fetch.block-written": ("mid-download", INSTALL, 30),
    "fetch.checked": ("pre-hash and post-hash", INSTALL, 30),
    "unpack.file-made": ("mid-unpack", INSTALL, 200),
    "unpack.before-manifest": ("pre-manifest", INSTALL, 10),
    "unpack.done": ("unpacked", INSTALL, 30),
    "origin.recorded": ("origin recorded", INSTALL, 30),
    "publish.before-rename": ("pre-rename", INSTALL, 30),
    "publish.renamed": ("post-rename", INSTALL, 30),
    "reply.made": ("post-row-pre-reply", INSTALL, 0),
    "durable.synced": ("sync-mark", STOP, 0),
    "durable.marked": ("pre-parent-fsync", STOP, 0),
    "gc.marked": ("gc-marked", COLLECT, 0),
    "gc.set-checked": ("gc-locked", COLLECT, 0),
    "discard.renamed": ("gc-trashed", COLLECT, 30),
    "trash.file-removed": ("gc-mid-unlink", COLLECT, 500),
    "repair.set-apart": ("repair-quarantined", REPAIR, 0),
    "open.format-written": ("migrate-mid", OPEN, 0),
}
WHEELS = 40
SIZE = 40_000
MODULES = 8
CARELESS = """
import json, os, sys
from pathlib import Path
from sprawld.acquire.unpack import unpack_wheel
os.umask(0o22)
for wheel, target in json.loads(sys.argv[1]):
    Path(target).mkdir(parents=True)
    digest = Path(target).name
    unpack_wheel(wheel, target, filename=Path(wheel).name, digest=digest, boot_id="boot")
"""


class Stage:
    """One user with a project of many wheels, and what went wrong so far."""

    def __init__(self, root: Path, index: SimpleIndex, outcome: Outcome) -> None:
        self.root = root
        self.outcome = outcome
        self.sandbox = Sandbox(root / "u", index=index.url)
        self.lines = make_parts(root, index, WHEELS, size=SIZE, modules=MODULES)
        self.project = self.sandbox.project("parts", {}, self.lines)
        self.lock = self.project / "requirements.txt"
        self.code = parts_code(WHEELS)
        self.again: list[float] = []
        self.processor: list[float] = []
        self.kills = self.torn = self.wrong = self.left = self.successors = 0
        self.daemon = self.restart()
        begun = time.monotonic()
        self.check_client(self.client(), "the first run")
        self.whole = time.monotonic() - begun

    def restart(self) -> subprocess.Popen[str]:
        """Start a daemon, note how long it takes to answer, and look into tmp/."""
        before = set(self.staged())
        begun = time.monotonic()
        daemon = start_daemon(self.sandbox)
        assert daemon is not None
        call(self.sandbox, "status")
        self.again.append(time.monotonic() - begun)
        self.processor.append(processor_seconds(daemon.pid))
        left = before & set(self.staged())
        self.left += len(left)
        self.outcome.expect(not left, f"left in tmp/: {sorted(left)[:3]}")
        return daemon

    def staged(self) -> list[str]:
        path = self.sandbox.store / "tmp"
        return os.listdir(path) if path.exists() else []

    def client(self, *, may_start: bool = False) -> subprocess.Popen[str]:
        """Start a run; one that may start a daemon, as every user's may, has no excuse for a refusal."""
        env = {} if may_start else NEVER
        return self.sandbox.start(SCRIPTS / "sprawl", "run", "-c", self.code, cwd=self.project, env=env)

    def check_client(self, client: subprocess.Popen[str], what: str, *, may_fail: bool = False) -> None:
        output, errors = client.communicate(timeout=120)
        if output == expected_output(WHEELS) and not errors:
            return
        if may_fail and not output and client.returncode == 125 and "[daemon." in errors:
            return
        self.wrong += 1
        self.outcome.fail(f"{what}: {client.returncode} {output[:80]!r} {errors[-300:]!r}")

    def check_store(self, what: str) -> None:
        torn = torn_entries(self.sandbox.store)
        self.torn += len(torn)
        self.outcome.expect(not torn, f"{what}: {torn[:2]}")

    def recover(self, what: str) -> None:
        """After a kill: nothing torn to be seen, a new daemon, the right packages."""
        self.kills += 1
        self.check_store(what)
        self.daemon = self.restart()
        self.check_client(self.client(), what)
        self.check_store(f"{what}, after the next run")

    def collect(self) -> None:
        """Have everything collected."""
        self.lock.rename(self.project / "away")
        call(self.sandbox, "gc", max_age_s=0)
        (self.project / "away").rename(self.lock)
        if os.listdir(self.sandbox.store / "wheels"):
            self.outcome.fail("gc left something although nothing needs it")

    def kill_successor(self) -> None:
        """Kill the daemon that a client started when the one before had been killed under it, if it did."""
        with contextlib.suppress(OSError):
            os.kill(call(self.sandbox, "status")["pid"], signal.SIGKILL)
            self.successors += 1
        wait_until_free(self.sandbox)

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon.wait()

    def with_failpoint(self, point: str, passes: int, *, worker: bool) -> subprocess.Popen[str] | None:
        action = "kill-parent" if worker else "kill"
        variable = {"SPRAWL_TEST_FAILPOINT": f"{point}@{passes}:{action}"}
        return start_daemon(self.sandbox, "--enable-failpoints", env=variable)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(context: Context) -> Outcome:
    outcome = context.outcome
    with context.directory() as root, SimpleIndex() as index:
        stage = Stage(root, index, outcome)
        context.note(f"a whole install takes {stage.whole:.2f} s")
        for number in range(context.count(300, 4)):
            random_kill(stage, context)
            if number % 25 == 24:
                context.note(f"{number + 1} random kills, {len(outcome.failures)} failures")
        at_random, reached = stage.kills, 0
        show(outcome, stage, at_random, reached)
        for point in POINTS:
            for _ in range(context.count(20, 1)):
                reached += kill_at(stage, context, point)
            show(outcome, stage, at_random, reached)
            context.note(f"{point}: {reached} reached, {len(outcome.failures)} failures")
        stage.kill()
        outcome.expect(reached == context.count(20, 1) * len(POINTS), "not every failpoint was reached")
        again = percentile(stage.again, 0.95)
        outcome.expect(again < 0.3 or not context.full, f"serving again takes {again * 1000:.0f} ms (p95)")
        wheels = [root / f"part{n}-1.0-py3-none-any.whl" for n in range(WHEELS)]
        control(outcome, context, root / "control", wheels)
    return outcome


def show(outcome: Outcome, stage: Stage, at_random: int, reached: int) -> None:
    """Fill in the figures as they are now."""
    wall = [percentile(stage.again, part) * 1000 for part in (0.5, 0.95)]
    processor = [percentile(stage.processor, part) * 1000 for part in (0.5, 0.95)]
    outcome.figures = {
        "kills at random moments": at_random,
        "kills at failpoints": f"{reached} at {len(POINTS)} points",
        "torn entries": stage.torn,
        "wrong sets or failed runs afterwards": stage.wrong,
        "left in tmp/ after a restart": stage.left,
        "killed under a waiting client, which started another daemon and went through": stage.successors,
        "serving again, from exec to the reply to a status question": f"p50 {wall[0]:.0f} ms, p95 "
        f"{wall[1]:.0f} ms; of them processor time p50 {processor[0]:.0f} ms, p95 {processor[1]:.0f} ms",
        "beside uv": f"{stage.torn + stage.wrong} after {at_random} kills at random moments",
    }


def random_kill(stage: Stage, context: Context) -> None:
    stage.collect()
    client = stage.client()
    time.sleep(context.random.uniform(0, stage.whole))
    stage.kill()
    stage.check_client(client, "the run that was interrupted", may_fail=True)
    stage.recover("a random kill")


def kill_at(stage: Stage, context: Context, point: str) -> bool:
    """Have the daemon die at a failpoint; tells whether it was reached."""
    _, scene, most = POINTS[point]
    passes = context.random.randint(0, most)
    sandbox = stage.sandbox
    if scene in (INSTALL, STOP):
        stage.collect()
    elif scene == REPAIR:
        damage(stage, context)
    stage.kill()
    if scene == OPEN:
        shutil.rmtree(sandbox.store)
    daemon = stage.with_failpoint(
        point, passes, worker=point.startswith("unpack.") and point != "unpack.done"
    )
    if daemon is None or scene == OPEN:
        stage.recover(point)
        return scene == OPEN and daemon is None
    if scene in (INSTALL, STOP):
        # Where an install takes longer than two seconds, what was published is made durable while the client
        # still waits. A client that may start no daemon is refused then; one that may has to get through.
        stage.check_client(stage.client(may_start=scene == STOP), point, may_fail=scene == INSTALL)
        if scene == STOP and daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
    else:
        command = ("gc", "--max-age", "0") if scene == COLLECT else ("verify", "--all", "--repair")
        if scene == COLLECT:
            stage.lock.rename(stage.project / "away")
        sandbox.run(SCRIPTS / "sprawlctl", *command, env=NEVER, check=False)
        if scene == COLLECT:
            (stage.project / "away").rename(stage.lock)
    try:
        reached = daemon.wait(10) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
        reached = False
    stage.kill_successor()
    stage.recover(point)
    return reached


def damage(stage: Stage, context: Context) -> None:
    """Flip a bit of one entry: repair will put it right."""
    entry = context.random.choice(sorted((stage.sandbox.store / "wheels").iterdir()))
    path = next(entry.glob("lib/python/site-packages/part*/data.bin"))
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[context.random.randrange(len(content))] ^= 1
    path.write_bytes(content)
    path.chmod(0o444)


def control(outcome: Outcome, context: Context, root: Path, wheels: list[Path]) -> None:
    """Without tmp/ and the rename: the same unpacking, into the place where entries are looked for."""
    import json

    torn = kills = 0
    while kills < 8 or (not torn and kills < 40):
        store = root / str(kills)
        jobs = [(str(wheel), str(store / "wheels" / f"{number:064x}")) for number, wheel in enumerate(wheels)]
        careless = subprocess.Popen([sys.executable, "-c", CARELESS, json.dumps(jobs)])
        while not store.exists() and careless.poll() is None:
            time.sleep(0.005)
        time.sleep(context.random.uniform(0, 0.4))
        careless.kill()
        careless.wait()
        torn += bool(torn_entries(store))
        kills += 1
    outcome.control = f"unpacked in place, without tmp/ and rename: torn after {torn} of {kills} kills"
    outcome.control_failed = torn > 0
