"""A slice of `tests.conformance.packages`: forty packages in a venv and in a path set, now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.interpreters import interpreters

from .packages import compare_group, workplace
from .packages_locks import GROUP_SIZE, groups, top_packages
from .packages_report import report, summarise
from .packages_sides import Workplace

SLICE = (
    *("attrs", "certifi", "cffi", "charset-normalizer", "click", "colorama", "coverage", "cryptography"),
    *("distro", "execnet", "flask", "googleapis-common-protos", "greenlet", "h11", "idna", "iniconfig"),
    *("itsdangerous", "jaraco-context", "jaraco-functools", "jinja2", "markdown-it-py", "markupsafe"),
    *("more-itertools", "numpy", "packaging", "pluggy", "protobuf", "pygments", "pytest", "python-dateutil"),
    *("pyyaml", "requests", "rich", "ruff", "setuptools", "six", "typing-extensions", "urllib3", "werkzeug"),
    "wrapt",
)
"""Small ones; among them namespaces, native modules and programs, scripts, headers and start-up files."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplace(tmp_path_factory.mktemp("packages")) as opened:
        yield opened


@pytest.mark.network
@pytest.mark.timeout(400)
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_packages_are_as_in_a_venv(version: str, place: Workplace) -> None:
    if version not in interpreters():
        pytest.skip(f"no CPython {version} on this machine")
    document = compare_group(SLICE, version, place, hook=version == "3.13")
    if not document["locks"]:
        pytest.skip(f"uv cannot lock or install here: {document['lacking'].get(SLICE[0])}")
    (summary,) = summarise([document])
    assert summary.unexplained == []
    assert summary.lacking == {}
    assert len(summary.equal) + len(summary.explained) == len(SLICE)
    assert summary.modules > len(SLICE)
    assert summary.scripts > 10
    assert all(
        package["packed"] for lock in document["locks"] for package in lock["packages"] if package["modules"]
    )


def test_the_list_is_whole_and_the_slice_is_of_it() -> None:
    names = top_packages()
    assert len(names) == len(set(names)) == 300
    assert set(SLICE) <= set(names)
    assert len(SLICE) == len(set(SLICE)) == 40
    parts = groups(names)
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert max(map(len, parts)) == GROUP_SIZE


def test_the_document_tells_what_differs_and_why(tmp_path: Path) -> None:
    package = {"name": "pip", "version": "1", "asked": True, "modules": 2, "raising": 0}
    package |= {"scripts": 3, "hook": False}
    document = {
        "python": "3.13",
        "lacking": {"gone": "no wheel at https://user:secret@index.test/simple/gone or /home/someone/wheels"},
        "locks": [
            {
                "whole": ["commands: lacks pip3.13"],
                "packages": [
                    package | {"varies": False, "different": ["files: lacks ../../../bin/pip3.13"]},
                    package | {"name": "one", "varies": True, "different": ["import one: broken"]},
                    package | {"name": "two", "varies": False, "different": []},
                ],
            }
        ],
    }
    (summary,) = summarise([document])
    assert summary.unexplained == ["3.13 one: import one: broken"]
    assert (set(summary.equal), set(summary.explained), set(summary.different)) == ({"two"}, {"pip"}, {"one"})
    text = report([document], [])
    assert "| 3.13 | 1 | 1 | 1 | 1 | 0 | 6 (0 raise, the same) | 9 | 0 |" in text
    assert "| 3.13 | gone | no wheel at ... or ... |" in text
    assert "secret" not in text
