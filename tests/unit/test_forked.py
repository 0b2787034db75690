"""Forked workers: what they keep of the process they come from, and that a pool treats them like its own.

Each test forks from a new interpreter, as the daemon does; this one has threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sprawld.acquire import forked
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.skipif(not forked.can_fork(), reason="workers are not forked on this system")

HEAD = """
import asyncio, json, os, signal, sys, uvloop
from sprawld.acquire import forked
from sprawld.acquire.job import UnpackJob
from sprawld.acquire.workers import WorkerPool

def jobs(wheel, *places):
    for place in places:
        os.mkdir(place, 0o700)
        yield UnpackJob(wheel=wheel, destination=place, filename=os.path.basename(wheel),
                        digest="a" * 64, boot_id="boot", size=1)

async def ended(pid):
    descriptor = os.pidfd_open(pid)
    gone = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(descriptor, lambda: gone.done() or gone.set_result(None))
    await gone
    asyncio.get_running_loop().remove_reader(descriptor)
    os.close(descriptor)
"""


def script(body: str, *words: str) -> dict[str, object]:
    """Run HEAD and `body` in an interpreter of their own; return what they print, from JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + body, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"SECRET": "token", "PATH": "/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_pool_uses_them_and_ends_them(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "wheels", "demo")
    body = """
wheel, place = sys.argv[1:]
seeds = forked.fork_workers(2)

async def main():
    pool = WorkerPool(2)
    await pool.adopt(seeds)
    names = [(await pool.unpack(job)).name for job in jobs(wheel, place + "/a", place + "/b")]
    began = pool.statistics()
    await pool.close()
    left = 0
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = "none"
    print(json.dumps({"names": names, "started": began.started, "died": began.died, "left": left}))

uvloop.run(main())
"""
    found = script(body, str(wheel), str(tmp_path))
    assert found == {"names": ["demo", "demo"], "started": 2, "died": 0, "left": "none"}


def test_they_keep_nothing_but_the_log(tmp_path: Path) -> None:
    body = """
def files(pid):
    where = f"/proc/{pid}/fd"
    return {int(name): os.readlink(f"{where}/{name}") for name in os.listdir(where)}

reader, writer = os.pipe()
os.set_inheritable(writer, True)
seeds = forked.fork_workers(2)
seed = seeds[1]
# The answer to a line that is no job comes when the worker is what it is going to be.
seed.channel.sendall(b"{}\\n")
with seed.channel.makefile("rb") as results:
    answer = json.loads(results.readline())
found = files(seed.pid)
print(json.dumps({
    "code": answer["code"], "numbers": sorted(found), "sockets": len({found[0], found[3]}),
    "log": found[1] == found[2] == os.readlink("/proc/self/fd/2"),
    "session": os.getsid(seed.pid) == seed.pid,
}))
for each in seeds:
    each.channel.close()
    os.waitpid(each.pid, 0)
"""
    found = subprocess.run(
        [sys.executable, "-c", HEAD + body],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    # 3 is where results go to; it and standard input are one socket.
    assert json.loads(found.stdout) == {
        "code": "daemon.internal",
        "numbers": [0, 1, 2, 3],
        "sockets": 1,
        "log": True,
        "session": True,
    }


def test_one_that_was_killed_is_replaced(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "wheels", "demo")
    body = """
wheel, place = sys.argv[1:]
seeds = forked.fork_workers(1)

async def main():
    pool = WorkerPool(1)
    await pool.adopt(seeds)
    os.kill(seeds[0].pid, signal.SIGKILL)
    await ended(seeds[0].pid)
    await asyncio.sleep(0)
    names = [(await pool.unpack(job)).name for job in jobs(wheel, place + "/a")]
    started = pool.statistics().started
    await pool.close()
    print(json.dumps({"names": names, "started": started}))

asyncio.run(main())
"""
    assert script(body, str(wheel), str(tmp_path)) == {"names": ["demo"], "started": 2}


def test_those_beyond_the_limit_end() -> None:
    body = """
seeds = forked.fork_workers(2)

async def main():
    pool = WorkerPool(1)
    await pool.adopt(seeds)
    await ended(seeds[1].pid)
    idle = pool.statistics().idle
    await pool.close()
    print(json.dumps({"idle": idle}))

uvloop.run(main())
"""
    assert script(body) == {"idle": 1}


def test_they_end_with_the_process_that_forked_them() -> None:
    body = """
seeds = forked.fork_workers(1)
print(json.dumps({"pid": seeds[0].pid}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen([sys.executable, "-c", HEAD + body], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # The worker has no standard output of ours, but its log is ours too: the end of both is its end.
        assert json.loads(process.stdout.readline())["pid"]
        assert process.stdout.read() == b""
