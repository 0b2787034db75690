"""The hook is put into an interpreter file by file, works there, and comes out without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.interpreters import newest, on_each_interpreter
from virtual_sprawl import enable as tool
from virtual_sprawl.enable import EnableError, disable, enable, status
from virtual_sprawl.hookfiles import hook_files, parse_list

DEBIAN_PYTHON = Path("/usr/bin/python3")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let user site directories lie in the test's own directory."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    for name in [name for name in os.environ if name.startswith(("VIRTUAL_SPRAWL", "XDG_", "PYTHON"))]:
        monkeypatch.delenv(name)
    return directory


def make_venv(python: Path, directory: Path) -> str:
    """Return the python of a venv: an interpreter whose site directory a test may write to."""
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True)
    return str(directory / "bin/python")


def tree(directory: str | Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in Path(directory).rglob("*")}


def start(python: str, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code],
        env={"HOME": os.environ["HOME"], "PATH": os.defpath, **environ},
        cwd=os.environ["HOME"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_hook_is_what_it_imports_and_no_tool() -> None:
    names = list(hook_files())
    assert {"virtual_sprawl/_hook.py", "virtual_sprawl/connection.py", "virtual_sprawl/finder.py"} <= set(
        names
    )
    cold = {"cli", "ctl", "enable", "hookfiles", "interpreters", "servicefiles", "sitedir"}
    assert not {f"virtual_sprawl/{name}.py" for name in cold} & set(names)
    assert names[-1] == "virtual_sprawl.pth"
    assert "virtual_sprawl.start" not in names


@pytest.mark.parametrize(
    ("version", "name"), [((3, 15, 0), "virtual_sprawl.pth"), ((3, 18, 0), "virtual_sprawl.start")]
)
def test_one_start_up_file_for_each_version(version: tuple[int, ...], name: str) -> None:
    """As PEP 829 has it: 3.15 to 3.17 read either, and load forty modules for a `.start` file."""
    files = hook_files(version)
    assert {file for file in files if "/" not in file} == {name}
    module, _, function = hook_files((3, 18))["virtual_sprawl.start"].decode().strip().partition(":")
    line = hook_files()["virtual_sprawl.pth"].decode().strip()
    assert line.startswith("import ")
    assert f'"{module}"' in line
    assert line.endswith(f'; made.{function}()")')


@on_each_interpreter()
def test_there_and_back_in_every_interpreter(python: Path, tmp_path: Path) -> None:
    target = make_venv(python, tmp_path / "venv")
    site = next((tmp_path / "venv/lib").glob("python*")) / "site-packages"
    before = tree(site)
    report = enable(target)
    assert (report.state, report.scope, Path(report.directory).resolve()) == (
        "enabled",
        "system",
        site.resolve(),
    )
    assert {str(Path(path).relative_to(report.directory)) for path in report.files} == set(hook_files())
    assert status(target)[0].state == "enabled"

    quiet = start(target, "import sys; print('virtual_sprawl' in sys.modules)")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "False\n", "")
    # Without a daemon, and with none to be started, the hook says so: it is whole, and it runs.
    Path(os.environ["HOME"], "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n'
    )
    asked = start(target, "pass", VIRTUAL_SPRAWL="1", VIRTUAL_SPRAWL_DAEMON="never")
    assert asked.returncode == 125
    assert asked.stderr.startswith("virtual-sprawl: ")
    assert asked.stderr.count("\n") == 1

    report = disable(target)
    assert (report.state, report.kept) == ("absent", [])
    assert tree(site) == before
    assert disable(target).state == "absent"


def test_bytecode_is_made_at_once_for_those_who_cannot_write_there(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    previous = os.umask(0o077)
    try:
        report = enable(target)
    finally:
        os.umask(previous)
    package = Path(report.directory, "virtual_sprawl")
    assert {path.name.split(".")[0] for path in package.glob("__pycache__/*.pyc")} == {
        Path(name).stem for name in hook_files() if name.endswith(".py")
    }
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in package.rglob("*"))


def test_the_user_site_directory_of_a_base_interpreter(home: Path) -> None:
    report = enable(str(newest()), "user")
    assert report.state == "enabled"
    assert Path(report.directory).is_relative_to(home)
    assert {each.scope: each.state for each in status(str(newest()))}["user"] == "enabled"
    assert start(str(newest()), "pass").returncode == 0
    assert disable(str(newest())).scope == "user"
    assert not list(home.rglob("virtual_sprawl*"))


def test_enabling_again_repairs_and_removes_what_an_older_release_left(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(enable(target).directory)
    old = site / "virtual_sprawl/olden.py"
    old.write_text("# of an older release\n")
    listing = site / "virtual_sprawl/HOOK-FILES"
    digest = "sha256=4puAnCf9gVwzT91l8LzBpYGXgtbeUHlHCpqS6wIOm-o,22"
    listing.write_text(f"{listing.read_text()}virtual_sprawl/olden.py,{digest}\n")
    (site / "virtual_sprawl/_hook.py").write_text("broken")
    assert status(target)[0].state == "modified"
    assert enable(target).state == "enabled"
    assert not old.exists()
    assert (site / "virtual_sprawl/_hook.py").read_bytes() == hook_files()["virtual_sprawl/_hook.py"]


def test_changed_and_foreign_files_survive_disabling(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(enable(target).directory)
    (site / "virtual_sprawl/finder.py").write_text("# mine\n")
    (site / "virtual_sprawl/notes.txt").write_text("mine\n")
    report = disable(target)
    assert report.kept == [f"{site}/virtual_sprawl/finder.py"]
    assert {name for name in tree(site) if name.startswith("virtual_sprawl")} == {
        "virtual_sprawl",
        "virtual_sprawl/finder.py",
        "virtual_sprawl/notes.txt",
    }


def test_a_list_cannot_name_files_outside() -> None:
    lines = (
        "../../etc/passwd,x",
        "virtual_sprawl/../../evil.py,x",
        "virtual_sprawl/a/b.py,x",
        "/virtual_sprawl/a.py,x",
        "other.pth,x",
        "virtual_sprawl/.py,x",
        "virtual_sprawl/ok.py,x",
        "virtual_sprawl.pth,y",
    )
    assert parse_list("\n".join(lines).encode()) == {"virtual_sprawl/ok.py": "x", "virtual_sprawl.pth": "y"}


def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(status(target)[0].directory)
    (site / "virtual_sprawl.pth").write_text("# somebody's\n")
    with pytest.raises(EnableError) as caught:
        enable(target)
    assert caught.value.code == "enable.foreign-files"
    assert (site / "virtual_sprawl.pth").read_text() == "# somebody's\n"
    assert not (site / "virtual_sprawl").exists()


def test_an_installed_distribution_is_left_to_its_installer(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(status(target)[0].directory)
    (site / "virtual_sprawl-0.1.0.dist-info").mkdir()
    assert enable(target).state == "installed"
    assert disable(target).state == "installed"
    assert tree(site) == {"virtual_sprawl-0.1.0.dist-info"}


def test_a_copy_that_hides_the_hook_undoes_it(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(status(target)[0].directory)
    other = tmp_path / "other/virtual_sprawl"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    (site / "first.pth").write_text(f"import sys; sys.path.insert(0, {str(other.parent)!r})\n")
    before = tree(site)
    with pytest.raises(EnableError) as caught:
        enable(target)
    assert caught.value.code == "enable.not-effective"
    assert tree(site) == before


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    site = Path(status(target)[0].directory)
    # Neither root nor anybody else can make a directory of that name now.
    (site / "virtual_sprawl").write_text("")
    with pytest.raises(EnableError) as caught:
        enable(target)
    assert caught.value.code == "enable.unwritable"
    assert str(site) in caught.value.message


def test_an_externally_managed_interpreter_is_refused_unless_asked_for() -> None:
    if not any(Path("/usr/lib").glob("python3*/EXTERNALLY-MANAGED")) or not DEBIAN_PYTHON.exists():
        pytest.skip("no externally managed Python on this machine")
    with pytest.raises(EnableError) as caught:
        enable(str(DEBIAN_PYTHON))
    assert caught.value.code == "enable.externally-managed"
    assert "--user" in caught.value.hint
    assert enable(str(DEBIAN_PYTHON), "user").state == "enabled"
    assert disable(str(DEBIAN_PYTHON), "user").state == "absent"


def test_a_venv_has_no_user_site_directory(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    for verb in (enable, disable):
        with pytest.raises(EnableError) as caught:
            verb(target, "user")
        assert caught.value.code == "enable.no-site"


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnableError) as caught:
        enable(str(tmp_path / "python"))
    assert caught.value.code == "python.not-found"


def test_an_incomplete_installation_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnableError) as caught:
        hook_files(package=str(tmp_path))
    assert caught.value.code == "enable.incomplete"


def run_tool(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of `verb` as `sprawlctl` does."""
    script = (
        "import argparse, sys\nfrom virtual_sprawl import enable\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--json', action='store_true')\n"
        f"enable.configure_{verb}(parser)\n"
        "parsed = parser.parse_args(); sys.exit(parsed.run(parsed))"
    )
    client = Path(tool.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={"HOME": os.environ["HOME"], "PATH": os.defpath, "PYTHONPATH": str(client)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line(tmp_path: Path) -> None:
    target = make_venv(newest(), tmp_path / "venv")
    done = run_tool("enable", "-p", target, "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "enabled")
    done = run_tool("disable", "--python", target)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "disabled")
    done = run_tool("disable", "--python", target)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "absent")
    done = run_tool("enable", "-p", "3.7")
    assert done.returncode == 1
    assert "[python.unsupported]" in done.stderr
    done = run_tool("enable", "-p", "/nowhere/\x1b[31mred")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert run_tool("enable", "--user", "--system").returncode == 2
