"""An answer is the one packaging gives in the interpreter, and is asked for once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import packaging
import pytest

from sprawld.acquire import probing
from sprawld.acquire.environment import Environments, probe, probe_async
from sprawld.errors import SprawlError
from tests.support.interpreters import interpreters, newest, on_each_interpreter

PACKAGING = str(Path(packaging.__file__).parent.parent)

# Asked in the most direct way there is: no part of the product is in it.
DIRECT = """
import json, os, sys, sysconfig
from importlib import machinery
sys.path.insert(0, sys.argv[1])
from packaging.markers import default_environment
from packaging.tags import sys_tags
print(json.dumps([
    default_environment(), [str(tag) for tag in sys_tags()], list(sys.version_info[:3]),
    sys.implementation.cache_tag, os.path.basename(sysconfig.get_path("stdlib")),
    machinery.EXTENSION_SUFFIXES + machinery.SOURCE_SUFFIXES + machinery.BYTECODE_SUFFIXES,
]))
"""
# 3.8 is too old for the daemon's packaging; its own pip has one of its time.
DIRECT_OLD = DIRECT.replace("sys.path.insert", "# ").replace("from packaging", "from pip._vendor.packaging")


def ask_directly(python: Path, script: str) -> list[object]:
    done = subprocess.run(
        [python, "-B", "-c", script, PACKAGING], capture_output=True, text=True, check=True, cwd="/"
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


@on_each_interpreter("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
def test_the_answer_is_that_of_packaging_in_the_interpreter(python: Path) -> None:
    found = probe(str(python))
    assert [
        found.markers,
        [str(tag) for tag in found.tags],
        list(found.version),
        found.cache_tag,
        found.library,
        list(found.module_suffixes),
    ] == ask_directly(python, DIRECT)
    assert found.executable == str(python.resolve())


@on_each_interpreter("3.9", "3.11", "3.13")
def test_facts_alone_give_the_same_tags(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hold what the daemon computes for an old interpreter against one that can say it itself."""
    expected = probe(str(python))
    monkeypatch.setattr(probing, "_PACKAGING_DIRECTORY", str(tmp_path))
    assert probe(str(python)) == expected


@on_each_interpreter("3.8")
def test_an_interpreter_too_old_for_packaging(python: Path) -> None:
    found = probe(str(python))
    try:
        markers, tags, version, cache_tag, library, suffixes = ask_directly(python, DIRECT_OLD)
    except subprocess.CalledProcessError:
        pytest.skip("this Python 3.8 has no pip to compare with")
    assert found.markers == markers
    # Since then packaging moved `linux_x86_64` to the front and added the last of these.
    assert isinstance(tags, list)
    assert {str(tag) for tag in found.tags} == {*tags, "cp38-none-any"}
    assert [list(found.version), found.cache_tag, found.library, list(found.module_suffixes)] == [
        version,
        cache_tag,
        library,
        suffixes,
    ]


@on_each_interpreter("3.8", "3.10", "3.13")
@pytest.mark.parametrize("copies", [False, True], ids=["symlinks", "copies"])
def test_a_virtual_environment_stands_for_its_base(python: Path, tmp_path: Path, copies: bool) -> None:
    options = ["--copies"] if copies else []
    subprocess.run([python, "-m", "venv", "--without-pip", *options, tmp_path / "venv"], check=True)
    subprocess.run(
        [tmp_path / "venv/bin/python", "-m", "venv", "--without-pip", *options, tmp_path / "nested"],
        check=True,
    )
    expected = probe(str(python))
    assert probe(str(tmp_path / "venv/bin/python")) == expected
    assert probe(str(tmp_path / "nested/bin/python")) == expected


def test_nothing_of_the_callers_environment_reaches_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = str(newest())
    expected = probe(python)
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the project was imported')\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('sitecustomize was run')\n")
    monkeypatch.chdir(tmp_path)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("VIRTUAL_SPRAWL", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert probe(python) == expected


def refusal(executable: object) -> SprawlError:
    with pytest.raises(SprawlError) as caught:
        probe(str(executable))
    return caught.value


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_what_cannot_be_run_is_not_found(tmp_path: Path) -> None:
    assert refusal(tmp_path / "python").code == "python.not-found"
    assert refusal("python3").code == "python.not-found"
    assert refusal(tmp_path).code == "python.not-found"
    assert refusal(f"{tmp_path}/\0").code == "python.not-found"
    (tmp_path / "data").write_text("not executable")
    assert refusal(tmp_path / "data").code == "python.not-found"
    assert refusal(script(tmp_path / "other-machine", "\x7fELF\x00")).code == "python.not-found"


def test_shims_are_refused(tmp_path: Path) -> None:
    shim = script(tmp_path / "python3", f'#!/bin/sh\nexec {newest()} "$@"\n')
    assert refusal(shim).code == "python.unsupported"
    assert "pyenv which" in refusal(shim).hint


def test_programs_that_are_no_python_do_not_answer() -> None:
    for name in ("true", "false", "cat"):
        program = shutil.which(name)
        assert program is not None
        assert refusal(program).code == "python.probe-failed"


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15", "3.7.16"])
def test_old_pythons_are_told_so(version: str) -> None:
    python = Path.home() / ".pyenv/versions" / version / "bin/python"
    if not python.exists():
        pytest.skip(f"no CPython {version} on this machine")
    error = refusal(python)
    assert error.code == "python.unsupported"
    assert "3.8" in error.hint


def test_an_interpreter_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging/__init__.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(probing, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(probing, "_PACKAGING_DIRECTORY", str(tmp_path))
    assert refusal(newest()).code == "python.probe-failed"


def test_memory_answers_until_the_file_changes(tmp_path: Path) -> None:
    directory = tmp_path / "interpreters"
    python = str(newest())
    known = Environments(directory)
    assert known.known(python) is None
    first = known.get_now(python)
    assert known.known(python) is first
    assert known.get_now(python) is first
    assert asyncio.run(known.get(python)) is first
    assert known.statistics() == {"known": 1, "asked": 1}
    assert asyncio.run(probe_async(python)) == first


def test_disk_answers_the_next_daemon_and_is_private(tmp_path: Path) -> None:
    directory = tmp_path / "interpreters"
    python = str(newest())
    first = Environments(directory).get_now(python)
    (kept,) = directory.iterdir()
    assert (kept.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o600, 0o700)
    again = Environments(directory)
    assert again.get_now(python) == first
    # By any name of the same file.
    link = tmp_path / "python-link"
    link.symlink_to(python)
    assert again.get_now(str(link)) == first
    assert again.statistics()["asked"] == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept.write_text("{"),
        lambda kept: kept.write_text("[]"),
        lambda kept: kept.write_text(kept.read_text().replace('"version"', '"versions"')),
        lambda kept: kept.write_text(kept.read_text().replace(packaging.__version__, "1.0", 1)),
        lambda kept: kept.write_text(kept.read_text().replace('"linux"', '["linux"]')),
        lambda kept: kept.chmod(0o666),
        lambda kept: (kept.rename(kept.with_name("moved")), kept.symlink_to("moved")),
        lambda kept: (kept.unlink(), os.mkfifo(kept, 0o600)),
    ],
    ids=["syntax", "shape", "missing", "packaging", "type", "writable", "link", "fifo"],
)
def test_a_copy_on_disk_that_cannot_be_trusted_is_asked_for_again(tmp_path: Path, spoil: object) -> None:
    python = str(newest())
    first = Environments(tmp_path / "i").get_now(python)
    (kept,) = (tmp_path / "i").iterdir()
    assert callable(spoil)
    spoil(kept)
    again = Environments(tmp_path / "i")
    assert again.get_now(python) == first
    assert again.statistics()["asked"] == 1
    # And is right afterwards.
    once_more = Environments(tmp_path / "i")
    assert once_more.get_now(python) == first
    assert once_more.statistics()["asked"] == 0


def test_a_replaced_interpreter_is_asked_again(tmp_path: Path) -> None:
    """A venv's python is copied away to have a file of our own to change; its base stays the same."""
    found = iter(interpreters().values())
    first_python, second_python = next(found), next(found)
    link = tmp_path / "python"
    link.symlink_to(first_python)
    known = Environments(tmp_path / "i")
    first = known.get_now(str(link))
    link.unlink()
    link.symlink_to(second_python)
    assert known.known(str(link)) is None
    assert known.get_now(str(link)) == probe(str(second_python)) != first
    link.unlink()
    assert known.known(str(link)) is None


def test_a_store_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Environments(tmp_path / "file/interpreters").get_now(str(newest())).executable


def test_many_ask_at_once_and_one_is_asked(tmp_path: Path) -> None:
    async def ask() -> int:
        known = Environments(tmp_path / "i")
        answers = await asyncio.gather(*(known.get(str(newest())) for _ in range(5)))
        assert all(answer is answers[0] for answer in answers)
        return known.statistics()["asked"]

    assert asyncio.run(ask()) == 1


def test_identities_differ_between_interpreters() -> None:
    identities = [probe(str(python)).identity for python in interpreters().values()]
    assert len(set(identities)) == len(identities)
    assert all(json.loads(identity)[0].startswith("/") for identity in identities)


def test_an_answer_that_was_asked_for_before_is_used() -> None:
    python = str(newest())
    environments = Environments()
    begun = probing.begin(python)
    environments.asked(python, begun)
    assert environments.get_now(python) == probe(python)
    assert begun.process.returncode == 0
    assert environments.statistics() == {"known": 1, "asked": 1}


def test_an_answer_of_an_interpreter_that_was_replaced_is_not_used(tmp_path: Path) -> None:
    python = str(newest())
    environments = Environments()
    begun = probing.begin(python)._replace(file=tmp_path.stat())
    environments.asked(python, begun)
    assert environments.get_now(python) == probe(python)
    assert begun.process.returncode is not None


def test_an_answer_on_disk_goes_before_one_that_is_asked_for(tmp_path: Path) -> None:
    python = str(newest())
    Environments(tmp_path).get_now(python)
    environments = Environments(tmp_path)
    begun = probing.begin(python)
    environments.asked(python, begun)
    assert environments.get_now(python) == probe(python)
    assert begun.process.returncode is not None
    assert environments.statistics() == {"known": 1, "asked": 0}
