"""Where and how people start things that are not the plain case: no directory, no file, no sense."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sandbox import SCRIPTS
from tests.support.wheels import build_wheel

if TYPE_CHECKING:
    from tests.support.index import SimpleIndex
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.functional


@pytest.fixture
def project(sandbox: Sandbox, index: SimpleIndex, tmp_path: Path) -> Path:
    wheel = build_wheel(tmp_path, "alpha", "1.0", {"alpha.py": "WHO = 'alpha'\n"})
    index.add(wheel)
    pin = f"alpha==1.0 --hash=sha256:{index.sha256(wheel.name)}"
    program = "import alpha, sys\nprint(alpha.WHO, sys.path[0])\n"
    files = {"tool/__main__.py": program, "empty/data.txt": "", "script.py": program}
    return sandbox.project("one", files, [pin])


@pytest.mark.parametrize(
    "words", [["run", "-c", "pass"], ["sync"], ["select"], ["run", "--lock", "x.lock", "-c", ""]]
)
def test_a_working_directory_that_is_gone_is_one_sentence(
    sandbox: Sandbox, tmp_path: Path, words: list[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    outcome = sandbox.run("sh", "-c", line, "sh", gone, SCRIPTS / "sprawl", *words, check=False)
    assert outcome.returncode == 2
    assert outcome.stderr == "sprawl: the working directory does not exist any more; change to another one\n"


def test_a_directory_is_run_on_the_lock_above_it(sandbox: Sandbox, project: Path) -> None:
    tool = project / "tool"
    assert sandbox.sprawl("run", tool, cwd=Path("/")).stdout == f"alpha {tool}\n"
    assert sandbox.sprawl("run", ".", cwd=tool).stdout == f"alpha {tool}\n"
    hooked = {"VIRTUAL_SPRAWL": "1"}
    assert sandbox.run(SCRIPTS / "python", tool, env=hooked).stdout == f"alpha {tool}\n"


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["run", "empty"], 127, "[script.not-found]"),
        (["run", "."], 127, "[script.not-found]"),
        (["run", ""], 2, "needs a script"),
        (["+", "run", "script.py"], 2, "needs a version"),
        (["run", "-O", "script.py"], 2, "sprawl run python -O"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(
    sandbox: Sandbox, project: Path, words: list[str], status: int, code: str
) -> None:
    outcome = sandbox.sprawl(*words, cwd=project, check=False)
    assert (outcome.returncode, outcome.stderr.count("\n")) == (status, 1)
    assert code in outcome.stderr


def test_a_table_in_a_pipe_keeps_names_whole(sandbox: Sandbox, project: Path) -> None:
    outcome = sandbox.sprawl("select", cwd=project, env={"COLUMNS": "20"})
    assert "alpha-1.0-py3-none-any.whl" in outcome.stdout


def test_why_the_daemon_cannot_start_is_told_at_once(sandbox: Sandbox, project: Path) -> None:
    settings = sandbox.home / ".config/virtual-sprawl/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("index = 3\n")
    outcome = sandbox.sprawl("run", project / "script.py", check=False)
    assert outcome.returncode == 125
    assert "the daemon cannot start" in outcome.stderr
    assert "[config.invalid]" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_no_control_sequence_of_a_name_reaches_the_terminal(sandbox: Sandbox) -> None:
    for words in (["run", "\x1b[31m.py"], ["sync", "\x1b[31m"], ["run", "-\x1b"], ["\x1b"]):
        assert "\x1b" not in sandbox.sprawl(*words, check=False).stderr


@pytest.mark.parametrize("command", ["sprawl", "sprawlctl", "sprawld"])
def test_help_has_an_example(sandbox: Sandbox, command: str) -> None:
    assert "example:" in sandbox.run(SCRIPTS / command, "--help").stdout


def test_few_descriptors_are_enough(sandbox: Sandbox, project: Path) -> None:
    sandbox.sprawl("sync", project)
    line = 'ulimit -n 20 && exec "$@"'
    outcome = sandbox.run("sh", "-c", line, "sh", SCRIPTS / "sprawl", "run", project / "script.py")
    assert outcome.stdout == f"alpha {project}\n"


def test_a_refusal_without_stderr_keeps_its_status(sandbox: Sandbox) -> None:
    outcome = sandbox.run("sh", "-c", 'exec "$@" 2>&-', "sh", SCRIPTS / "sprawl", "run", "no.py", check=False)
    assert outcome.returncode == 127


def test_a_command_of_somebody_else_is_run_and_said_so(sandbox: Sandbox, project: Path) -> None:
    """`make` is meant; a `pytest` that is not in the lock is not the one that anybody expects."""
    outcome = sandbox.sprawl("run", "true", cwd=project)
    assert (outcome.stdout, outcome.stderr) == (
        "",
        "sprawl: 'true' is not in the locked packages: running /usr/bin/true\n",
    )
    assert sandbox.sprawl("run", "-q", "true", cwd=project).stderr == ""
    assert sandbox.sprawl("run", "/usr/bin/true", cwd=project).stderr == ""
    assert sandbox.sprawl("run", "python", "-c", "", cwd=project).stderr == ""


def test_no_other_pip_is_run_in_the_name_of_the_lock(sandbox: Sandbox, project: Path) -> None:
    outcome = sandbox.sprawl("run", "pip3.11", "install", "beta", cwd=project, check=False)
    assert (outcome.returncode, outcome.stdout) == (127, "")
    assert "[command.not-found]" in outcome.stderr
