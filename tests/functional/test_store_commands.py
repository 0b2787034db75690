"""The commands that show, keep and limit what is in the store, on a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.index import SimpleIndex
from tests.support.sandbox import Sandbox
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.functional


@pytest.fixture
def locks(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> dict[str, Path]:
    """Two projects: `one` uses small and large, `two` uses small only. Returns their lockfiles."""
    lines = {}
    for name, size in (("small", 100), ("large", 200_000)):
        content = {f"{name}.py": "X = 1\n", f"{name}_data/x.txt": "x" * size}
        wheel = build_wheel(tmp_path, name, "1.0", content)
        index.add(wheel)
        lines[name] = f"{name}==1.0 --hash=sha256:{index.sha256(wheel.name)}"
    projects = {"one": ["small", "large"], "two": ["small"]}
    found = {}
    for project, names in projects.items():
        directory = sandbox.project(project, {}, [lines[name] for name in names])
        sandbox.sprawl("sync", cwd=directory)
        found[project] = directory / "requirements.txt"
    return found


def test_ls_tells_size_use_and_projects(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    rows = sandbox.ctl("ls")["entries"]
    assert [(row["name"], row["version"], row["projects"]) for row in rows] == [
        ("large", "1.0", 1),
        ("small", "1.0", 2),
    ]
    assert rows[0]["bytes"] > 200_000
    text = sandbox.run("sprawlctl", "status").stdout
    assert " packs" in text
    assert "read again  not yet" in text
    assert all(row["last_used"] > time.time() - 600 for row in rows)
    assert [row["name"] for row in sandbox.ctl("ls", "--sort", "projects")["entries"]] == ["small", "large"]
    assert [row["name"] for row in sandbox.ctl("ls", "--sort", "size")["entries"]] == ["large", "small"]
    lines = sandbox.run("sprawlctl", "ls", "--sort", "last-used").stdout.splitlines()
    assert lines[0].split() == ["name", "version", "size", "packs", "last", "used", "projects"]
    assert len(lines) == 3


def test_why_names_lockfiles_pins_and_processes(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    sandbox.ctl("pin", locks["one"].parent)
    code = "import large; print('up', flush=True); input()"
    running = sandbox.start("sprawl", "run", "-c", code, cwd=locks["one"].parent, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    (entry,) = sandbox.ctl("why", "Large==1.0")["entries"]
    (used,) = entry["sets"]
    assert used["locks"][0]["path"] == str(locks["one"])
    assert used["locks"][0]["pins"] == [str(locks["one"].parent)]
    assert used["in_use"]
    text = sandbox.run("sprawlctl", "why", "large").stdout
    assert f"lockfile {locks['one']} (used " in text
    assert f"pinned by {locks['one'].parent}" in text
    if sys.platform == "linux":
        assert [process["pid"] for process in used["processes"]] == [running.pid]
        assert f"running in {running.pid}: " in text
    running.communicate("\n")
    (entry,) = sandbox.ctl("why", "small")["entries"]
    assert {lock["path"] for one in entry["sets"] for lock in one["locks"]} == set(map(str, locks.values()))
    assert not any(one["in_use"] for one in entry["sets"])


def test_why_of_what_is_not_there(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    for package in ("absent", "small==2.0"):
        outcome = sandbox.run("sprawlctl", "why", package, check=False)
        assert outcome.returncode == 1
        assert outcome.stderr == f"sprawlctl: the store has no {package}\n"


def test_a_pin_outlives_age_lockfile_and_daemon(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    pinned = sandbox.ctl("pin", locks["one"])
    assert (pinned["changed"], pinned["sets"]) == (True, 1)
    assert not sandbox.ctl("pin", locks["one"])["changed"]
    for lock in locks.values():
        lock.unlink()
    sandbox.close()
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1
    assert {row["name"] for row in sandbox.ctl("ls")["entries"]} == {"small", "large"}
    assert sandbox.ctl("unpin", locks["one"])["changed"]
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1
    assert sandbox.ctl("ls")["entries"] == []
    outcome = sandbox.run("sprawlctl", "pin", locks["one"], check=False)
    assert outcome.returncode == 1


def test_gc_by_size_takes_the_least_recently_used(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    planned = sandbox.ctl("gc", "--max-size", "100K", "--dry-run")
    assert (planned["sets"], planned["entries"]) == (1, 1)
    said = sandbox.run("sprawlctl", "gc", "--max-size", "100K", "--dry-run").stdout
    assert f"would remove set of {locks['one']} (" in said
    assert "would remove large 1.0 (" in said
    assert sandbox.ctl("gc", "--max-size", "10M")["items"] == []
    assert sandbox.ctl("gc", "--max-size", "100K")["bytes"] == planned["bytes"]
    assert [row["name"] for row in sandbox.ctl("ls")["entries"]] == ["small"]
    assert sandbox.ctl("gc", "--min-free", "1000T")["entries"] == 1
    outcome = sandbox.run("sprawlctl", "gc", "--max-size", "much", check=False)
    assert outcome.returncode == 2


def test_limits_of_the_configuration_hold_without_options(sandbox: Sandbox, locks: dict[str, Path]) -> None:
    sandbox.close()
    config = sandbox.home / ".config" / "virtual-sprawl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('gc-max-age = "3w"\ngc-max-size = "100K"\n')
    assert sandbox.ctl("gc")["sets"] == 0, "what is new is left alone unless the user names a limit"
    assert sandbox.ctl("gc", "--min-free", "0")["entries"] == 1
    sandbox.close()
    config.write_text('gc-max-size = "very"\n')
    outcome = sandbox.run("sprawlctl", "gc", check=False)
    assert outcome.returncode == 3
    assert "gc-max-size: 'very' is not a size" in outcome.stderr + sandbox.log()


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a small disk")
def test_gc_works_on_a_full_disk(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=700", "tmpfs", str(disk)])
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        sandbox.environ["XDG_CACHE_HOME"] = str(disk)
        wheel = build_wheel(tmp_path, "big", "1.0", {"big.py": "", "big_data/x": os.urandom(1 << 20)})
        index.add(wheel)
        project = sandbox.project("big", {}, [f"big==1.0 --hash=sha256:{index.sha256(wheel.name)}"])
        sandbox.sprawl("sync", cwd=project)
        store = disk / "virtual-sprawl"
        sandbox.ctl("gc")
        assert (store / "reserve").stat().st_size == 4 << 20
        with open(disk / "filler", "wb") as file:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            os.posix_fallocate(file.fileno(), 0, free)
        (project / "requirements.txt").unlink()
        collected = json.loads(sandbox.run("sprawlctl", "gc", "--max-age", "0", "--json").stdout)
        assert (collected["sets"], collected["entries"]) == (1, 1)
        assert not (store / "reserve").exists()
        assert os.listdir(store / "trash") == []
        (disk / "filler").unlink()
        sandbox.ctl("gc")
        assert (store / "reserve").exists()
        sandbox.run("sprawlctl", "stop")
        sandbox.run("flock", "--timeout", "20", store / "daemon.lock", "true")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
