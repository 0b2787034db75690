from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from sprawld.lockfiles import pipfile
from sprawld.lockfiles.freshness import pdm_warnings, pipfile_warnings, poetry_warnings
from tests.support.locks import write

OWN_TABLE = """
[tool.poetry]
name = "app"
version = "1"
[tool.poetry.dependencies]
python = "^3.9"
a = {version = "^1.0", optional = true}
[tool.poetry.extras]
x = ["a"]
[tool.poetry.group.dev.dependencies]
b = "*"
"""
STANDARD_TABLES = """
[project]
name = "app"
version = "1"
requires-python = ">=3.9"
dependencies = ["a>=1"]
[project.optional-dependencies]
x = ["b"]
[dependency-groups]
dev = ["c"]
[tool.pdm.dev-dependencies]
dev = ["d"]
[tool.pdm.resolution.overrides]
e = "1.0"
"""
PIPFILE = """
[[source]]
name = "main"
url = "https://index.example.org/simple"
verify_ssl = true
[packages]
a = "*"
[dev-packages]
b = {version = ">=1", markers = "os_name == 'nt'"}
[docs]
c = "*"
[requires]
python_version = "3.12"
"""
PIPFILE_HASH = "badaf4ad407be5eab90f5c99a429bc0c4a7522314679400cfa35a9977481767b"


# The hashes are those that poetry 2.5.1, pdm 2.29.3 and plette (of pipenv) give these files.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OWN_TABLE, "6c21657ed1ac17dabe0001a428aa89a5a7e9097b42477528279fea6ba0461668"),
        (STANDARD_TABLES, "1b59c2c58041075d0d5b8b5d3383a8c8f6ee7dc09f07b52a33e6b2ba7d9be719"),
        (STANDARD_TABLES, "977de8789a66e4a207af80aa1f89e00fa84aa85cb95ce1db64e6663bf3be7d74"),
    ],
)
def test_poetry(text: str, expected: str) -> None:
    assert poetry_warnings(tomli.loads(text), expected) == ()
    (warning,) = poetry_warnings(tomli.loads(text.replace("3.9", "3.10")), expected)
    assert "poetry lock" in warning


def test_pdm() -> None:
    expected = "sha256:ab37396b006814488232802c92776e0f3079c7d80b7fa51b5d747093d60c7205"
    assert pdm_warnings(tomli.loads(STANDARD_TABLES), expected) == ()
    (warning,) = pdm_warnings(tomli.loads(STANDARD_TABLES.replace("3.9", "3.10")), expected)
    assert "pdm lock" in warning


def test_pipenv() -> None:
    meta = {"hash": {"sha256": PIPFILE_HASH}, "pipfile-spec": 6}
    document = tomli.loads(PIPFILE)
    assert pipfile_warnings(document, meta) == ()
    # Without sources of its own a Pipfile has those that pipenv put into the lock.
    sources = document.pop("source")
    assert pipfile_warnings(document, {**meta, "sources": sources}) == ()
    (warning,) = pipfile_warnings(document, meta)
    assert "pipenv lock" in warning


@pytest.mark.parametrize("text", ["", "[tool]\npoetry = 3", "[project]\ndependencies = [2020-01-01]\n"])
def test_what_cannot_be_computed_tells_nothing(text: str) -> None:
    document = tomli.loads(text)
    assert poetry_warnings(document, "00") == pdm_warnings(document, "") == ()
    assert pipfile_warnings(document, {}) == ()


def test_a_reader_warns(tmp_path: Path) -> None:
    write(tmp_path, "Pipfile", PIPFILE)
    lock = write(
        tmp_path,
        "Pipfile.lock",
        '{"_meta": {"pipfile-spec": 6, "hash": {"sha256": "' + PIPFILE_HASH + '"}}, "default": {}}',
    )
    assert pipfile.read(lock).warnings == ()
    write(tmp_path, "Pipfile", PIPFILE + "# more\n")
    assert pipfile.read(lock).warnings == ()
    write(tmp_path, "Pipfile", PIPFILE.replace('c = "*"', 'c = "1"'))
    assert len(pipfile.read(lock).warnings) == 1
