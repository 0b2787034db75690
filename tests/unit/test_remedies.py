"""What a lock that cannot be used as it is says: one sentence with a code, and the command that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import LockError, SprawlError
from sprawld.lockfiles.find import Found, find_lock
from sprawld.lockfiles.read import read_lock
from sprawld.lockfiles.remedies import relock
from sprawld.lockfiles.selection import select
from tests.support.locks import PLAIN, linux, package, uv_lock, write

PYLOCK = 'lock-version = "{}"\ncreated-by = "x"\npackages = []\n'
POETRY = '[metadata]\nlock-version = "{}"\npython-versions = "*"\ncontent-hash = "0"\n'
PDM = '[metadata]\ngroups = ["default"]\nstrategy = ["inherit_metadata"]\nlock_version = "{}"\n'
PDM_HASHED = PDM.format("4.5.0") + 'content_hash = "sha256:0"\n'
PIPFILE = '{{"_meta": {{"pipfile-spec": {}, "hash": {{"sha256": "0"}}}}, "default": {{}}, "develop": {{}}}}'
PROJECT = '[project]\nname = "app"\nversion = "1.0"\ndependencies = ["a"]\n'

VERSIONS = [
    ("uv.lock", "version = 2\n", "earlier release", "`uv lock`"),
    ("uv.lock", "version = 0\n", "anew", "`uv lock`"),
    ("tool.py.lock", "version = 0\n", "anew", "`uv lock --script tool.py`"),
    ("poetry.lock", POETRY.format("3.0"), "earlier release", "`poetry lock`"),
    ("poetry.lock", POETRY.format("0.9"), "anew", "`poetry lock`"),
    ("pdm.lock", PDM.format("4.6"), "earlier release", "`pdm lock`"),
    ("pdm.lock", PDM.format("5.0"), "earlier release", "`pdm lock`"),
    ("pdm.lock", PDM.format("1.0"), "anew", "`pdm lock`"),
    ("pylock.toml", PYLOCK.format("2.0"), "earlier release", "update virtual-sprawl"),
    ("Pipfile.lock", PIPFILE.format(7), "earlier release", "`pipenv lock`"),
]


@pytest.mark.parametrize(("name", "text", "kind", "remedy"), VERSIONS)
def test_a_version_that_is_not_read(tmp_path: Path, name: str, text: str, kind: str, remedy: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(LockError) as caught:
        read_lock(path)
    assert caught.value.code == "lock.unsupported"
    assert caught.value.message.startswith(f"{path}: ")
    assert kind in caught.value.hint
    assert remedy in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("poetry.lock", POETRY.format("2.2"), "`poetry lock`"),
        ("pylock.toml", PYLOCK.format("1.1"), "update virtual-sprawl"),
    ],
)
@pytest.mark.filterwarnings("ignore:The lock version:UserWarning")
def test_a_later_minor_version_is_read_with_a_warning(
    tmp_path: Path, name: str, text: str, remedy: str
) -> None:
    (warning,) = warnings_of(write(tmp_path, name, text))
    assert "[lock.newer]; hint: " in warning
    assert remedy in warning


NOTHING = "[package.metadata]\nrequires-dist = []\n"
STALE = [
    ("uv.lock", uv_lock(package("app", source='virtual = "."', more=NOTHING)),
     "pyproject.toml", PROJECT, "`uv lock`"),
    ("poetry.lock", POETRY.format("2.1"), "pyproject.toml", PROJECT, "`poetry lock`"),
    ("pdm.lock", PDM_HASHED, "pyproject.toml", PROJECT, "`pdm lock`"),
    ("Pipfile.lock", PIPFILE.format(6), "Pipfile", '[packages]\na = "*"\n', "`pipenv lock`"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "file", "project", "remedy"), STALE, ids=[row[0] for row in STALE])
def test_a_lock_that_is_older_than_its_project_file(
    tmp_path: Path, name: str, text: str, file: str, project: str, remedy: str
) -> None:
    path = write(tmp_path, name, text)
    write(tmp_path, file, project)
    (warning,) = warnings_of(path)
    assert f"{file} changed after" in warning
    assert "[lock.stale]; hint: " in warning
    assert remedy in warning


def warnings_of(path: Path) -> tuple[str, ...]:
    lock = read_lock(path)
    found = Found(lock=path, format="uv", root=path.parent)
    return select(found, lock, linux(), PLAIN).warnings


def test_a_lock_that_lacks_what_the_project_asks_for(tmp_path: Path) -> None:
    """Every refusal of this code has a remedy, whichever reader says it."""
    cases = {
        "uv.lock": (uv_lock(package("other", source='virtual = "."')), PROJECT, "`uv lock`"),
        "poetry.lock": (POETRY.format("2.0"), PROJECT, "`poetry lock`"),
        "pdm.lock": (PDM.format("4.5.0").replace('"inherit_metadata"', ""), PROJECT, "`pdm lock"),
    }
    for name, (text, project, remedy) in cases.items():
        directory = tmp_path / name.partition(".")[0]
        write(directory, "pyproject.toml", project)
        path = write(directory, name, text)
        with pytest.raises(SprawlError) as caught:
            read_lock(path).select(linux(), PLAIN)
        assert caught.value.code == "lock.stale"
        assert remedy in caught.value.hint


def test_requirements_that_are_not_pinned(tmp_path: Path) -> None:
    write(tmp_path, "requirements.txt", "a>=1\n")
    found = find_lock(tmp_path, home=tmp_path)
    assert found is not None
    with pytest.raises(LockError) as caught:
        read_lock(found.lock)
    assert caught.value.code == "lock.not-pinned"
    assert "'a>=1'" in caught.value.message
    assert "`uv pip compile --generate-hashes requirements.txt" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pylock.dev.toml", "uv export -o pylock.dev.toml"),
        ("requirements-dev.txt", "uv pip compile"),
        ("pyproject.toml", ""),
    ],
)
def test_other_files(name: str, expected: str) -> None:
    assert expected in relock(Path("/p") / name)
    assert bool(relock(Path("/p") / name)) == bool(expected)
