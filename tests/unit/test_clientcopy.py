"""The client copy: named by content, whole or made anew, compiled once by each interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from sprawld.errors import InterpreterError, StoreError
from sprawld.pathsets.clientcopy import (
    COPY_NAME,
    client_digest,
    compile_client_copy,
    ensure_client_copy,
    is_compiled,
)
from tests.support.interpreters import newest, on_each_interpreter
from tests.support.workshop import CLIENT, environment_of


@pytest.fixture
def package(tmp_path: Path) -> Path:
    directory = tmp_path / "package"
    directory.mkdir()
    for name, source in {
        "__init__.py": "attribute = 1\n",
        "_enter.py": "from . import linked, attribute\nfrom .lease import take\ndef enter(): take()\n",
        "_finder.py": "import os\nfrom . import (\n    packs as p,  # why\n    attribute,\n)\n",
        "packs.py": "",
        "linked.py": "import os\n",
        "known.py": "",
        "outside.py": "",
        "readonly.py": "",
        "lease.py": "def take():\n    '''Doc.'''\n    from .deep import x\n    assert x\n",
        "deep.py": "x = 1\n",
        "cli.py": "raise SystemExit\n",
    }.items():
        (directory / name).write_text(source)
    return directory


def test_the_copy_has_what_a_set_imports_and_no_more(package: Path, tmp_path: Path) -> None:
    digest = ensure_client_copy(tmp_path / "store", package)
    copy = tmp_path / "store/client" / digest / COPY_NAME
    assert sorted(os.listdir(copy)) == [
        "__init__.py",
        "__pycache__",
        "_enter.py",
        "_finder.py",
        "deep.py",
        "known.py",
        "lease.py",
        "linked.py",
        "outside.py",
        "packs.py",
        "readonly.py",
    ]
    assert (copy / "lease.py").read_bytes() == (package / "lease.py").read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o555
    assert (copy / "_enter.py").stat().st_mode & 0o333 == 0
    assert os.listdir(tmp_path / "store/tmp") == []


def test_the_digest_follows_the_files(package: Path) -> None:
    before = client_digest(package)
    assert len(before) == 40
    (package / "cli.py").write_text("pass\n")
    assert client_digest(package) == before
    (package / "deep.py").write_text("x = 2\n")
    assert client_digest(package) != before


def test_it_is_made_once(package: Path, tmp_path: Path) -> None:
    digest = ensure_client_copy(tmp_path, package)
    inode = (tmp_path / "client" / digest).stat().st_ino
    assert ensure_client_copy(tmp_path, package) == digest == client_digest(package)
    assert (tmp_path / "client" / digest).stat().st_ino == inode


@pytest.mark.parametrize("damage", ["cut", "gone", "changed", "empty"])
def test_a_damaged_copy_is_replaced(package: Path, tmp_path: Path, damage: str) -> None:
    digest = ensure_client_copy(tmp_path, package)
    copy = tmp_path / "client" / digest / COPY_NAME
    copy.chmod(0o755)
    (copy / "_enter.py").chmod(0o644)
    if damage == "cut":
        os.truncate(copy / "_enter.py", 0)
    elif damage == "gone":
        (copy / "_enter.py").unlink()
    elif damage == "changed":
        (copy / "_enter.py").write_text("import evil\n")
    else:
        shutil.rmtree(copy)
    assert ensure_client_copy(tmp_path, package) == digest
    assert (copy / "_enter.py").read_bytes() == (package / "_enter.py").read_bytes()
    assert not (tmp_path / "trash").exists() or len(os.listdir(tmp_path / "trash")) == 1


def test_threads_make_one_copy(package: Path, tmp_path: Path) -> None:
    answers: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        answers.append(ensure_client_copy(tmp_path, package))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [client_digest(package)] * 8
    assert os.listdir(tmp_path / "client") == answers[:1]
    assert os.listdir(tmp_path / "tmp") == []


def test_a_client_that_is_not_whole_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "deep.py").unlink()
    with pytest.raises(StoreError) as caught:
        ensure_client_copy(tmp_path, package)
    assert caught.value.code == "store.damaged"


def test_a_store_that_cannot_be_written_is_an_error(package: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError) as caught:
        ensure_client_copy(tmp_path / "store", package)
    assert caught.value.code == "store.unwritable"


@on_each_interpreter()
def test_an_interpreter_reads_the_bytecode_it_wrote(python: Path, package: Path, tmp_path: Path) -> None:
    digest = ensure_client_copy(tmp_path, package)
    compile_client_copy(str(python), tmp_path / "client" / digest)
    compile_client_copy(str(python), tmp_path / "client" / digest / COPY_NAME)
    copy = tmp_path / "client" / digest / COPY_NAME
    tag = environment_of(python).cache_tag
    assert sorted(os.listdir(copy / "__pycache__")) == sorted(
        f"{module}.{tag}{level}.pyc"
        for module in (
            "__init__",
            "_enter",
            "_finder",
            "deep",
            "known",
            "lease",
            "linked",
            "outside",
            "packs",
            "readonly",
        )
        for level in ("", ".opt-1", ".opt-2")
    )
    # Never checked: the source may say what it likes.
    copy.chmod(0o755)
    (copy / "deep.py").chmod(0o644)
    (copy / "deep.py").write_text("raise SystemExit('read the source')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(copy.parent)!r}); from {COPY_NAME}._enter import enter; enter()"
    )
    for flag in ("-B", "-O", "-OO"):
        subprocess.run([python, "-I", "-S", flag, "-c", code], check=True)


def test_the_environment_does_not_reach_the_interpreter(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = ensure_client_copy(tmp_path, package)
    spy = tmp_path / "python"
    spy.write_text(f'#!/bin/sh\nenv > "{tmp_path}/seen"\nexec "{newest()}" "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("SECRET", "token")
    monkeypatch.setenv("LD_PRELOAD_TEST", "x")
    compile_client_copy(str(spy), tmp_path / "client" / digest)
    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


def test_a_failing_interpreter_is_an_error(package: Path, tmp_path: Path) -> None:
    digest = ensure_client_copy(tmp_path, package)
    for executable in ("/nowhere/python", "/bin/false"):
        with pytest.raises(InterpreterError) as caught:
            compile_client_copy(executable, tmp_path / "client" / digest)
        assert caught.value.code == "python.probe-failed"


@on_each_interpreter()
def test_the_real_client_is_closed_under_its_imports(python: Path, tmp_path: Path) -> None:
    digest = ensure_client_copy(tmp_path, CLIENT)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'client' / digest)!r})\n"
        f"import {COPY_NAME}._enter as e, {COPY_NAME}._finder, {COPY_NAME}.flocked, {COPY_NAME}.linked\n"
        "assert 'virtual_sprawl' not in sys.modules and callable(e.enter)"
    )
    subprocess.run([python, "-I", "-S", "-B", "-W", "error", "-c", code], check=True)


def test_a_copy_is_compiled_when_all_of_it_is(package: Path, tmp_path: Path) -> None:
    python = newest()
    tag = environment_of(python).cache_tag
    copy = tmp_path / "client" / ensure_client_copy(tmp_path, package) / COPY_NAME
    assert not is_compiled(copy, tag)
    compile_client_copy(str(python), copy)
    assert is_compiled(copy, tag)
    assert not is_compiled(copy, "cpython-30")
    (copy / "__pycache__" / f"linked.{tag}.pyc").unlink()
    assert not is_compiled(copy, tag)
    assert not is_compiled(tmp_path / "gone", tag)
