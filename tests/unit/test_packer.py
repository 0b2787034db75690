"""The daemon's side of packs: what is made, by which process, and what becomes of it."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sprawld.model import Digest, Environment
from sprawld.pathsets import pack
from sprawld.pathsets.pack import Packer, pack_tag
from sprawld.store import failpoints
from sprawld.store.tree import Store
from tests.support.entries import SITE, digest_of, publish_entry
from tests.support.workshop import environment_of

Run = Callable[[Coroutine[Any, Any, None]], None]

ENVIRONMENT = environment_of(Path(sys.executable))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both event loops the daemon may run on."""
    if request.param == "uvloop":
        return lambda main: uvloop.run(main)
    return lambda main: asyncio.run(main, debug=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", boot="boot")


def program(tmp_path: Path, text: str) -> Environment:
    """Return the environment of an interpreter that is this shell script."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return dataclasses.replace(ENVIRONMENT, executable=str(path))


def in_store(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "packs").rglob("*.pack"))


def make_pack(run: Run, store: Store, environment: Environment, digest: Digest) -> None:
    """Have the pack of one entry made, by a packer of its own."""

    async def main() -> None:
        packer = Packer(store)
        packer.want(environment, [digest])
        await packer.idle()
        assert packer.statistics()["built"] == 1

    run(main())


def test_what_is_missing_is_made_once(run: Run, store: Store) -> None:
    digests = [publish_entry(store, name) for name in ("alpha", "beta")]

    async def main() -> None:
        packer = Packer(store)
        packer.want(ENVIRONMENT, [*digests, digest_of("absent")])
        packer.want(ENVIRONMENT, digests)
        await packer.idle()
        packer.want(ENVIRONMENT, digests)
        await packer.idle()
        held = packer.statistics()
        assert (held["built"], held["failed"], held["waiting"]) == (2, 0, 0)
        assert store.packs.statistics() == {"count": 2, "bytes": held["built_bytes"]}

    run(main())
    assert in_store(store) == sorted(f"{digest}.pack" for digest in digests)
    assert all(store.packs.has(pack_tag(ENVIRONMENT), digest) for digest in digests)
    assert os.listdir(store.root / "tmp") == []


def test_a_pack_of_an_earlier_format_is_made_anew(run: Run, store: Store) -> None:
    digest = publish_entry(store, "alpha")
    path = store.root / "packs" / pack_tag(ENVIRONMENT) / f"{digest}.pack"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"VSPACK1\n" + bytes(100))
    assert not store.packs.has(pack_tag(ENVIRONMENT), digest)

    make_pack(run, store, ENVIRONMENT, digest)
    assert store.packs.has(pack_tag(ENVIRONMENT), digest)


def test_the_builder_runs_at_the_lowest_priority_with_no_environment(
    run: Run, store: Store, tmp_path: Path
) -> None:
    digest = publish_entry(store, "alpha")
    report = tmp_path / "report"
    environment = program(tmp_path, f'env > {report}; exec {sys.executable} "$@"')

    make_pack(run, store, environment, digest)
    names = {line.partition("=")[0] for line in report.read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "PYTHONHASHSEED"}


def test_a_builder_that_dies_costs_one_pack(run: Run, store: Store, tmp_path: Path) -> None:
    digests = [publish_entry(store, name) for name in ("alpha", "beta", "gamma")]
    marker = tmp_path / "died"
    dying = program(
        tmp_path, f'[ -e {marker} ] && exec {sys.executable} "$@"; : > {marker}; read job; kill -9 $$'
    )

    async def main() -> None:
        packer = Packer(store)
        packer.want(dying, digests)
        await packer.idle()
        assert packer.statistics() | {"built_bytes": 0} == {
            "built": 2,
            "built_bytes": 0,
            "failed": 1,
            "waiting": 0,
        }
        packer.want(dying, digests)
        await packer.idle()
        assert packer.statistics()["built"] == 2

    run(main())
    assert len(in_store(store)) == 2
    assert os.listdir(store.root / "tmp") == []


@pytest.mark.parametrize("where", ["builder", "daemon"])
def test_a_full_disk_is_looked_at_again(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(pack, "RETRY_SECONDS", 0.0)
    digests = [publish_entry(store, name) for name in ("alpha", "beta")]
    marker = tmp_path / "was-full"
    full = program(
        tmp_path, f'[ -e {marker} ] || {{ : > {marker}; ulimit -f 0; }}; exec {sys.executable} "$@"'
    )
    passed: list[str] = []

    def no_room_once(name: str) -> None:
        if name == "pack.made":
            passed.append(name)
            if len(passed) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "daemon":
        failpoints.install(no_room_once)

    async def main() -> None:
        packer = Packer(store)
        packer.want(full if where == "builder" else ENVIRONMENT, digests)
        await packer.idle()
        assert packer.statistics()["failed"] == 0
        while packer.statistics()["waiting"]:
            await asyncio.sleep(0)
            await packer.idle()
        assert packer.statistics()["built"] == 2
        await packer.close()

    try:
        run(main())
    finally:
        failpoints.install(None)
    assert len(in_store(store)) == 2
    assert os.listdir(store.root / "tmp") == []


def test_an_interpreter_that_is_gone_costs_nothing_but_packs(run: Run, store: Store) -> None:
    digest = publish_entry(store, "alpha")
    gone = dataclasses.replace(ENVIRONMENT, executable="/nonexistent/python")

    async def main() -> None:
        packer = Packer(store)
        packer.want(gone, [digest])
        await packer.idle()
        assert packer.statistics()["failed"] == 1

    run(main())


def test_closing_ends_the_builder_and_all_of_its_processes(run: Run, store: Store, tmp_path: Path) -> None:
    digest = publish_entry(store, "alpha")
    os.mkfifo(tmp_path / "started")
    hanging = program(tmp_path, f"read job; sleep 1000 & echo $$ $! > {tmp_path / 'started'}; sleep 1000")

    async def main() -> None:
        packer = Packer(store)
        packer.want(hanging, [digest])
        pids = map(int, (await asyncio.to_thread((tmp_path / "started").read_text)).split())
        await packer.close()
        for pid in pids:
            await asyncio.to_thread(wait_for_end, pid)
        packer.want(ENVIRONMENT, [digest])
        await packer.idle()
        assert packer.statistics()["built"] == 0

    run(main())
    assert in_store(store) == []
    assert os.listdir(store.root / "tmp") == []


def wait_for_end(pid: int) -> None:
    """Return when a killed process has gone or is only waiting for its parent to notice."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return  # no such process
        if state == "Z":
            return


def test_a_pack_goes_with_its_entry(run: Run, store: Store, tmp_path: Path) -> None:
    digest = publish_entry(store, "alpha")
    staged = tmp_path / "pack"
    staged.write_bytes(b"")
    assert store.publish_pack(staged, "tag", digest)
    assert store.discard(store.entry_path(digest))
    assert in_store(store) == []
    staged.write_bytes(b"")
    assert not store.publish_pack(staged, "tag", digest)


def test_left_over_packs_are_swept(store: Store) -> None:
    keep, drop = digest_of("keep"), digest_of("drop")
    (store.root / "packs/tag").mkdir(parents=True)
    for digest in (keep, drop):
        (store.root / f"packs/tag/{digest}.pack").write_bytes(b"x")
    assert store.packs.statistics() == {"count": 2, "bytes": 2}
    assert store.packs.sweep({keep}) == 1
    assert in_store(store) == [f"{keep}.pack"]


def test_what_does_not_compile_is_left_out(run: Run, store: Store) -> None:
    deep = b"a = " + b"(" * 5000 + b")" * 5000
    files = {
        f"{SITE}/bad/__init__.py": b"print 1\n",
        f"{SITE}/bad/deep.py": deep,
        f"{SITE}/bad/ok.py": b"x = 1\n",
    }
    digest = publish_entry(store, "bad", files)

    make_pack(run, store, ENVIRONMENT, digest)
