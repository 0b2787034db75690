"""Unpacking: modes, places, the rewritten RECORD, large members, and disks that do not take it."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.acquire import inflate
from sprawld.errors import StoreError, WheelError
from sprawld.store.manifest import ManifestSummary, read_files, read_summary
from tests.support.unpacking import unpack
from tests.support.wheels import Content, build_wheel, record_row, wheel_members, write_zip

SITE_PACKAGES = "lib/python/site-packages"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The mask that a worker sets."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "entry"
    path.mkdir(mode=0o700)
    return path


FULL_FILES: dict[str, Content] = {
    "demo/__init__.py": "x = 1\n",
    "demo/tool.sh": "#!/bin/sh\n",
    "demo.pth": "import os\n",
    "data.txt": "",
}
FULL_DATA: dict[str, Content] = {
    "scripts/tool": "#!python\nprint(1)\n",
    "scripts/native": b"\x7fELF",
    "headers/demo.h": "",
    "platlib/extra.py": "",
    "data/share/man/man1/demo.1": "man",
    "data/bin/other": "#!python\n",
}


def full(directory: Path) -> Path:
    return build_wheel(
        directory,
        files=FULL_FILES,
        data=FULL_DATA,
        modes={"demo/tool.sh": 0o6755},
        requires_python=">=3.9",
        entry_points={"console_scripts": {"demo": "demo:main"}},
    )


def test_the_summary(tmp_path: Path, entry: Path) -> None:
    wheel = full(tmp_path)
    summary = unpack(wheel, entry)
    assert summary == read_summary(entry / "manifest")
    files = list(read_files(entry / "manifest"))
    assert summary == ManifestSummary(
        name="demo",
        version="1.0",
        filename=wheel.name,
        digest="a" * 64,
        boot_id="boot",
        files=14,
        bytes=sum(file.size for file in files),
        dist_info="demo-1.0.dist-info",
        root_is_purelib=True,
        tags=("py3-none-any",),
        top_level={
            "data.txt": "file",
            "demo": "package",
            "demo-1.0.dist-info": "directory",
            "demo.pth": "file",
            "extra.py": "module",
        },
        init={"demo": ("__init__.py",)},
        entry_points={"console_scripts": {"demo": "demo:main"}},
        scripts={"native": "native", "other": "python", "tool": "python"},
        data=("share",),
        pth=("demo.pth",),
        requires_python=">=3.9",
        libraries=(),
        searched=(),
    )


def test_the_manifest_tells_what_is_on_the_disk(tmp_path: Path, entry: Path) -> None:
    unpack(full(tmp_path), entry)
    listed = {file.path: file for file in read_files(entry / "manifest")}
    found = {path.relative_to(entry).as_posix() for path in entry.rglob("*") if not path.is_dir()}
    assert found == {*listed, "manifest"}
    for path, file in listed.items():
        content = (entry / path).read_bytes()
        assert (file.size, file.digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert stat.S_IMODE((entry / path).stat().st_mode) == file.mode
    executable = {path for path, file in listed.items() if file.mode == 0o555}
    assert executable == {f"{SITE_PACKAGES}/demo/tool.sh", "bin/tool", "bin/native", "bin/other"}


def test_modes_of_directories_and_the_manifest(tmp_path: Path, entry: Path) -> None:
    unpack(full(tmp_path), entry)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in entry.rglob("*") if path.is_dir()}
    assert modes == {0o555}
    assert stat.S_IMODE((entry / "manifest").stat().st_mode) == 0o444
    assert stat.S_IMODE(entry.stat().st_mode) == 0o700


def test_record_has_the_paths_of_the_moved_files(tmp_path: Path, entry: Path) -> None:
    unpack(full(tmp_path), entry)
    (found,) = importlib.metadata.distributions(path=[str(entry / SITE_PACKAGES)])
    files = found.files
    assert files is not None
    assert "../../../bin/tool" in map(str, files)
    # What a set makes of an entry point is listed too, without a hash: it is another one in every set.
    made = [file for file in files if file.hash is None and file.name != "RECORD"]
    assert [str(file) for file in made] == ["../../../bin/demo"]
    for file in files:
        assert Path(str(file.locate())).is_file() == (file not in made)
    assert len(files) == 15


def test_record_without_moved_files_is_taken_as_it_is(tmp_path: Path, entry: Path) -> None:
    wheel = build_wheel(tmp_path, record={"x": "\n\n"})
    unpack(wheel, entry)
    original = next(m.content for m in wheel_members(record={"x": "\n\n"}) if m.name.endswith(b"/RECORD"))
    assert (entry / SITE_PACKAGES / "demo-1.0.dist-info/RECORD").read_bytes() == original


@pytest.mark.parametrize("method", [0, 8])
def test_members_that_are_inflated_in_pieces(tmp_path: Path, entry: Path, method: int) -> None:
    large = os.urandom(1 << 20) * 17
    assert len(large) > inflate.WHOLE_BYTES
    wheel = build_wheel(tmp_path, files={"large": large, "x.py": ""}, method=method)
    assert unpack(wheel, entry).record_verified
    assert (entry / SITE_PACKAGES / "large").read_bytes() == large


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"claimed_crc": 1}, "zip.crc-mismatch"),
        ({"claimed_size": (17 << 20) + 1}, "zip.size-mismatch"),
        ({"claimed_size": (17 << 20) - 1}, "zip.size-mismatch"),
        ({"raw": b"\xff" * 100_000}, "zip.malformed"),
        ({"raw": b"\x00\x01\x00\xfe\xff" + b"x" * 100_000}, "zip.malformed"),
    ],
)
def test_large_members_that_lie(tmp_path: Path, entry: Path, change: dict[str, object], code: str) -> None:
    content = os.urandom(1 << 18) * (17 << 2)
    members = wheel_members(files={"large": content})
    told = [replace(m, **change) if m.name == b"large" else m for m in members]  # type: ignore[arg-type]
    wheel = write_zip(tmp_path / "demo-1.0-py3-none-any.whl", told)
    with pytest.raises(WheelError) as refused:
        unpack(wheel, entry)
    assert refused.value.code == code


def test_a_large_member_is_held_against_record(tmp_path: Path, entry: Path) -> None:
    content = bytes(100) * (17 << 20 - 6)
    assert len(content) > inflate.WHOLE_BYTES
    row = record_row("large", content[:-1] + b"x")
    wheel = build_wheel(tmp_path, files={"large": content}, record={"large": row}, method=0)
    with pytest.raises(WheelError) as refused:
        unpack(wheel, entry)
    assert refused.value.code == "record.hash-mismatch"


@pytest.mark.parametrize(
    "record",
    [
        {"demo/__init__.py": None},
        {"demo/__init__.py": record_row("demo/__init__.py", b"other")},
        {"demo/__init__.py": "demo/__init__.py,md5=x,1"},
        {"x": '"'},
    ],
    ids=["unlisted", "hash", "weak", "syntax"],
)
@pytest.mark.parametrize("data", [{}, {"scripts/x": "#!python\n"}], ids=["plain", "moved"])
def test_an_allowed_bad_record_is_noted(
    tmp_path: Path, entry: Path, record: dict[str, str | None], data: dict[str, Content]
) -> None:
    summary = unpack(build_wheel(tmp_path, record=record, data=data), entry, allow_bad_record=True)
    assert not summary.record_verified
    assert not read_summary(entry / "manifest").record_verified
    assert (entry / SITE_PACKAGES / "demo/__init__.py").is_file()


def test_allowing_a_bad_record_does_not_doubt_a_good_one(tmp_path: Path, entry: Path) -> None:
    assert unpack(build_wheel(tmp_path), entry, allow_bad_record=True).record_verified


# --- disks ---


def test_nothing_is_replaced(tmp_path: Path, entry: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (entry / SITE_PACKAGES / "demo").mkdir(parents=True)
    (entry / SITE_PACKAGES / "demo/__init__.py").symlink_to(victim)
    with pytest.raises(StoreError) as refused:
        unpack(build_wheel(tmp_path), entry)
    assert refused.value.code == "store.unwritable"
    assert victim.read_text() == "untouched"


def test_the_destination_is_no_link(tmp_path: Path, entry: Path) -> None:
    (tmp_path / "link").symlink_to(entry)
    for name in ("link", "absent"):
        with pytest.raises(StoreError) as refused:
            unpack(build_wheel(tmp_path), tmp_path / name)
        assert refused.value.code == "store.unwritable"
    assert list(entry.iterdir()) == []


def test_an_absent_wheel(tmp_path: Path, entry: Path) -> None:
    with pytest.raises(StoreError) as refused:
        unpack(tmp_path / "demo-1.0-py3-none-any.whl", entry)
    assert refused.value.code == "store.unwritable"


def test_a_file_that_may_not_be_written(tmp_path: Path, entry: Path) -> None:
    wheel = build_wheel(tmp_path, files={"x": os.urandom(100_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(StoreError) as refused:
            unpack(wheel, entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.code == "disk.full"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB and 40 inodes."""
    path = tmp_path / "mount"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "none", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize(
    "files",
    [
        {"demo/x": os.urandom(2 << 20)},
        {f"demo/{number}": os.urandom(100_000) for number in range(20)},
        {f"demo/{number}": "" for number in range(100)},
        {f"demo/{number}/x": "" for number in range(100)},
    ],
    ids=["one-file", "files", "inodes", "directories"],
)
def test_a_full_disk(tmp_path: Path, mount: Path, files: dict[str, Content]) -> None:
    wheel = build_wheel(tmp_path, files=files)
    entry = mount / "entry"
    entry.mkdir()
    with pytest.raises(StoreError) as refused:
        unpack(wheel, entry)
    assert refused.value.code == "disk.full"
    needed = sum(len(member.content) for member in wheel_members(files=files))
    assert f"needs {needed} bytes" in refused.value.message
    assert not (entry / "manifest").exists()


def test_a_disk_of_nearly_every_size(tmp_path: Path, mount: Path) -> None:
    """Whole or refused: no room left is so small that a manifest vouches for less than the wheel."""
    wheel = build_wheel(tmp_path, files={f"demo/{number}": os.urandom(8_000) for number in range(12)})
    outcomes = set()
    for kibibytes in range(60, 180, 8):
        subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(mount)], check=True)
        entry = mount / "entry"
        entry.mkdir()
        try:
            unpack(wheel, entry)
            assert len(list(read_files(entry / "manifest"))) == 15
            outcomes.add("unpacked")
        except StoreError as error:
            outcomes.add(error.code)
        subprocess.run(["rm", "-rf", str(entry)], check=True)
    assert outcomes == {"unpacked", "disk.full"}


def test_record_rows_are_those_of_the_files(tmp_path: Path, entry: Path) -> None:
    summary = unpack(full(tmp_path), entry)
    text = (entry / SITE_PACKAGES / summary.dist_info / "RECORD").read_text()
    sizes = {row[0]: row[2] for row in csv.reader(text.splitlines())}
    for path, size in sizes.items():
        if size:
            assert (entry / SITE_PACKAGES / path).stat().st_size == int(size)
