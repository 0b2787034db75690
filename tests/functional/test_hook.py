"""The start-up hook in real interpreters: what a warm start changes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sprawld.store.leases import is_leased
from tests.support.fakedaemon import frame
from tests.support.hookstage import PACKAGES, Stage
from tests.support.interpreters import interpreter_cases
from tests.support.sets import examine, install_hook
from virtual_sprawl import protocol

pytestmark = pytest.mark.functional

REPORT = """
import json, os, site, sys, sysconfig
import hello, tool.part, space.left
from importlib import metadata
print(json.dumps({
    "prefix": sys.prefix, "exec_prefix": sys.exec_prefix, "base": sys.base_prefix,
    "executable": sys.executable, "path": sys.path, "variable": os.environ.get("VIRTUAL_SPRAWL"),
    "user": site.ENABLE_USER_SITE, "sites": site.getsitepackages(), "prefixes": site.PREFIXES,
    "purelib": sysconfig.get_path("purelib"), "scripts": sysconfig.get_path("scripts"),
    "hello": hello.where(), "values": [tool.part.value, space.left.value],
    "version": metadata.version("demo"), "names": [d.metadata["Name"] for d in metadata.distributions()],
    "own": sorted(name for name in sys.modules if name.startswith("virtual_sprawl")),
}))
"""
MODULES = "import sys; print(*sorted(sys.modules))"


@pytest.fixture(scope="module", params=interpreter_cases())
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), request.param)


def test_a_warm_start_runs_on_the_set(stage: Stage) -> None:
    before = stage.files()
    with stage.daemon() as daemon:
        report = json.loads(stage.output("-c", REPORT))
    assert daemon.connections == len(daemon.requests) == 1
    made = stage.set
    assert report["prefix"] == report["exec_prefix"] == str(made.path)
    assert report["executable"] == str(made.python)
    assert report["base"] != report["prefix"]
    assert report["path"][-1] == str(made.site_packages)
    assert not [path for path in report["path"][:-1] if path.endswith("-packages")]
    assert report["user"] is False
    ask = [made.python, "-c", "import site; print(site.PREFIXES)"]
    assert str(report["prefixes"]) == subprocess.check_output(ask, text=True).strip()
    # Debian's Python goes on with its dist-packages, in virtual environments too.
    assert report["sites"][0] == report["purelib"] == str(made.site_packages)
    assert all(path.startswith(f"{made.path}/") for path in report["sites"])
    assert report["scripts"] == str(made.path / "bin")
    assert report["variable"] is None
    assert report["hello"] == str(made.site_packages / "hello.py")
    assert report["values"] == [1, 2]
    assert (report["version"], report["names"]) == ("1.5", ["demo"])
    assert report["own"] == []
    assert stage.files() == before, "nothing is written into the store"


def test_the_question_says_who_asks_from_where(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/script.py").write_text("")
    (tmp_path / "link.py").symlink_to("real/script.py")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__main__.py").write_text("")
    base = {"python": str(examine(stage.python).executable), "tag": examine(stage.python).cache_tag}
    nothing = dict.fromkeys(("script", "lock", "extras", "groups", "options"), "")
    cases: list[tuple[list[str], dict[str, str], dict[str, str]]] = [
        (["-c", "pass"], {}, {"start": str(stage.project)}),
        (["-m", "this"], {}, {"start": str(stage.project)}),
        ([f"{tmp_path}/link.py"], {}, {"start": f"{tmp_path}/real", "script": f"{tmp_path}/real/script.py"}),
        ([f"{tmp_path}/app"], {}, {"start": f"{tmp_path}/app", "script": f"{tmp_path}/app"}),
        (
            ["-c", "pass"],
            {
                "VIRTUAL_SPRAWL_LOCK": "a.lock",
                "VIRTUAL_SPRAWL_EXTRAS": "x,y",
                "VIRTUAL_SPRAWL_GROUPS": "g",
                "VIRTUAL_SPRAWL_OPTIONS": "offline",
                "PIP_INDEX_URL": "http://127.0.0.1/simple",
            },
            {
                "start": str(stage.project),
                "lock": str(stage.project / "a.lock"),
                "extras": "x,y",
                "groups": "g",
                "options": "offline",
                "pip-index": "http://127.0.0.1/simple",
            },
        ),
    ]
    with stage.daemon() as daemon:
        for arguments, environ, expected in cases:
            stage.output(*arguments, environ=environ)
            assert daemon.requests[-1].fields == {**base, **nothing, **expected}
    assert list(daemon.requests[-1].fields)[:8] == [*base, "start", *nothing]


def test_a_warm_start_loads_two_modules_and_keeps_none_of_ours(stage: Stage) -> None:
    bare = set(stage.output("-c", MODULES, mode=None).split())
    with stage.daemon():
        active = set(stage.output("-c", MODULES).split())
    assert active - bare <= {"_socket", "fcntl"}


def test_without_the_variable_nothing_is_loaded(stage: Stage) -> None:
    bare = stage.output("-s", "-c", MODULES, mode=None)
    for mode in (None, "", "0"):
        loaded = set(stage.output("-c", MODULES, mode=mode).split()) - set(bare.split())
        # Another value than none at all has to be looked at.
        own = {name for name in loaded if mode == "0" and name.partition(".")[0] == "virtual_sprawl"}
        # What newer versions decode any `.pth` file with.
        assert loaded - {"encodings.utf_8_sig"} <= own, mode


def test_start_up_files_may_run_twice(stage: Stage) -> None:
    again = stage.user_site / "zz_again.pth"
    shutil.copy(stage.user_site / "virtual_sprawl.pth", again)
    try:
        with stage.daemon() as daemon:
            stage.output("-c", "import hello")
    finally:
        again.unlink()
    assert daemon.connections == 1


@pytest.mark.parametrize("flag", ["-E", "-I", "-s", "-S"])
def test_flags_that_keep_the_hook_away(stage: Stage, flag: str) -> None:
    with stage.daemon() as daemon:
        assert stage.output(flag, "-c", "import sys; print(sys.prefix == sys.base_prefix)") == "True\n"
    assert daemon.connections == 0


def test_no_lockfile_changes_nothing(stage: Stage) -> None:
    question = (
        "import os, sys; print(sys.path, sys.prefix, sys.executable, len(sys.meta_path), len(sys.path_hooks))"
    )
    plain = stage.output("-c", question, mode=None)
    with stage.daemon(frame(protocol.NO_LOCK)) as daemon:
        assert stage.output("-c", question) == plain
        assert stage.output("-c", "import os; print(os.environ['VIRTUAL_SPRAWL'])") == "1\n"
    assert daemon.connections == 2


def test_precedence_is_script_then_pythonpath_then_stdlib_then_set(stage: Stage, tmp_path: Path) -> None:
    for place in ("script", "user"):
        (tmp_path / place).mkdir()
    (tmp_path / "script/main.py").write_text(
        "import sys, hello, json; print(hello.__file__); print(*sys.path)"
    )
    (tmp_path / "user/hello.py").write_text("")
    with stage.daemon():
        first, path = stage.output(
            tmp_path / "script/main.py", environ={"PYTHONPATH": str(tmp_path / "user")}
        ).splitlines()
        assert first == str(tmp_path / "user/hello.py")
        (tmp_path / "script/hello.py").write_text("")
        assert stage.output(tmp_path / "script/main.py").startswith(str(tmp_path / "script/hello.py"))
    entries = path.split()
    assert entries[:2] == [str(tmp_path / "script"), str(tmp_path / "user")]
    assert entries[-1] == str(stage.set.site_packages)
    assert str(stage.user_site) not in entries


def test_the_lease_is_held_for_life_and_freed_by_the_kernel(stage: Stage) -> None:
    program = "import os; print(os.getpid(), flush=True); input(); os.fork() and os._exit(0); input()"
    with stage.daemon():
        process = subprocess.Popen(
            [stage.python, "-c", program],
            env={**stage.environ, "VIRTUAL_SPRAWL": "1"},
            cwd=stage.project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"%d\n" % process.pid
    with process:
        # The daemon is gone; the lease is not.
        assert is_leased(stage.set.path)
        numbers = map(int, os.listdir(f"/proc/{process.pid}/fd"))
        assert {number for number in numbers if number < 200} == {0, 1, 2}
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait() == 0
        # A fork keeps it, until its end of the pipe tells that it is gone as well.
        assert is_leased(stage.set.path)
        process.stdin.close()
        assert process.stdout.read() == b""
        process.stdin = None
    assert not is_leased(stage.set.path)


@pytest.mark.parametrize("name", ["sprawl", "sprawlctl", "sprawld"])
def test_our_own_programs_keep_their_packages(stage: Stage, name: str) -> None:
    (stage.project / name).write_text("import sys, virtual_sprawl; print(sys.prefix == sys.base_prefix)")
    with stage.daemon() as daemon:
        assert stage.output(stage.project / name) == "True\n"
    assert daemon.connections == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a store away")
def test_the_store_of_another_user_is_not_used(stage: Stage) -> None:
    os.chown(stage.store, 65534, -1)
    try:
        with stage.daemon() as daemon:
            assert stage.output("-c", "import sys; print(sys.prefix == sys.base_prefix)") == "True\n"
        assert daemon.connections == 0
    finally:
        os.chown(stage.store, os.geteuid(), -1)


@pytest.mark.skipif(not Path("/proc/self/exe").exists(), reason="needs /proc")
def test_programs_that_embed_python_are_left_alone(stage: Stage) -> None:
    if examine(stage.python).cache_tag in ("cpython-38", "cpython-39"):
        pytest.skip("3.8 and 3.9 do not tell the program's name")
    done = subprocess.run(
        ["uwsgi", "-c", "import sys; print(sys.prefix == sys.base_prefix)"],
        executable=stage.python,
        env={**stage.environ, "VIRTUAL_SPRAWL": "1", "PYTHONHOME": stage.python.parents[1]},
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"True\n", b"")


def test_a_set_may_hold_extension_modules(tmp_path: Path, stage: Stage) -> None:
    source = stage.output("-c", "import _queue; print(getattr(_queue, '__file__', ''))", mode=None).strip()
    if not source:
        pytest.skip("this interpreter has its extension modules built in")
    name = f"_queue{examine(stage.python).suffixes[0]}"
    native = Stage(
        tmp_path, stage.python, {**PACKAGES, f"kit/{name}": Path(source).read_bytes(), "kit/__init__.py": ""}
    )
    with native.daemon():
        output = native.output("-c", "from kit import _queue; print(_queue.__file__); _queue.SimpleQueue()")
    assert output.strip() == str(native.set.site_packages / "kit" / name)


def test_a_hook_in_a_virtual_environment_acts_there(tmp_path: Path, stage: Stage) -> None:
    subprocess.run([stage.python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    site = tmp_path / "venv/lib" / examine(stage.python).library / "site-packages"
    install_hook(site, stage.python)
    (site / "leftover.py").write_text("")
    program = "import sys, hello; print(sys.prefix, 'leftover' in sys.modules, *sys.path)"
    with stage.daemon() as daemon:
        for flags in ([], ["-s"]):
            output = stage.output(*flags, "-c", program, python=python)
            assert output.startswith(f"{stage.set.path} False")
            assert str(site) not in output.split()
        assert os.path.samefile(daemon.requests[-1].fields["python"], stage.python)
        done = stage.run("-I", "-c", "import sys; print(sys.prefix)", python=python)
        assert done.stdout.strip() == str(tmp_path / "venv")
    assert daemon.connections == 2
