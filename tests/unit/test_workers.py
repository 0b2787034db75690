"""The pool of unpacking workers: order, errors, deaths, cancellation, rest and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sprawld.acquire.job import UnpackJob, read_result
from sprawld.acquire.sharing import FILE_COST, SHARED_COST, cost_to_share
from sprawld.acquire.workers import WorkerPool
from sprawld.errors import SprawlError
from sprawld.store.manifest import ManifestSummary, read_summary
from tests.support.wheels import build_wheel

Run = Callable[[Coroutine[Any, Any, None]], None]

HANGING = "import sys; sys.stdin.readline(); print('x', end='', flush=True); sys.stdin.read()"
"""A worker that takes a job, writes half a line and waits for the end of its input."""


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both event loops the daemon may run on."""
    if request.param == "uvloop":
        return lambda main: uvloop.run(main)
    return lambda main: asyncio.run(main, debug=True)


def job(
    tmp_path: Path, name: str = "demo", *, size: int | None = None, alone: bool = False, **arguments: Any
) -> UnpackJob:
    """Build a wheel and a staging directory for it."""
    wheel = build_wheel(tmp_path / "wheels", name, **arguments)
    staging = tmp_path / "staging" / name
    staging.mkdir(parents=True, mode=0o700)
    return UnpackJob(
        wheel=str(wheel),
        destination=str(staging),
        filename=wheel.name,
        digest="a" * 64,
        boot_id="boot",
        size=wheel.stat().st_size if size is None else size,
        alone=alone,
    )


async def code_of(work: Coroutine[Any, Any, ManifestSummary]) -> str:
    with pytest.raises(SprawlError) as refused:
        await work
    return refused.value.code


@contextlib.asynccontextmanager
async def pool_of(count: int, **arguments: Any) -> Any:
    pool = WorkerPool(count, **arguments)
    try:
        yield pool
    finally:
        await pool.close()


def script(source: str) -> tuple[str, ...]:
    """Return the command of a worker that misbehaves."""
    return (sys.executable, "-I", "-S", "-c", source)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something that is under way has happened."""
    async with asyncio.timeout(60):
        await asyncio.sleep(0.005)
        while not condition():
            await asyncio.sleep(0.005)


def test_unpacks(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(2) as pool:
            names = [f"demo{number}" for number in range(5)]
            jobs = [job(tmp_path, name) for name in names]
            summaries = await asyncio.gather(*map(pool.unpack, jobs))
            assert [summary.name for summary in summaries] == names
            for summary, done in zip(summaries, jobs, strict=True):
                assert summary == read_summary(Path(done.destination, "manifest"))
            found = pool.statistics()
            assert (found.limit, found.started, found.idle, found.busy, found.done) == (2, 2, 2, 0, 5)

    run(main())


def test_modes_do_not_depend_on_the_daemons_umask(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1) as pool:
            await pool.unpack(work)

    work = job(tmp_path)
    before = os.umask(0o077)
    try:
        run(main())
    finally:
        os.umask(before)
    file = Path(work.destination, "lib/python/site-packages/demo/__init__.py")
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o555


def test_a_refusal_keeps_its_code_and_the_worker(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1) as pool:
            refused = job(tmp_path, record={"demo/__init__.py": None})
            assert await code_of(pool.unpack(refused)) == "record.unlisted"
            assert (await pool.unpack(job(tmp_path, "other"))).name == "other"
            assert pool.statistics().started == 1

    run(main())


def test_paths_that_are_not_utf8(run: Run, tmp_path: Path) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))

    async def main() -> None:
        async with pool_of(1) as pool:
            assert (await pool.unpack(job(directory))).name == "demo"

    run(main())


def test_the_largest_waiting_job_is_next(run: Run, tmp_path: Path) -> None:
    order: list[str] = []

    async def main() -> None:
        async with pool_of(1) as pool:

            async def unpack(work: UnpackJob) -> None:
                await pool.unpack(work)
                order.append(Path(work.destination).name)

            async with asyncio.TaskGroup() as group:
                for name, size in [("small", 1), ("large", 100), ("medium", 10), ("medium-too", 10)]:
                    group.create_task(unpack(job(tmp_path, name, size=size)))
            assert pool.statistics().started == 1

    run(main())
    assert order == ["large", "medium", "medium-too", "small"]


def test_a_killed_worker_fails_its_own_job_only(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1, command=script(HANGING)) as pool:
            first = asyncio.create_task(code_of(pool.unpack(job(tmp_path, "first"))))
            second = asyncio.create_task(code_of(pool.unpack(job(tmp_path, "second"))))
            for died in (1, 2):
                await until(lambda: bool(children()))
                os.kill(children()[0], signal.SIGKILL)
                await until(lambda died=died: pool.statistics().died == died)  # type: ignore[misc]
            assert await first == await second == "store.worker-died"
            assert pool.statistics().started == 2

    run(main())


@pytest.mark.parametrize(
    "source",
    [
        "raise SystemExit(3)",
        "input(); print('{}')",
        "input(); print('[]')",
        "input(); print('no json')",
        "input(); print('{\"ok\": {}}')",
        'input(); print(\'{"code": "x", "message": "", "hint": ""}\')',
        "input(); print('{\"ok\"', end='')",
    ],
)
def test_a_worker_that_makes_no_sense(run: Run, tmp_path: Path, source: str) -> None:
    async def main() -> None:
        async with pool_of(1, command=script(source)) as pool:
            assert await code_of(pool.unpack(job(tmp_path))) == "store.worker-died"
            assert pool.statistics().idle == 0

    run(main())
    assert children() == []


def test_a_worker_that_cannot_be_started(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1, command=["/nonexistent/python"]) as pool:
            for name in ("first", "second"):
                assert await code_of(pool.unpack(job(tmp_path, name))) == "store.worker-died"

    run(main())


def test_a_worker_that_died_while_idle_is_replaced(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1) as pool:
            await pool.unpack(job(tmp_path, "first"))
            os.kill(children()[0], signal.SIGKILL)
            await until(lambda: not children())
            await pool.unpack(job(tmp_path, "second"))
            found = pool.statistics()
            assert (found.started, found.died) == (2, 0)

    run(main())


def test_cancelling_stops_the_work(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1, command=script(HANGING)) as pool:
            task = asyncio.create_task(pool.unpack(job(tmp_path)))
            await until(lambda: pool.statistics().busy == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert children() == []
            found = pool.statistics()
            assert (found.busy, found.idle, found.waiting, found.died) == (0, 0, 0, 0)

    run(main())


@pytest.mark.skipif(cost_to_share() is None, reason="workers have helpers on Linux with two processors")
def test_cancelling_stops_a_helper_too(run: Run, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = (sys.executable, "-I", "-m", "sprawld.acquire.worker", f"unpack.file-made:pause:{fifo}")
    files = {f"x{number}": "" for number in range(SHARED_COST // FILE_COST)}
    large = job(tmp_path, files=files, alone=True)

    async def main() -> None:
        async with pool_of(1, command=command) as pool:
            task = asyncio.create_task(pool.unpack(large))
            await until(lambda: bool(children()))
            (worker,) = children()
            await until(lambda: bool(children(worker)))
            (helper,) = children(worker)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: helper not in processes())

    run(main())


def test_cancelling_a_waiting_job_frees_nothing_it_has_not(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(1) as pool:
            tasks = [asyncio.create_task(pool.unpack(job(tmp_path, f"demo{n}"))) for n in range(6)]
            tasks[1].cancel()
            await asyncio.sleep(0)
            tasks[2].cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [True] * 3 + [
                False
            ] * 3
            found = pool.statistics()
            assert (found.busy, found.waiting) == (0, 0)
            assert found.idle == 1

    run(main())


def test_idle_workers_end_by_themselves(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(2, idle_seconds=0.01) as pool:
            await pool.unpack(job(tmp_path, "first"))
            await until(lambda: pool.statistics().idle == 0 and not children())
            await pool.unpack(job(tmp_path, "second"))
            assert pool.statistics().started == 2

    run(main())


def test_warm_workers_are_used(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with pool_of(2) as pool:
            # The daemon asks at its first request, and again when it knows how much is missing.
            await asyncio.gather(pool.warm(9), pool.warm(9))
            assert pool.statistics().idle == 2
            await pool.warm(1)
            await asyncio.gather(*(pool.unpack(job(tmp_path, f"demo{n}")) for n in range(3)))
            assert pool.statistics().started == 2

    run(main())
    assert children() == []


def test_close_fails_what_is_under_way(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        pool = WorkerPool(1, command=script(HANGING))
        tasks = [asyncio.create_task(code_of(pool.unpack(job(tmp_path, f"demo{n}")))) for n in range(3)]
        await until(lambda: pool.statistics().busy == 1)
        await pool.close()
        assert children() == []
        assert await asyncio.gather(*tasks) == ["daemon.stopping"] * 3
        assert await code_of(pool.unpack(job(tmp_path, "late"))) == "daemon.stopping"
        await pool.close()

    run(main())


def test_a_worker_ends_with_its_input() -> None:
    command = [sys.executable, "-I", "-m", "sprawld.acquire.worker"]
    assert subprocess.run(command, input=b"", capture_output=True, timeout=60).stdout == b""


def test_a_worker_whose_daemon_is_gone_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "sprawld.acquire.worker"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as results:
        found = subprocess.run(
            command, input=job(tmp_path).to_line(), stdout=results, stderr=subprocess.PIPE, timeout=60
        )
    assert (found.returncode, found.stderr) == (0, b"")


def test_a_bug_is_told_and_logged(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-m", "sprawld.acquire.worker"]
    lines = b"nonsense\n" + job(tmp_path).to_line()
    found = subprocess.run(command, input=lines, capture_output=True, timeout=60)
    first, second = found.stdout.splitlines(keepends=True)
    error = read_result(first)
    assert isinstance(error, SprawlError)
    assert error.code == "daemon.internal"
    assert b"Traceback" in found.stderr
    assert isinstance(read_result(second), ManifestSummary)


def test_what_a_worker_imports() -> None:
    """Workers start in the time of their imports: none of the daemon's libraries is among them."""
    source = "import sys, sprawld.acquire.worker; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-I", "-c", source]
    loaded = set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
    assert {"sprawld", "isal", "mmap"} <= loaded
    heavy = {"aiohttp", "asyncio", "ctypes", "email", "packaging", "socket", "ssl", "subprocess", "zipfile"}
    assert loaded.isdisjoint(heavy)


def children(of: int | None = None) -> list[int]:
    """Return the processes that run and were started by one: this one, if none is named."""
    return [pid for pid, parent in processes().items() if parent == (of or os.getpid())]


def processes() -> dict[int, int]:
    """Return the processes that run -> their parents."""
    command = ["ps", "-axo", "pid=,ppid=,stat=,comm="]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    rows = [line.split(None, 3) for line in lines]
    return {
        int(pid): int(parent)
        for pid, parent, state, name in rows
        if not state.startswith("Z") and Path(name).name != "ps"
    }
