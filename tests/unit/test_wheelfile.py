"""What a wheel says of itself, where its files go, and what it offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.acquire.layout import Layout, contents
from sprawld.acquire.membernames import decode_name, refuse_collisions, shown
from sprawld.acquire.wheelfile import WheelFile, read_wheel
from sprawld.acquire.wheelmetadata import (
    check_script_name,
    normalise,
    parse_entry_points,
    parse_filename,
    parse_wheel_file,
    same_version,
)
from sprawld.errors import WheelError
from tests.support.wheels import build_wheel

SITE_PACKAGES = "lib/python/site-packages"


def read(wheel: Path, *, allow_bad_record: bool = False) -> WheelFile:
    return read_wheel(wheel.read_bytes(), wheel.name, allow_bad_record=allow_bad_record)


def test_reads_what_it_needs(tmp_path: Path) -> None:
    wheel = build_wheel(
        tmp_path,
        "Demo.Project",
        "1.0",
        tag="py2.py3-none-any",
        requires_python=">=3.8",
        root_is_purelib=False,
        entry_points={"console_scripts": {"demo": "demo:main [x]"}, "other": {"a": "b"}},
        data={"scripts/tool": "#!python\n", "headers/demo.h": ""},
    )
    found = read(wheel)
    assert (found.name, found.version, found.requires_python) == ("demo-project", "1.0", ">=3.8")
    assert found.dist_info == "Demo_Project-1.0.dist-info"
    assert not found.root_is_purelib
    assert found.tags == ("py2-none-any", "py3-none-any")
    assert found.entry_points == {"console_scripts": {"demo": "demo:main"}}
    assert found.moved == {
        "Demo_Project-1.0.data/scripts/tool": "bin/tool",
        "Demo_Project-1.0.data/headers/demo.h": "include/Demo.Project/demo.h",
    }
    assert found.rows is not None
    assert f"{SITE_PACKAGES}/Demo_Project/__init__.py" in {file.path for file in found.files}


def test_a_bad_record_counts_only_where_it_is_not_allowed(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, record={"demo/__init__.py": None})
    with pytest.raises(WheelError):
        read(wheel)
    assert read(wheel, allow_bad_record=True).rows is None
    without = build_wheel(tmp_path / "without", dist_info={"RECORD": None})
    assert read(without, allow_bad_record=True).rows is None


def test_a_bad_archive_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, files={"../x.py": ""})
    with pytest.raises(WheelError) as refused:
        read(wheel, allow_bad_record=True)
    assert refused.value.code == "zip.path-traversal"


# --- file names and metadata ---


@pytest.mark.parametrize(
    ("filename", "name", "version", "tags"),
    [
        ("demo-1.0-py3-none-any.whl", "demo", "1.0", ("py3-none-any",)),
        ("De_mo.x-1!1.0+local.1-7a-py3-none-any.whl", "de-mo-x", "1!1.0+local.1", ("py3-none-any",)),
        ("d-1-py2.py3-none-any.whl", "d", "1", ("py2-none-any", "py3-none-any")),
        ("d-1-cp39-abi3-a.b.whl", "d", "1", ("cp39-abi3-a", "cp39-abi3-b")),
    ],
)
def test_file_names(filename: str, name: str, version: str, tags: tuple[str, ...]) -> None:
    parsed = parse_filename(filename)
    assert (parsed.name, parsed.version, parsed.tags) == (name, version, tags)


@pytest.mark.parametrize(
    "filename",
    [
        "demo-1.0-py3-none-any.zip",
        "demo-1.0-py3-none-any",
        "demo-1.0-none-any.whl",
        "demo-1.0-build-py3-none-any.whl",
        "a-b-1.0-7-py3-none-any.whl",
        "-1.0-py3-none-any.whl",
        "demo--py3-none-any.whl",
        "../demo-1.0-py3-none-any.whl",
        "demo-1.0/x-py3-none-any.whl",
        "demo-1.0-py3-none-a..b.whl",
        "demo-1.0-py3-none-any.whl\n",
        "d\u00e9mo-1.0-py3-none-any.whl",
        "",
    ],
)
def test_what_is_no_file_name(filename: str) -> None:
    with pytest.raises(WheelError) as refused:
        parse_filename(filename)
    assert refused.value.code == "wheel.bad-filename"


def test_versions_and_names() -> None:
    assert normalise("A--b_.C") == "a-b-c"
    assert same_version("1.0", "1.0.0")
    assert same_version("1.0_local", "1.0-local")
    assert not same_version("1.0", "1.1")
    assert not same_version("hand made", "1.1")


def test_tags_need_one_common_interpreter_and_abi() -> None:
    expected = parse_filename("demo-1-cp311-cp311-manylinux_2_17_x86_64.whl")
    parse_wheel_file(b"Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n", expected)
    for tag in (b"cp310-cp310-linux_x86_64", b"cp311-abi3-linux_x86_64", b"none"):
        with pytest.raises(WheelError) as refused:
            parse_wheel_file(b"Wheel-Version: 1.0\nTag: " + tag, expected)
        assert refused.value.code == "wheel.metadata"


def test_entry_points_of_one_name_in_both_groups() -> None:
    text = b"[console_scripts]\na = m:f\n; comment\n[gui_scripts]\na = m.n:f.g[x,y]\n[x]\nno pair\n"
    assert parse_entry_points(text) == {"console_scripts": {"a": "m:f"}, "gui_scripts": {"a": "m.n:f.g"}}
    assert parse_entry_points(b"\r\n[console_scripts]\r\n") == {}


@pytest.mark.parametrize(
    "target", ["m", "m:", ":f", "m:f()", "m f:g", "1m:f", "m:f:g", "m..n:f", "", "m;x:f", "\xa0"]
)
def test_targets_that_are_no_callable(target: str) -> None:
    with pytest.raises(WheelError) as refused:
        parse_entry_points(f"[console_scripts]\na = {target}\n".encode())
    assert refused.value.code == "wheel.bad-entry-point"


@pytest.mark.parametrize(
    "name",
    ["demo", "python-demo", "pythonic", "2to3", "f2py3.11", "_x", "g++", "My App", "\u00fcber", "pip3.11"],
)
def test_script_names(name: str) -> None:
    check_script_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", "x ", " x", "a:b", "a\nb", "a;b", "$x", "~"],
        *["python", "Python3", "python3.12", "pythonw", "python3.13t", "pypy3", "python.exe"],
        *["x" * 200, "a\u202eb"],
    ],
)
def test_names_no_script_may_have(name: str) -> None:
    with pytest.raises(WheelError) as refused:
        check_script_name(name)
    assert refused.value.code == "wheel.bad-entry-point"


# --- names and places ---


def test_shown_is_one_printable_line() -> None:
    assert shown("a\x1b[2J\n\u202e") == r"'a\x1b[2J\n\u202e'"
    assert len(shown("\u4e2d" * 5000)) < 1000


@pytest.mark.parametrize(
    "name", ["a", "a/b", "a/", ".a/..b/c..", "a b", "\u00fc", "\U0001f40d", "ab:c", "...", "x" * 255]
)
def test_names_that_are_taken_as_they_are(name: str) -> None:
    assert decode_name(name.encode(), utf8=True) == name


def test_no_collision() -> None:
    refuse_collisions(["a/b", "a/c", "a/", "A/d", "b", "a.b"])
    for names in (
        ["a", "a"],
        ["a", "A"],
        ["a", "a/b"],
        ["a/b", "A"],
        ["a/b/c", "a/B"],
        ["a", "a/"],
        ["\u00e9", "e\u0301"],
    ):
        with pytest.raises(WheelError) as refused:
            refuse_collisions(names)
        assert refused.value.code == "zip.collision"


def test_places() -> None:
    layout = Layout("d-1.data", "D")
    assert layout.place("d/x.py") == f"{SITE_PACKAGES}/d/x.py"
    assert layout.place("d-1.data/platlib/d/x.so") == f"{SITE_PACKAGES}/d/x.so"
    assert layout.place("d-1.data/scripts/x") == "bin/x"
    assert layout.place("d-1.data/headers/a/x.h") == "include/D/a/x.h"
    assert layout.place("d-1.data/data/share/x") == "share/x"
    assert layout.place("d-1.data/data/lib/libx.so") == "lib/libx.so"
    assert layout.place("d-1.data/data/bin/sub/python") == "bin/sub/python"
    assert layout.place("d-1.database/x") == f"{SITE_PACKAGES}/d-1.database/x"


def test_contents() -> None:
    inside = [
        "pkg/__init__.py",
        "pkg/sub/__init__.py",
        "native/__init__.cpython-311-x86_64-linux-gnu.so",
        "both/__init__.py",
        "both/__init__.abi3.so",
        "space/deep/er/mod.py",
        "bytecode/mod.pyc",
        "dashed-dir/mod.py",
        "stubs-only/a.pyi",
        "data.dir/__init__.py",
        "x.libs/libgomp.so",
        "hidden/.dot/mod.py",
        "hidden/a.b/mod.py",
        "hidden/libx.so.1",
        "demo-1.dist-info/METADATA",
        "six.py",
        "_cffi.cpython-311-x86_64-linux-gnu.so",
        "abi.abi3.so",
        "plain.so",
        "not.a.module.py",
        "README",
        ".hidden",
        "x.pth",
        "y.start",
    ]
    outside = ["bin/tool", "bin/sub/x", "include/d/x.h", "lib/libx.so", "share/man/x", "etc/x", "file"]
    found = contents([*(f"{SITE_PACKAGES}/{path}" for path in inside), *outside])
    assert found.top_level == {
        "pkg": "package",
        "native": "package",
        "both": "package",
        "space": "namespace",
        "bytecode": "namespace",
        "dashed-dir": "namespace",
        "stubs-only": "directory",
        "data.dir": "directory",
        "x.libs": "directory",
        "hidden": "directory",
        "demo-1.dist-info": "directory",
        "six.py": "module",
        "_cffi.cpython-311-x86_64-linux-gnu.so": "module",
        "abi.abi3.so": "module",
        "plain.so": "module",
        "not.a.module.py": "file",
        "README": "file",
        ".hidden": "file",
        "x.pth": "file",
        "y.start": "file",
    }
    assert found.init == {
        "pkg": ("__init__.py",),
        "native": ("__init__.cpython-311-x86_64-linux-gnu.so",),
        "both": ("__init__.abi3.so", "__init__.py"),
    }
    assert found.scripts == ("tool",)
    assert found.data == ("etc", "file", "share")
    assert found.pth == ("x.pth", "y.start")


def test_a_package_counts_whichever_of_its_files_comes_first() -> None:
    found = contents(
        [f"{SITE_PACKAGES}/p/A.py", f"{SITE_PACKAGES}/p/README", f"{SITE_PACKAGES}/p/__init__.py"]
    )
    assert found.top_level == {"p": "package"}
