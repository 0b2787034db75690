from __future__ import annotations

import pytest
from packaging.version import Version

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.poetry_constraints import parse_constraint, platform_matches, python_matches

ALLOWED = [
    ("*", "0.1a1"),
    ("^1.2", "1.2"),
    ("^1.2", "1.99.post1"),
    ("^1.2.3", "1.9"),
    ("^0.2.3", "0.2.9"),
    ("^0.0.3", "0.0.3"),
    ("^0.0", "0.0.9"),
    ("^0", "0.9"),
    ("~1", "1.9"),
    ("~1.2", "1.2.9"),
    ("~1.2.3", "1.2.99"),
    ("~=1.4.5", "1.4.9"),
    ("~= 1.4", "1.9"),
    ("1.2.*", "1.2.dev1"),
    ("==1.2.*", "1.2.7"),
    ("!=1.2.*", "1.3"),
    ("1.2.3", "1.2.3+cpu"),
    ("==1.2.3+cpu", "1.2.3+cpu"),
    (">=1.0,<2.0", "1.5b1"),
    (">=1.0 <2.0", "1.5"),
    (">= 1.0, < 2.0,", "1.5"),
    ("<1.0 || >=2.0", "2.1"),
    ("<1.0|>=2.0", "0.9"),
    ("!=1.0", "1.0.1"),
    ("<=1.0", "1.0+local"),
    (">1.0.post1", "1.0.post2"),
    ("<2.0rc1", "2.0b1"),
    ("^v0.30.0", "0.30.4"),
    (">=2019.3", "2024.1"),
    ("^1!2.0", "1!2.5"),
]
REFUSED = [
    ("^1.2", "2.0"),
    ("^1.2", "2.0rc1"),
    ("^0.2.3", "0.3"),
    ("^0.0.3", "0.0.4"),
    ("^0.0", "0.1"),
    ("~1.2", "1.3"),
    ("~1", "2.0"),
    ("~=1.4.5", "1.5"),
    ("1.2.*", "1.3.dev0"),
    ("!=1.2.*", "1.2.5"),
    ("1.2", "1.2.1"),
    ("==1.2.3+cpu", "1.2.3"),
    ("<2.0", "2.0rc1"),
    (">1.0", "1.0.post1"),
    (">1.0", "1.0+local"),
    ("!=1.0", "1.0+local"),
    (">=1.0,<2.0", "2.0"),
    ("<1.0 || >=2.0", "1.5"),
    ("^1.0", "1!1.0"),
]
NONSENSE = [
    "",
    "^",
    "one",
    "^^1.0",
    "1.0 - 2.0",
    ">=",
    "1..2",
    "=>1.0",
    "9" * 3000,
    "1.*.2",
    "1.0.post1.*",
]


@pytest.mark.parametrize(("constraint", "version"), ALLOWED)
def test_allows(constraint: str, version: str) -> None:
    assert parse_constraint(constraint).allows(Version(version))


@pytest.mark.parametrize(("constraint", "version"), REFUSED)
def test_does_not_allow(constraint: str, version: str) -> None:
    assert not parse_constraint(constraint).allows(Version(version))


@pytest.mark.parametrize("constraint", NONSENSE)
def test_nonsense_is_refused(constraint: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_constraint(constraint)
    assert caught.value.code == "lock.invalid"


@pytest.mark.parametrize(
    ("text", "python", "expected"),
    [
        ("3.12", "3.12.7", True),
        ("3.12", "3.13.0", False),
        ("==3.12", "3.12.7", True),
        ("3.12.1", "3.12.7", False),
        ("3.12.*", "3.12.7", True),
        ("<3.8", "3.7.9", True),
        (">3.6", "3.6.5", True),
        ("<=3.10", "3.10.4", False),
        ("~3.9", "3.9.18", True),
        ("~2.7 || ^3.6", "3.11.2", True),
        (">=3.6.1,<4.0", "3.6.0", False),
        ("*", "3.14.0", True),
    ],
)
def test_the_python_key_compares_with_the_release(text: str, python: str, expected: bool) -> None:
    assert python_matches(text, Version(python)) is expected


@pytest.mark.parametrize(
    ("text", "platform", "expected"),
    [
        ("win32", "win32", True),
        ("win32", "linux", False),
        ("!=win32", "linux", True),
        ("==win32", "win32", True),
        ("linux || darwin", "darwin", True),
        ("linux|darwin", "win32", False),
        ("!=win32,!=darwin", "linux", True),
        ("!=win32,!=darwin", "darwin", False),
        ("*", "linux", True),
    ],
)
def test_the_platform_key(text: str, platform: str, expected: bool) -> None:
    assert platform_matches(text, platform) is expected


def test_one_version_is_not_a_series_of_python_for_a_package() -> None:
    assert not parse_constraint("3.12").allows(Version("3.12.1"))
