"""Checking client copies: damaged sources, bytecode and everything that does not belong there."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from sprawld.pathsets import clientcheck
from sprawld.pathsets.clientcopy import COPY_NAME, compile_client_copy
from tests.support.workshop import CLIENT, Workshop, environment_of
from tests.unit.test_setcheck import flip, write

ENVIRONMENT = environment_of(Path(sys.executable))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    workshop = Workshop(tmp_path / "store")
    path = workshop.build(Path(sys.executable))
    copy = workshop.store / "client" / json.loads((path / "set.json").read_text())["client"]
    compile_client_copy(ENVIRONMENT.executable, copy)
    clientcheck.record_bytecode(copy, ENVIRONMENT.cache_tag)
    return copy


def pyc(copy: Path) -> Path:
    return copy / COPY_NAME / "__pycache__" / f"_finder.{ENVIRONMENT.cache_tag}.pyc"


def test_a_sound_copy(copy: Path) -> None:
    assert clientcheck.verify_client(copy, CLIENT) == []
    assert len(json.loads((copy / "bytecode.json").read_text())) >= 9


def test_a_flipped_bit_in_bytecode(copy: Path) -> None:
    flip(pyc(copy))
    assert clientcheck.verify_client(copy) == [("changed", f"{COPY_NAME}/__pycache__/{pyc(copy).name}")]


def test_bytecode_without_a_record_has_to_belong_to_its_source(copy: Path) -> None:
    (copy / "bytecode.json").unlink()
    assert clientcheck.verify_client(copy) == []
    write(pyc(copy), pyc(copy).read_bytes()[:9] + b"x" * 99)
    assert [found.kind for found in clientcheck.verify_client(copy)] == ["changed"]


def test_missing_and_extra_files(copy: Path) -> None:
    pyc(copy).rename(pyc(copy).with_name("evil.cpython-312.pyc"))
    (copy / COPY_NAME).chmod(0o755)
    (copy / COPY_NAME / "more.py").touch()
    (copy / COPY_NAME / "_finder.py").chmod(0o600)
    (copy / "top").touch()
    assert {found.kind for found in clientcheck.verify_client(copy)} == {"missing", "extra", "mode"}
    assert len(clientcheck.verify_client(copy)) == 5


def test_damaged_sources(copy: Path) -> None:
    flip(copy / COPY_NAME / "_finder.py")
    assert clientcheck.verify_client(copy, CLIENT) == [("changed", f"{COPY_NAME}/_finder.py")]
    assert clientcheck.verify_client(copy) == [("changed", COPY_NAME)]
    (copy / COPY_NAME).chmod(0o755)
    (copy / COPY_NAME / "_finder.py").unlink()
    assert clientcheck.verify_client(copy, CLIENT) == [("missing", f"{COPY_NAME}/_finder.py")]


def test_a_missing_cache_directory(copy: Path) -> None:
    (copy / COPY_NAME).chmod(0o755)
    shutil.rmtree(copy / COPY_NAME / "__pycache__")
    assert [found.kind for found in clientcheck.verify_client(copy)] == ["missing"]
