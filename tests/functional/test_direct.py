"""Warm starts that ask no daemon: which answers they take from disk, and what makes them ask after all."""

from __future__ import annotations

import marshal
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sprawld.hotpath import check_of
from sprawld.pathsets import setindex
from sprawld.store.leases import is_leased
from tests.support.hookstage import Stage
from tests.support.interpreters import interpreter_cases, newest
from tests.support.sets import examine
from tests.support.wheels import build_wheel
from virtual_sprawl import direct, topfinder

if TYPE_CHECKING:
    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

PREFIX = "import sys; print(sys.prefix)"
MODULES = "import sys; print(*sorted(sys.modules))"
NOTHING = dict.fromkeys(("script", "lock", "extras", "groups", "options"), "")


@pytest.fixture(scope="module", params=interpreter_cases())
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), request.param)


@pytest.fixture
def fresh(tmp_path: Path) -> Stage:
    return Stage(tmp_path, newest())


def record(stage: Stage, fields: Mapping[str, str] | None = None, **changed: Any) -> Path:
    """Write the record of a start in the project, as the daemon would."""
    lock = stage.project / "pylock.toml"
    lock.touch()
    known = examine(stage.python)
    key = direct.key_of(
        {
            "python": str(known.executable),
            "tag": known.cache_tag,
            "start": str(stage.project),
            **NOTHING,
            **(fields or {}),
        }
    )
    nearer = stage.project / "uv.lock"
    checks = tuple(check_of(str(path)) for path in (lock, nearer, stage.store / "wheels"))
    names = ("format", "key", "checks", "directory", "site_packages", "start_up")
    values = (direct.FORMAT, key, checks, str(stage.set.path), str(stage.set.site_packages), ())
    content = tuple((dict(zip(names, values, strict=True)) | changed).values())
    path = stage.store / direct.DIRECTORY / direct.name_of(key)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(marshal.dumps(content, 4))
    path.chmod(0o600)
    return path


def test_the_format_names_that_of_the_index() -> None:
    assert direct.FORMAT[1] == topfinder.INDEX_FORMAT == setindex.FORMAT


def test_a_start_with_a_record_asks_nobody(stage: Stage) -> None:
    record(stage)
    before = stage.files()
    program = f"{PREFIX}; import hello, tool.part, space.left; print(hello.where(), sys.path[-1])"
    with stage.daemon() as daemon:
        prefix, rest = stage.output("-c", program).splitlines()
    assert daemon.connections == 0
    assert prefix == str(stage.set.path)
    assert rest.split() == [str(stage.set.site_packages / "hello.py"), str(stage.set.site_packages)]
    assert stage.files() == before


def test_what_is_imported_then_is_found_by_our_finder(stage: Stage) -> None:
    record(stage)
    shown = "print(type(tool.part.__loader__).__name__, type(sys.path_importer_cache[sys.path[-1]]).__name__)"
    assert stage.output("-c", f"import sys, tool.part; {shown}").split() == ["StoreSourceLoader", "TopFinder"]


def test_it_loads_one_module_and_keeps_none_of_ours(stage: Stage) -> None:
    record(stage)
    bare = set(stage.output("-c", MODULES, mode=None).split())
    assert set(stage.output("-c", MODULES).split()) - bare <= {"fcntl"}
    imported = set(stage.output("-c", f"import hello; {MODULES}").split()) - bare
    assert imported <= {"fcntl", "gc", "hello"}


def test_the_lease_is_held_and_tells_of_the_use(stage: Stage) -> None:
    record(stage)
    os.utime(stage.set.path / "lease", (0, 0))
    started = time.time()
    process = subprocess.Popen(
        [stage.python, "-c", "print(flush=True); input()"],
        env={**stage.environ, "VIRTUAL_SPRAWL": "1"},
        cwd=stage.project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert is_leased(stage.set.path)
        process.stdin.close()
    assert (stage.set.path / "lease").stat().st_mtime >= started - 1


def test_a_use_within_the_hour_is_not_told_again(fresh: Stage) -> None:
    record(fresh)
    lately = time.time() - 600
    os.utime(fresh.set.path / "lease", (lately, lately))
    fresh.output("-c", "pass")
    assert (fresh.set.path / "lease").stat().st_mtime == pytest.approx(lately)


def change_the_lock(stage: Stage) -> None:
    (stage.project / "pylock.toml").write_text("changed")


def put_a_nearer_lock(stage: Stage) -> None:
    (stage.project / "uv.lock").touch()


def take_an_entry_away(stage: Stage) -> None:
    (stage.store / "wheels" / ("0" * 64)).mkdir()


def collect_the_set(stage: Stage) -> None:
    shutil.move(stage.set.path, stage.root / "trash")


def take_the_lease_away(stage: Stage) -> None:
    (stage.set.path / "lease").unlink()


@pytest.mark.parametrize(
    "change",
    [change_the_lock, put_a_nearer_lock, take_an_entry_away, collect_the_set, take_the_lease_away],
)
def test_a_change_makes_it_ask(fresh: Stage, change: Callable[[Stage], None]) -> None:
    record(fresh)
    change(fresh)
    with fresh.daemon() as daemon:
        fresh.run("-c", "pass")
    assert daemon.connections > 0


@pytest.mark.parametrize(
    "changed",
    [
        {"format": (0, 0)},
        {"key": b"of somebody else"},
        {"checks": ((1, 2),)},
        {"directory": "/nonexistent"},
        {"more": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_record_is_none(fresh: Stage, changed: dict[str, Any]) -> None:
    record(fresh, **changed)
    with fresh.daemon() as daemon:
        assert fresh.output("-c", PREFIX) == f"{fresh.set.path}\n"
    assert daemon.connections == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"garbage"])
def test_a_damaged_record_is_none(fresh: Stage, content: bytes) -> None:
    record(fresh).write_bytes(content)
    with fresh.daemon() as daemon:
        assert fresh.output("-c", PREFIX) == f"{fresh.set.path}\n"
    assert daemon.connections == 1


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_record_that_others_can_write_is_none(fresh: Stage, mode: int) -> None:
    record(fresh).chmod(mode)
    with fresh.daemon() as daemon:
        fresh.output("-c", "pass")
    assert daemon.connections == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_record_of_another_user_is_none(fresh: Stage) -> None:
    os.chown(record(fresh), 65534, -1)
    with fresh.daemon() as daemon:
        fresh.output("-c", "pass")
    assert daemon.connections == 1


def test_every_setting_of_the_request_counts(fresh: Stage) -> None:
    record(fresh)
    with fresh.daemon() as daemon:
        for name in ("LOCK", "EXTRAS", "GROUPS", "OPTIONS", "INDEX"):
            fresh.output("-c", "pass", environ={f"VIRTUAL_SPRAWL_{name}": "x"})
    assert daemon.connections == 5
    record(fresh, {"extras": "x"})
    with fresh.daemon() as daemon:
        fresh.output("-c", "pass", environ={"VIRTUAL_SPRAWL_EXTRAS": "x"})
    assert daemon.connections == 0


def test_a_damaged_index_leaves_the_set_to_cpython(fresh: Stage) -> None:
    record(fresh)
    index = fresh.set.path / "index"
    index.chmod(0o644)
    index.write_bytes(b"garbage")
    before = fresh.files()
    output = fresh.output("-c", "import sys, hello; print(hello.where(), sys.dont_write_bytecode)")
    assert output.split() == [str(fresh.set.site_packages / "hello.py"), "True"]
    assert fresh.files() == before


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_what_a_warm_start_costs(fresh: Stage, tmp_path: Path) -> None:
    """Counted in calls of the system, which no other load on the machine changes."""
    record(fresh)
    (tmp_path / "bare").mkdir()

    def calls(mode: str | None) -> list[str]:
        log = tmp_path / f"calls-{mode}"
        words = ["strace", "-o", str(log), str(fresh.python), "-c", "pass"]
        environ = fresh.environ | ({} if mode is None else {"VIRTUAL_SPRAWL": mode})
        subprocess.run(words, env=environ, cwd=fresh.project, check=True)
        return log.read_text().splitlines()

    fresh.output("-c", "pass")
    bare, warm = calls(None), calls("1")
    assert len(warm) - len(bare) < 50
    opened = [line for line in warm if line.startswith("openat(") and '"ENOENT' not in line]
    ours = [line for line in opened if "/virtual_sprawl/" in line or str(fresh.store) in line]
    assert len(ours) <= 7
    assert not [line for line in warm if "/fcntl." in line], "the lease needs none"
    assert not [line for line in warm if line.startswith(("socket(", "connect("))]
    assert not [line for line in ours if "finder." in line and "topfinder." not in line]


SCRIPT = "import alpha; print(alpha.__file__)\n"


def test_the_daemon_writes_a_record_when_nothing_is_left_to_do(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    path = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": ""})
    index.add(path)
    project = sandbox.project(
        "one", {"script.py": SCRIPT}, [f"alpha==1.0 --hash=sha256:{index.sha256(path.name)}"]
    )
    records = sandbox.store / direct.DIRECTORY
    sandbox.sprawl("run", project / "script.py")
    # Durable and packed comes when it comes; whoever asks meanwhile offers the answer again.
    while not [path for path in records.iterdir() if path.name != ".client"]:
        expected = sandbox.sprawl("run", project / "script.py").stdout
        assert expected
    served = sandbox.status()["requests"]
    assert sandbox.sprawl("run", project / "script.py").stdout == expected
    assert sandbox.status()["requests"] == served + 1, "that of `status` itself"
    with (project / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    assert sandbox.sprawl("run", project / "script.py").stdout == expected
    assert sandbox.status()["requests"] == served + 3


def test_a_lock_is_known_on_disk_before_its_starts_ask_nobody(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    path = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": ""})
    index.add(path)
    lines = [f"alpha==1.0 --hash=sha256:{index.sha256(path.name)}"]
    first, second = (sandbox.project(name, {"script.py": SCRIPT}, lines) for name in ("one", "two"))
    sandbox.sprawl("run", first / "script.py")
    while not any(
        os.fsencode(second) in path.read_bytes() for path in (sandbox.store / direct.DIRECTORY).iterdir()
    ):
        sandbox.sprawl("run", second / "script.py")
    os.kill(sandbox.daemon_pid(), signal.SIGKILL)
    (first / "requirements.txt").unlink()
    assert sandbox.ctl("gc", "--max-age", "30d", "--dry-run")["items"] == []


@pytest.mark.parametrize("arguments", [("run", "-q", "true"), ("sync",)])
def test_a_command_that_is_not_python_tells_of_the_use(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = build_wheel(tmp_path, "alpha", "1.0", {"alpha/__init__.py": ""})
    index.add(path)
    project = sandbox.project("one", {}, [f"alpha==1.0 --hash=sha256:{index.sha256(path.name)}"])
    lease = Path(sandbox.sprawl("sync", "--print-path", cwd=project).stdout.strip(), "lease")
    os.utime(lease, (0, 0))
    started = time.time()
    sandbox.sprawl(*arguments, cwd=project)
    assert lease.stat().st_mtime >= started - 1
