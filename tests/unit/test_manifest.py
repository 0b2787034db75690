"""The manifest: what is written is read again, and every kind of damage is noticed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store.manifest import (
    ManifestFile,
    ManifestSummary,
    encode,
    read_files,
    read_manifest,
    read_summary,
)

FILES = (
    ManifestFile("1" * 64, 5, 0o444, "bin/a tool"),
    ManifestFile("2" * 64, 0, 0o444, "lib/python/site-packages/demo/__init__.py"),
    ManifestFile("3" * 64, 7, 0o555, "lib/python/site-packages/demo/\u00fc\u4e2d"),
)
SUMMARY = ManifestSummary(
    name="demo",
    version="1.0",
    filename="demo-1.0-py3-none-any.whl",
    digest="a" * 64,
    boot_id="boot",
    files=3,
    bytes=12,
    dist_info="demo-1.0.dist-info",
    root_is_purelib=True,
    tags=("py3-none-any",),
    top_level={"demo": "package", "\u00fc": "file"},
    init={"demo": ("__init__.py",)},
    entry_points={"console_scripts": {"demo": "demo:main"}},
    scripts={"a tool": "python"},
    data=("share",),
    pth=(),
    requires_python=None,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "manifest"
    path.write_bytes(encode(SUMMARY, reversed(FILES)))
    return path


def code_of(path: Path) -> str:
    with pytest.raises(StoreError) as refused:
        list(read_files(path))
    return refused.value.code


def test_round_trip(path: Path) -> None:
    assert read_summary(path) == SUMMARY
    assert tuple(read_files(path)) == FILES
    manifest = read_manifest(path)
    assert (manifest.summary, manifest.files) == (SUMMARY, FILES)
    assert ManifestSummary.from_json(SUMMARY.to_json(), "x") == SUMMARY


def test_the_form_is_the_agreed_one(path: Path) -> None:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["manifest"] == 1
    assert json.loads(first)["init"] == {"demo": ["__init__.py"]}
    assert lines[0] == f"{'1' * 64} 5 444 bin/a tool"
    assert lines[-1] == "end"


def test_a_summary_longer_than_one_read(tmp_path: Path) -> None:
    large = replace(SUMMARY, top_level={f"name{number}": "file" for number in range(10_000)})
    path = tmp_path / "manifest"
    path.write_bytes(encode(large, FILES))
    assert read_summary(path) == large
    assert tuple(read_files(path)) == FILES


def test_every_truncation_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert code_of(path) == "store.damaged"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"end\n", b"end\nend\n"),
        (b"end\n", b"end\n\0"),
        (b"1" * 64, b"1" * 63),
        (b"1" * 64, b"A" * 64),
        (b" 5 444 ", b" 05 444 "),
        (b" 5 444 ", b" 6 444 "),
        (b" 5 444 ", b" -5 444 "),
        (b" 5 444 ", b" 5 449 "),
        (b" bin/", b" /bin/"),
        (b" bin/", b" ../bin/"),
        (b" bin/", b" bin//"),
        (b" bin/", b" z/"),
        (b" bin/a tool", b" bin/\xff"),
        (b'"files":3', b'"files":2'),
        (b'"files":3', b'"files":"3"'),
        (b'"files":3', b'"files":true'),
        (b'"bytes":12', b'"bytes":13'),
        (b'"digest":"aa', b'"digest":"a'),
        (b'"manifest":1', b'"manifest":"1"'),
        (b'"manifest":1', b'"other":1'),
        (b'"init":{"demo":["__init__.py"]}', b'"init":{"demo":"__init__.py"}'),
        (b'"tags":["py3-none-any"]', b'"tags":[3]'),
        (b'"pth":[]', b'"pth":{}'),
        (b'"requires_python":null', b'"requires_python":3'),
        (b'"name":"demo"', b'"nome":"demo"'),
        (b'{"manifest"', b'["manifest"'),
    ],
)
def test_damage_is_noticed(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    assert code_of(path) == "store.damaged"


def test_two_lines_for_one_path(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[1:]]))
    assert code_of(path) == "store.damaged"


def test_a_newer_manifest_is_left_alone(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"manifest":1', b'"manifest":2'))
    assert code_of(path) == "store.newer-format"


def test_what_is_no_file(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    os.mkfifo(tmp_path / "fifo")
    for name in ("absent", "link", "fifo", "."):
        assert code_of(tmp_path / name) == "store.damaged"
