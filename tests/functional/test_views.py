"""`sprawl view`, `ide`, `kernel` and `run --writable` by their commands, on a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.index import SimpleIndex
from tests.support.sandbox import SCRIPTS, Sandbox
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.functional


class Packages:
    """An index of small wheels, and requirement lines for them."""

    def __init__(self, index: SimpleIndex, directory: Path) -> None:
        self._index = index
        self._directory = directory

    def line(self, name: str, version: str = "1.0", **content: str) -> str:
        files = {f"{name}/__init__.py": f"VERSION = {version!r}\n", f"{name}/py.typed": ""} | {
            f"{name}/{file}.py": text for file, text in content.items()
        }
        wheel = build_wheel(self._directory, name, version, files)
        self._index.add(wheel)
        return f"{name}=={version} --hash=sha256:{self._index.sha256(wheel.name)}"


@pytest.fixture
def packages(index: SimpleIndex, tmp_path: Path) -> Packages:
    return Packages(index, tmp_path / "wheels")


@pytest.fixture
def project(sandbox: Sandbox, packages: Packages) -> Path:
    return sandbox.project("app", {"app.py": "import demo; print(demo.VERSION)\n"}, [packages.line("demo")])


def rewrite(project: Path, *lines: str) -> None:
    partial = project / "requirements.new"
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(project / "requirements.txt")


def moved_after(sandbox: Sandbox, link: Path, before: Path) -> None:
    """Ask the daemon small things until it has moved a link in the background."""
    for _ in range(200):
        if link.resolve() != before:
            return
        sandbox.status()
    raise AssertionError(sandbox.log())


# --- view ---


def test_a_view_works_without_daemon_and_store(sandbox: Sandbox, project: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "venv"
    told = json.loads(sandbox.sprawl("view", "--copy", "--compile", target, "--json", cwd=project).stdout)
    assert told["path"] == str(target)
    assert told["reflink"] + told["copy"] > 0
    assert told["hardlink"] == 0
    again = sandbox.sprawl("view", target, project, check=False)
    assert again.returncode == 125
    assert "[view.exists]" in again.stderr
    assert sandbox.sprawl("view", "--replace", target, project).stdout == f"{target}\n"
    sandbox.close()
    sandbox.store.rename(tmp_path / "gone")
    assert sandbox.run(target / "bin" / "python", project / "app.py").stdout == "1.0\n"


def test_hard_links_are_named_as_read_only(sandbox: Sandbox, project: Path, tmp_path: Path) -> None:
    told = sandbox.sprawl("view", "--link-mode", "hardlink", tmp_path / "venv", cwd=project)
    assert "are hard links to the store, and read-only" in told.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("view",),
        ("view", "--link-mode", "magic", "x"),
        ("view", "--copy", "--link-mode", "hardlink", "x"),
        ("view", "x", "absent"),
        ("ide", "--write"),
        ("kernel", "start-all"),
        ("kernel", "remove"),
        ("kernel", "install", "--name", "a/b"),
        ("run", "--replace", "x.py"),
    ],
)
def test_a_command_line_without_sense_is_refused(
    sandbox: Sandbox, project: Path, words: tuple[str, ...]
) -> None:
    outcome = sandbox.sprawl(*words, cwd=project, check=False)
    assert outcome.returncode == 2, outcome.stderr
    assert outcome.stderr.startswith("sprawl: ")


@pytest.mark.parametrize("command", ["view", "ide", "kernel"])
def test_help_has_an_example(sandbox: Sandbox, command: str) -> None:
    assert "\nexample:\n  " in sandbox.sprawl(command, "--help").stdout


def test_no_lockfile_is_a_refusal(sandbox: Sandbox, tmp_path: Path) -> None:
    for words in (("view", tmp_path / "x"), ("ide",), ("kernel", "install")):
        outcome = sandbox.sprawl(*words, check=False)
        assert outcome.returncode == 125
        assert "[lock.not-found]" in outcome.stderr


# --- ide ---


def test_the_link_follows_the_lock_and_keeps_its_set(
    sandbox: Sandbox, packages: Packages, project: Path
) -> None:
    told = json.loads(sandbox.sprawl("ide", "--json", cwd=project).stdout)
    assert (told["project"], told["venv"]) == (str(project), None)
    link, python = Path(told["link"]), Path(told["python"])
    before = link.resolve()
    assert sandbox.run(python, "-c", "import demo; print(demo.VERSION)").stdout == "1.0\n"
    rewrite(project, packages.line("demo", "2.0"))
    sandbox.sprawl("run", "app.py", cwd=project)
    moved_after(sandbox, link, before)
    assert sandbox.run(python, "-c", "import demo; print(demo.VERSION)").stdout == "2.0\n"
    (entry,) = sandbox.ctl("why", "demo==2.0")["entries"]
    assert entry["sets"][0]["links"] == [{"kind": "ide", "path": str(project)}]
    assert f"link for editors of {project}" in sandbox.run("sprawlctl", "why", "demo==2.0").stdout
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1
    assert sandbox.run(python, "-c", "import demo; print(demo.VERSION)").stdout == "2.0\n"
    assert [row["projects"] for row in sandbox.ctl("ls")["entries"]] == [1]
    assert sandbox.sprawl("ide", "--remove", cwd=project).stdout == f"removed the link of {project}\n"
    assert not link.is_symlink()
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1


def test_a_link_catches_up_with_what_happened_without_a_daemon(
    sandbox: Sandbox, packages: Packages, project: Path
) -> None:
    config = sandbox.home / ".config" / "virtual-sprawl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'index = "{sandbox.environ.pop("VIRTUAL_SPRAWL_INDEX")}"\n')
    older = (project / "requirements.txt").read_text().strip()
    newer = packages.line("demo", "2.0")
    rewrite(project, newer)
    sandbox.sprawl("sync", cwd=project)
    rewrite(project, older)
    told = json.loads(sandbox.sprawl("ide", "--json", cwd=project).stdout)
    link, python = Path(told["link"]), told["python"]
    before = link.resolve()
    sandbox.close()
    rewrite(project, newer)
    sandbox.ctl("gc")
    moved_after(sandbox, link, before)
    assert sandbox.run(python, "-c", "import demo; print(demo.VERSION)").stdout == "2.0\n"
    # What it does not have it does not fetch unasked.
    sandbox.close()
    rewrite(project, packages.line("demo", "3.0"))
    sandbox.ctl("gc")
    sandbox.close()
    assert sandbox.run(python, "-c", "import demo; print(demo.VERSION)").stdout == "2.0\n"
    assert [row["version"] for row in sandbox.ctl("ls")["entries"]] == ["1.0", "2.0"]


def test_a_script_has_a_link_of_its_own(sandbox: Sandbox, packages: Packages, project: Path) -> None:
    script = project / "tool.py"
    script.write_text('# /// script\n# dependencies = ["demo"]\n# ///\nimport demo\n')
    (project / "tool.py.lock").write_text("")
    outcome = sandbox.sprawl("ide", script, check=False)
    assert outcome.returncode == 125
    assert "[lock." in outcome.stderr
    (project / "tool.py.lock").unlink()
    plain = project / "plain.py"
    plain.write_text("import demo\n")
    told = json.loads(sandbox.sprawl("ide", "--json", plain).stdout)
    assert told["project"] == str(project)
    assert "has no link" in sandbox.sprawl("ide", "--remove", plain).stderr
    assert sandbox.sprawl("ide", "--remove", project).stdout == f"removed the link of {project}\n"


def test_venv_link_never_replaces_what_is_real(sandbox: Sandbox, project: Path) -> None:
    subprocess.run(["git", "init", "-q", project], check=True)
    made = sandbox.sprawl("ide", "--venv-link", cwd=project)
    assert "git does not ignore" in made.stderr
    link = project / ".venv"
    assert sandbox.run(link / "bin" / "python", "app.py", cwd=project).stdout == "1.0\n"
    (project / ".gitignore").write_text(".venv\n")
    assert sandbox.sprawl("ide", "--venv-link", cwd=project).stderr == ""
    sandbox.sprawl("ide", "--remove", cwd=project)
    assert not link.is_symlink()
    for make in (link.mkdir, lambda: link.symlink_to("/elsewhere")):
        make()
        outcome = sandbox.sprawl("ide", "--venv-link", cwd=project, check=False)
        assert outcome.returncode == 125
        assert "[ide.not-a-link]" in outcome.stderr
        link.rmdir() if not link.is_symlink() else link.unlink()


def test_settings_are_printed_and_written_only_when_asked(sandbox: Sandbox, project: Path) -> None:
    python = sandbox.sprawl("ide", "--print-path", cwd=project).stdout.strip()
    printed = json.loads(sandbox.sprawl("ide", "--vscode", cwd=project).stdout)
    assert printed == {"python.defaultInterpreterPath": python}
    assert not (project / ".vscode").exists()
    settings = project / ".vscode" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"editor.rulers": [100]}')
    sandbox.sprawl("ide", "--vscode", "--pyright", "--write", cwd=project)
    assert json.loads(settings.read_text()) == {"editor.rulers": [100], **printed}
    pyright = json.loads((project / "pyrightconfig.json").read_text())
    assert os.path.join(pyright["venvPath"], pyright["venv"], "bin", "python") == python
    settings.write_text("{ // mine\n}")
    outcome = sandbox.sprawl("ide", "--vscode", "--write", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[ide.unreadable-settings]" in outcome.stderr
    assert settings.read_text() == "{ // mine\n}"
    settings.unlink()
    settings.parent.rmdir()
    settings.parent.symlink_to(sandbox.home)
    outcome = sandbox.sprawl("ide", "--vscode", "--write", cwd=project, check=False)
    assert "[ide.unwritable]" in outcome.stderr
    assert not (sandbox.home / "settings.json").exists()


# --- kernel ---


@pytest.fixture
def notebook(sandbox: Sandbox, packages: Packages) -> Path:
    line = packages.line("ipykernel", "7.0")
    launcher = build_launcher()
    return sandbox.project("notes", {}, [line, packages.line("ipykernel_launcher", __main__=launcher)])


def build_launcher() -> str:
    return "import sys, ipykernel\nprint(ipykernel.VERSION, sys.argv[1:])\n"


def test_a_kernel_is_installed_started_listed_and_removed(
    sandbox: Sandbox, packages: Packages, notebook: Path
) -> None:
    made = json.loads(sandbox.sprawl("kernel", "install", "--json", cwd=notebook).stdout)
    spec = sandbox.home / ".local" / "share" / "jupyter" / "kernels" / "notes" / "kernel.json"
    assert (made["name"], made["spec"]) == ("notes", str(spec))
    content = json.loads(spec.read_text())
    assert content["display_name"] == "notes (sprawl)"
    assert content["argv"][0] == str(SCRIPTS / "sprawl")
    command = [word.replace("{connection_file}", "/run/c.json") for word in content["argv"]]
    assert sandbox.run(*command).stdout == "7.0 ['-f', '/run/c.json']\n"
    before = next((sandbox.store / "projects").glob("*/venv")).resolve()
    launcher = packages.line("ipykernel_launcher", "1.1", __main__=build_launcher())
    rewrite(notebook, packages.line("ipykernel", "8.0"), launcher)
    assert sandbox.run(*command).stdout == "8.0 ['-f', '/run/c.json']\n"
    listed = json.loads(sandbox.sprawl("kernel", "list", "--json").stdout)["kernels"]
    assert [(row["name"], row["project"]) for row in listed] == [("notes", str(notebook))]
    assert sandbox.sprawl("kernel", "list").stdout.split() == ["notes", str(notebook / "requirements.txt")]
    link = next((sandbox.store / "projects").glob("*/venv"))
    moved_after(sandbox, link, before)
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1
    (entry,) = sandbox.ctl("why", "ipykernel")["entries"]
    assert entry["version"] == "8.0"
    assert entry["sets"][0]["links"] == [{"kind": "kernel", "path": str(spec)}]
    assert sandbox.sprawl("kernel", "remove", "notes").stdout == "removed kernel notes\n"
    assert not spec.parent.exists()
    assert sandbox.ctl("gc", "--max-age", "0")["sets"] == 1


def test_a_kernel_needs_ipykernel_and_takes_no_foreign_name(
    sandbox: Sandbox, project: Path, notebook: Path, tmp_path: Path
) -> None:
    outcome = sandbox.sprawl("kernel", "install", cwd=project, check=False)
    assert outcome.returncode == 125
    assert "[kernel.no-ipykernel]; hint: add it to the lock" in outcome.stderr
    prefix = tmp_path / "prefix"
    foreign = prefix / "share" / "jupyter" / "kernels" / "mine"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": []}')
    words = ("--prefix", prefix, "--name", "mine")
    outcome = sandbox.sprawl("kernel", "install", *words, cwd=notebook, check=False)
    assert "[kernel.foreign]" in outcome.stderr
    outcome = sandbox.sprawl("kernel", "remove", "--prefix", prefix, "mine", check=False)
    assert "[kernel.foreign]" in outcome.stderr
    outcome = sandbox.sprawl("kernel", "remove", "absent", check=False)
    assert "[kernel.not-found]" in outcome.stderr
    sandbox.sprawl("kernel", "install", "--prefix", prefix, "--display-name", "Notes", cwd=notebook)
    spec = prefix / "share" / "jupyter" / "kernels" / "notes" / "kernel.json"
    assert json.loads(spec.read_text())["display_name"] == "Notes"


# --- run --writable ---


WRITE = "import demo, pathlib; p = pathlib.Path(demo.__file__).with_name('own'); print(p.exists()); p.touch()"


def test_a_writable_copy_keeps_what_is_written_until_the_lock_changes(
    sandbox: Sandbox, packages: Packages, project: Path
) -> None:
    assert sandbox.sprawl("run", "--writable", "-c", WRITE, cwd=project).stdout == "False\n"
    assert sandbox.sprawl("run", "--writable", "-c", WRITE, cwd=project).stdout == "True\n"
    assert sandbox.ctl("verify", "--all")["sound"], "nothing of it reached the store"
    (copy,) = [path for path in (sandbox.store / "writable").iterdir() if path.is_dir()]
    assert sandbox.ctl("gc", "--min-free", "0")["items"] == []
    code = "print('up', flush=True); input()"
    running = sandbox.start("sprawl", "run", "--writable", "-c", code, cwd=project, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    rewrite(project, packages.line("demo", "2.0"))
    assert [item["kind"] for item in sandbox.ctl("gc", "--min-free", "0")["items"]] == []
    running.communicate("\n")
    assert copy.exists()
    dry = sandbox.ctl("gc", "--min-free", "0", "--dry-run")["items"]
    assert [(item["kind"], item["name"]) for item in dry] == [("writable", str(project / "requirements.txt"))]
    assert copy.exists()
    (copy.parent / ".killed.sprawl-new-0" / "bin").mkdir(parents=True)
    assert sandbox.ctl("gc", "--min-free", "0")["items"] == dry
    assert os.listdir(sandbox.store / "writable") == []
    assert sandbox.sprawl("run", "--writable", "-c", WRITE, cwd=project).stdout == "False\n"
