"""From clone to running script: a real daemon, a real index, the commands as they are installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.interpreters import interpreters
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional

SCRIPT = """\
import sys
import alpha, beta
from importlib.metadata import version
print(alpha.WHO, beta.WHO, version("alpha"), version("beta"), *sys.argv[1:])
"""


@pytest.fixture
def wheels(tmp_path: Path, index: SimpleIndex) -> dict[str, Path]:
    directory = tmp_path / "wheels"
    directory.mkdir()
    made = {
        "alpha": build_wheel(
            directory,
            "alpha",
            "1.0",
            {"alpha/__init__.py": "WHO = 'alpha'\n", "alpha/__main__.py": "print('alpha as a module')\n"},
            entry_points={"console_scripts": {"alpha-tool": "alpha.tool:main"}},
        ),
        "beta": build_wheel(directory, "beta", "2.0", {"beta.py": "WHO = 'beta'\n"}),
    }
    for path in made.values():
        index.add(path)
    return made


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, wheels: dict[str, Path]) -> Path:
    return sandbox.project("one", {"script.py": SCRIPT}, pins(index, wheels))


def pins(index: SimpleIndex, wheels: dict[str, Path]) -> list[str]:
    """Lines of a hashed requirements file for these wheels."""
    lines = []
    for path in wheels.values():
        name, version = path.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{index.sha256(path.name)}")
    return lines


def test_a_script_runs_with_the_packages_of_its_lockfile(sandbox: Sandbox, project: Path) -> None:
    outcome = sandbox.sprawl("run", project / "script.py", "an argument", "--and", "-q")
    assert outcome.stdout == "alpha beta 1.0 2.0 an argument --and -q\n"
    assert outcome.stderr == ""


def test_the_second_run_fetches_nothing_and_adds_nothing(
    sandbox: Sandbox, index: SimpleIndex, project: Path, wheels: dict[str, Path]
) -> None:
    sandbox.sprawl("run", project / "script.py")
    before, asked = sandbox.tree(), sum(index.requests.values())
    other = sandbox.project("two", {"deep/er/script.py": SCRIPT}, pins(index, wheels))
    assert sandbox.sprawl("run", project / "script.py", cwd=Path("/")).stdout.startswith("alpha beta")
    assert sandbox.sprawl("run", other / "deep/er/script.py").stdout.startswith("alpha beta")
    assert sandbox.tree() == before
    assert sum(index.requests.values()) == asked
    assert sandbox.status()["store"]["sets"] == 1


def test_module_code_command_and_standard_input(sandbox: Sandbox, project: Path) -> None:
    def run(*words: str, **options: str) -> str:
        return sandbox.sprawl("run", *words, cwd=project, **options).stdout

    assert run("-m", "alpha") == "alpha as a module\n"
    assert run("-c", "import beta, sys; print(beta.WHO, sys.argv)", "x") == "beta ['-c', 'x']\n"
    assert run("-", "y", input="import alpha, sys; print(alpha.WHO, sys.argv)") == "alpha ['-', 'y']\n"
    assert run("python", "-c", "import alpha; print(alpha.WHO)") == "alpha\n"
    assert run("-m", "json.tool", "--indent=0", input='{"a": 1}').split() == ["{", '"a":', "1", "}"]


def test_console_scripts_and_children_run_in_the_same_set(
    sandbox: Sandbox, index: SimpleIndex, tmp_path: Path
) -> None:
    tool = "import subprocess, sys\ndef main():\n    print(sys.argv, flush=True)\n    "
    tool += (
        "subprocess.run([sys.executable, '-I', '-c', 'import gamma; print(gamma.__name__)'], check=True)\n"
    )
    wheel = build_wheel(
        tmp_path,
        "gamma",
        "1.0",
        {"gamma/__init__.py": "", "gamma/tool.py": tool},
        entry_points={"console_scripts": {"gamma-tool": "gamma.tool:main"}},
    )
    index.add(wheel)
    project = sandbox.project("gamma", {}, pins(index, {"gamma": wheel}))
    outcome = sandbox.sprawl("run", "gamma-tool", "-v", cwd=project).stdout.splitlines()
    assert re.fullmatch(r"\['.*/bin/gamma-tool', '-v'\]", outcome[0])
    assert outcome[1] == "gamma"


def test_the_hook_gives_the_same_set_as_the_command(sandbox: Sandbox, project: Path) -> None:
    hooked = sandbox.run(sys.executable, project / "script.py", "z", env={"VIRTUAL_SPRAWL": "1"})
    assert hooked.stdout == "alpha beta 1.0 2.0 z\n"
    where = "import sys; print(sys.prefix)"
    by_hook = sandbox.run(sys.executable, "-c", where, cwd=project, env={"VIRTUAL_SPRAWL": "1"}).stdout
    assert by_hook == sandbox.sprawl("run", "-c", where, cwd=project).stdout
    bare = sandbox.run(sys.executable, "-c", "import alpha", cwd=project, check=False)
    assert bare.returncode == 1


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_another_interpreter(sandbox: Sandbox, project: Path, version: str) -> None:
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"no CPython {version} on this machine")
    code = "import alpha, sys; print('%d.%d' % sys.version_info[:2], alpha.WHO)"
    outcome = sandbox.sprawl(f"+{python}", "run", "-c", code, cwd=project)
    assert outcome.stdout == f"{version} alpha\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.exit(7)", 7),
        ("raise SystemExit('said on stderr')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("1/0", 1),
    ],
)
def test_exit_codes_signals_and_tracebacks_are_pythons_own(
    sandbox: Sandbox, project: Path, code: str, status: int
) -> None:
    sandbox.sprawl("sync", cwd=project)
    (project / "ends.py").write_text(code + "\n")
    ours = sandbox.sprawl("run", project / "ends.py", check=False)
    plain = sandbox.run(sys.executable, project / "ends.py", check=False)
    hooked = sandbox.run(sys.executable, project / "ends.py", check=False, env={"VIRTUAL_SPRAWL": "1"})
    assert ours.returncode == plain.returncode == hooked.returncode == status
    assert ours.stderr == plain.stderr == hooked.stderr


def test_sync_prints_the_set_directory(sandbox: Sandbox, project: Path) -> None:
    directory = Path(sandbox.sprawl("sync", "--print-path", project).stdout.strip())
    assert (directory / "pyvenv.cfg").is_file()
    code = "import alpha, sys; print(sys.prefix)"
    # With no daemon, no variable and no hook in the interpreter: the set stands on its own.
    sandbox.close()
    assert sandbox.run(directory / "bin/python", "-c", code).stdout.strip() == str(directory)
    document = json.loads(sandbox.sprawl("sync", "--json", cwd=project).stdout)
    assert document["set"] == str(directory)
    # The recorded reply was used while a daemon started; a command waits for it, so that it can be stopped.
    sandbox.ctl("gc", "--dry-run")


def test_select_names_artifacts_without_fetching_any(
    sandbox: Sandbox, index: SimpleIndex, project: Path, wheels: dict[str, Path]
) -> None:
    document = json.loads(sandbox.sprawl("select", "--json", project).stdout)
    assert Path(document["lock"]) == project / "requirements.txt"
    assert document["format"].startswith("requirements")
    chosen = {package["name"]: package for package in document["packages"]}
    for name, wheel in wheels.items():
        assert chosen[name]["filename"] == wheel.name
        assert chosen[name]["kind"] == "wheel"
        assert chosen[name]["sha256"] == index.sha256(wheel.name)
        assert index.requests[index.file_path(wheel.name)] == 0
    assert "alpha" in sandbox.sprawl("select", project).stdout


def test_status_tells_what_the_store_holds(sandbox: Sandbox, project: Path) -> None:
    sandbox.sprawl("sync", cwd=project)
    status = sandbox.status()
    assert status["version"]
    assert os.path.isdir(f"/proc/{status['pid']}") or sys.platform != "linux"
    assert status["uptime_s"] >= 0
    assert Path(status["socket"]).is_socket()
    assert Path(status["store"]["path"]) == sandbox.store
    assert (status["store"]["entries"], status["store"]["sets"]) == (2, 1)
    assert status["store"]["bytes"] > 0


def test_stop_and_start_on_demand(sandbox: Sandbox, project: Path) -> None:
    sandbox.sprawl("sync", cwd=project)
    first = sandbox.daemon_pid()
    sandbox.close()
    stopped = sandbox.run("sprawlctl", "status", check=False)
    assert stopped.returncode == 3
    sandbox.sprawl("run", project / "script.py")
    assert sandbox.daemon_pid() != first


def test_gc_keeps_what_is_used_and_takes_what_is_not(sandbox: Sandbox, project: Path) -> None:
    sandbox.sprawl("sync", cwd=project)
    assert sandbox.ctl("gc")["items"] == []
    code = "import alpha; print('up', flush=True); input()"
    running = sandbox.start("sprawl", "run", "-c", code, cwd=project, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    (project / "requirements.txt").unlink()
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 0
    running.kill()
    running.communicate()
    planned = sandbox.ctl("gc", "--max-age", "0", "--dry-run")
    assert (planned["sets"], planned["entries"]) == (1, 2)
    assert sandbox.status()["store"]["sets"] == 1
    assert sandbox.ctl("gc", "--max-age", "0")["bytes"] == planned["bytes"]
    assert sandbox.status()["store"]["entries"] == 0


def test_a_wheel_file_is_installed_and_linked_into_a_venv(
    sandbox: Sandbox, wheels: dict[str, Path], tmp_path: Path
) -> None:
    entry = Path(sandbox.sprawl("install", wheels["alpha"]).stdout.strip())
    assert (entry / "manifest").is_file()
    venv = tmp_path / "venv"
    sandbox.run(sys.executable, "-m", "venv", "--without-pip", venv)
    sandbox.sprawl("install", "--into", venv, wheels["alpha"])
    code = "import alpha; from importlib.metadata import version; print(alpha.WHO, version('alpha'))"
    assert sandbox.run(venv / "bin/python", "-c", code).stdout == "alpha 1.0\n"
    assert (venv / "bin/alpha-tool").exists()
    active = sandbox.sprawl("install", wheels["beta"], env={"VIRTUAL_ENV": str(venv)})
    assert str(venv) in active.stderr
    assert sandbox.run(venv / "bin/python", "-c", "import beta; print(beta.WHO)").stdout == "beta\n"


def test_extras_and_lock_can_be_named_by_the_environment(
    sandbox: Sandbox, project: Path, tmp_path: Path
) -> None:
    lock = {"VIRTUAL_SPRAWL_LOCK": str(project / "requirements.txt")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import alpha; print(alpha.WHO)"
    assert sandbox.sprawl("run", "-c", code, cwd=elsewhere, env=lock).stdout == "alpha\n"
    hooked = sandbox.run(sys.executable, "-c", code, cwd=elsewhere, env={**lock, "VIRTUAL_SPRAWL": "1"})
    assert hooked.stdout == "alpha\n"


@pytest.mark.parametrize("first", ["with a session", "without a session"])
def test_processes_with_and_without_a_session_share_one_daemon(
    sandbox: Sandbox, project: Path, first: str
) -> None:
    session = sandbox.environ
    bare = {name: value for name, value in session.items() if name != "XDG_RUNTIME_DIR"}
    sandbox.environ = session if first == "with a session" else bare
    sandbox.sprawl("sync", cwd=project)
    pid = sandbox.daemon_pid()
    for environ in (session, bare):
        sandbox.environ = environ
        assert sandbox.daemon_pid() == pid
        code = "import alpha; print(alpha.WHO)"
        assert sandbox.sprawl("run", "-c", code, cwd=project).stdout == "alpha\n"
        hooked = sandbox.run(sys.executable, "-c", code, cwd=project, env={"VIRTUAL_SPRAWL": "1"})
        assert hooked.stdout == "alpha\n"
