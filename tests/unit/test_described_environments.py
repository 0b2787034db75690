"""An environment that is described and not asked: named platforms mean what they mean to uv."""

from __future__ import annotations

import sys

import pytest
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from sprawld.acquire.environment import describe, probe
from sprawld.acquire.platforms import PLATFORMS
from sprawld.errors import SprawlError
from tests.support.interpreters import newest

# What `uv pip compile --python-platform` (0.13.9) takes and refuses: the newest tag it accepts, and the next.
UV_BOUNDARIES = {
    "x86_64-unknown-linux-gnu": ("manylinux_2_28_x86_64", "manylinux_2_29_x86_64"),
    "aarch64-unknown-linux-gnu": ("manylinux_2_28_aarch64", "manylinux_2_29_aarch64"),
    "x86_64-manylinux_2_34": ("manylinux_2_34_x86_64", "manylinux_2_35_x86_64"),
    "x86_64-manylinux2014": ("manylinux2014_x86_64", "manylinux_2_18_x86_64"),
    "x86_64-unknown-linux-musl": ("musllinux_1_2_x86_64", "musllinux_1_3_x86_64"),
    "aarch64-unknown-linux-musl": ("musllinux_1_2_aarch64", "manylinux_2_17_aarch64"),
    "aarch64-apple-darwin": ("macosx_13_0_arm64", "macosx_14_0_arm64"),
    "x86_64-apple-darwin": ("macosx_10_9_intel", "macosx_13_0_arm64"),
    "x86_64-pc-windows-msvc": ("win_amd64", "win32"),
    "aarch64-pc-windows-msvc": ("win_arm64", "win_amd64"),
    "i686-pc-windows-msvc": ("win32", "win_amd64"),
}


@pytest.mark.parametrize("platform", UV_BOUNDARIES)
def test_named_platforms_mean_what_they_mean_to_uv(platform: str) -> None:
    accepted, refused = UV_BOUNDARIES[platform]
    tags = set(describe("3.12", platform).tags)
    assert Tag("cp312", "cp312", accepted) in tags
    assert Tag("py3", "none", "any") in tags
    assert Tag("cp312", "cp312", refused) not in tags


@pytest.mark.parametrize(
    ("platform", "values"),
    [
        ("linux-x86_64", ("posix", "linux", "Linux", "x86_64")),
        ("linux-aarch64", ("posix", "linux", "Linux", "aarch64")),
        ("musllinux-x86_64", ("posix", "linux", "Linux", "x86_64")),
        ("macos-arm64", ("posix", "darwin", "Darwin", "arm64")),
        ("macos-x86_64", ("posix", "darwin", "Darwin", "x86_64")),
        ("x86_64-pc-windows-msvc", ("nt", "win32", "Windows", "AMD64")),
    ],
)
def test_markers_of_described_environments(platform: str, values: tuple[str, ...]) -> None:
    markers = describe("3.12.1", platform).markers
    names = ("os_name", "sys_platform", "platform_system", "platform_machine")
    assert tuple(markers[name] for name in names) == values
    assert (markers["python_version"], markers["python_full_version"]) == ("3.12", "3.12.1")
    assert markers.keys() == probe(sys.executable).markers.keys()


def test_a_described_machine_like_this_one_is_this_one() -> None:
    real = probe(str(newest()))
    libc = [tag.platform for tag in real.tags if tag.platform.startswith("manylinux_")]
    if not libc or real.markers["platform_machine"] not in ("x86_64", "aarch64"):
        pytest.skip("not a glibc system on x86_64 or aarch64")
    minor = libc[0].split("_")[2]
    described = describe(
        ".".join(map(str, real.version)), f"{real.markers['platform_machine']}-manylinux_2_{minor}"
    )
    assert described.tags == real.tags
    assert described.module_suffixes == real.module_suffixes
    assert (described.cache_tag, described.library) == (real.cache_tag, real.library)
    same = real.markers.keys() - {"platform_release", "platform_version"}
    assert {name: described.markers[name] for name in same} == {name: real.markers[name] for name in same}


def test_every_named_platform_can_be_described() -> None:
    described = [describe("3.13", platform) for platform in PLATFORMS]
    assert len({each.identity for each in described}) == len(PLATFORMS)
    assert all(each.executable == "" for each in described)


def test_free_threaded_builds_have_their_own_tags() -> None:
    described = describe("3.13t", "linux-x86_64")
    tags = set(described.tags)
    assert Tag("cp313", "cp313t", "manylinux_2_17_x86_64") in tags
    assert Tag("cp313", "cp313", "manylinux_2_17_x86_64") not in tags
    assert Tag("cp313", "abi3", "manylinux_2_17_x86_64") not in tags
    assert described.library == "python3.13t"
    assert described.module_suffixes[0] == ".cpython-313t-x86_64-linux-gnu.so"


def test_better_tags_come_first() -> None:
    tags = describe("3.12", "linux-x86_64").tags
    files = [
        "x-1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "x-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "x-1-cp312-abi3-manylinux_2_17_x86_64.whl",
        "x-1-cp38-abi3-manylinux_2_17_x86_64.whl",
        "x-1-py3-none-manylinux_2_17_x86_64.whl",
        "x-1-py3-none-any.whl",
    ]
    ranks = [min(tags.index(tag) for tag in parse_wheel_filename(name)[3] if tag in tags) for name in files]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("python", "platform", "code"),
    [
        ("3.12", "plan9-mips", "select.unsupported-environment"),
        ("3.12", "", "select.unsupported-environment"),
        ("3.12", "x86_64-manylinux_3_1", "select.unsupported-environment"),
        ("3.7", "linux-x86_64", "python.unsupported"),
        ("2.7", "linux-x86_64", "python.unsupported"),
        ("pypy3.10", "linux-x86_64", "python.unsupported"),
        ("3.12.x", "linux-x86_64", "python.unsupported"),
        ("", "linux-x86_64", "python.unsupported"),
    ],
)
def test_what_cannot_be_described(python: str, platform: str, code: str) -> None:
    with pytest.raises(SprawlError) as caught:
        describe(python, platform)
    assert caught.value.code == code
    assert caught.value.hint
