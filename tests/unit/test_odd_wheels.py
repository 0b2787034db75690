"""Every unusual but legal wheel is unpacked, and to the bytes that CPython's zipfile reads from it."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from sprawld.acquire.unpack import unpack_wheel
from sprawld.store.manifest import read_files
from tests.support.odd_wheels import ODD

SITE_PACKAGES = "lib/python/site-packages/"
PLACES = {
    "purelib": SITE_PACKAGES,
    "platlib": SITE_PACKAGES,
    "scripts": "bin/",
    "headers": "include/demo/",
    "data": "",
}


@pytest.fixture(autouse=True)
def umask() -> object:
    """The mask that a worker sets."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("case", ODD)
def test_accepted(case: str, tmp_path: Path) -> None:
    wheel = ODD[case](tmp_path)
    entry = tmp_path / "entry"
    entry.mkdir()
    summary = unpack_wheel(str(wheel), str(entry), filename=wheel.name, digest="0" * 64, boot_id="boot")
    assert summary.record_verified
    with zipfile.ZipFile(wheel) as archive:
        expected = {
            place(info.filename): archive.read(info)
            for info in archive.infolist()
            if not info.is_dir() and "__pycache__" not in info.filename
        }
    files = {path.relative_to(entry).as_posix(): path for path in entry.rglob("*") if not path.is_dir()}
    assert files.pop("manifest").is_file()
    assert files.keys() == expected.keys()
    for name, path in files.items():
        # What moves, and scripts that a set writes, are told in RECORD as an installer would.
        if not (name.endswith("/RECORD") and case in ("every-scheme", "entry-points")):
            assert path.read_bytes() == expected[name]
    listed = {file.path: file for file in read_files(entry / "manifest")}
    assert listed.keys() == files.keys()
    for name, path in files.items():
        assert stat.S_IMODE(path.lstat().st_mode) == listed[name].mode
        assert listed[name].mode in (0o444, 0o555)


def place(name: str) -> str:
    top, _, rest = name.partition("/")
    if top.endswith(".data"):
        scheme, _, rest = rest.partition("/")
        return PLACES[scheme] + rest
    return SITE_PACKAGES + name


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(ODD) >= 24
