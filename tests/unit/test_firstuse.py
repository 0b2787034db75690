"""First use: the first answer of an index is recorded, and later ones are held to it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from sprawld.errors import FetchError, StoreError
from sprawld.model import Artifact, Hash
from sprawld.store.firstuse import FirstUse, Release
from sprawld.store.tree import Store

RELEASE = Release(index="https://index.example/simple/", name=canonicalize_name("demo"), version="1.0")
WHEEL = Artifact(
    filename="demo-1.0-py3-none-any.whl",
    url="https://files.example/demo-1.0-py3-none-any.whl",
    hashes=(Hash(algorithm="sha256", value="a" * 64),),
    size=10,
)
SDIST = replace(
    WHEEL, filename="demo-1.0.tar.gz", url=None, hashes=(Hash(algorithm="sha256", value="b" * 64),)
)


@pytest.fixture
def records(tmp_path: Path) -> FirstUse:
    return FirstUse(Store.open(tmp_path / "store").root)


def record_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "store" / "first-use").iterdir()
    return path


def test_what_is_remembered_is_recalled(records: FirstUse, tmp_path: Path) -> None:
    assert records.recall(RELEASE) is None
    assert records.count() == 0
    assert records.remember(RELEASE, [SDIST, WHEEL]) == (WHEEL, SDIST)
    assert records.count() == 1
    assert FirstUse(tmp_path / "store").recall(RELEASE) == (WHEEL, SDIST)
    assert record_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "store" / "tmp") == []


@pytest.mark.parametrize(
    "other",
    [
        replace(RELEASE, version="1.1"),
        replace(RELEASE, name=canonicalize_name("other")),
        replace(RELEASE, index="https://mirror.example/simple"),
    ],
)
def test_releases_do_not_share_a_record(records: FirstUse, other: Release) -> None:
    records.remember(RELEASE, [WHEEL])
    assert records.recall(other) is None


def test_secrets_are_neither_part_of_the_key_nor_kept(records: FirstUse, tmp_path: Path) -> None:
    secret = replace(RELEASE, index="https://user:hunter2@index.example/simple?token=hunter2#hunter2")
    signed = replace(WHEEL, url="https://user:hunter2@files.example/demo-1.0-py3-none-any.whl?key=hunter2")
    records.remember(secret, [signed])
    assert records.recall(RELEASE) == (replace(WHEEL, url=None),)
    assert "hunter2" not in record_file(tmp_path).read_text()
    with pytest.raises(FetchError) as refusal:
        records.remember(secret, [replace(signed, hashes=(Hash(algorithm="sha256", value="c" * 64),))])
    assert "hunter2" not in str(refusal.value)


def test_a_changed_file_is_refused_and_nothing_recorded(records: FirstUse) -> None:
    records.remember(RELEASE, [WHEEL])
    changed = replace(WHEEL, hashes=(Hash(algorithm="sha256", value="c" * 64),))
    with pytest.raises(FetchError) as refusal:
        records.remember(RELEASE, [SDIST, changed])
    assert refusal.value.code == "fetch.hash-mismatch"
    assert WHEEL.filename in refusal.value.message
    assert records.recall(RELEASE) == (WHEEL,)


def test_a_file_twice_with_two_hashes_is_refused(records: FirstUse) -> None:
    with pytest.raises(FetchError) as refusal:
        records.remember(RELEASE, [WHEEL, replace(WHEEL, hashes=SDIST.hashes)])
    assert refusal.value.code == "fetch.hash-mismatch"
    assert records.recall(RELEASE) is None


def test_further_files_are_added(records: FirstUse) -> None:
    records.remember(RELEASE, [WHEEL])
    weak = Hash(algorithm="md5", value="0" * 32)
    assert records.remember(RELEASE, [replace(SDIST, hashes=(weak, *SDIST.hashes))]) == (WHEEL, SDIST)


def test_what_is_known_of_a_file_stays(records: FirstUse) -> None:
    records.remember(RELEASE, [WHEEL])
    upper = tuple(replace(known, value=known.value.upper()) for known in WHEEL.hashes)
    assert records.remember(RELEASE, [replace(WHEEL, yanked=True, url=None, hashes=upper)]) == (WHEEL,)


def test_a_file_without_sha256_is_the_callers_mistake(records: FirstUse) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        records.remember(RELEASE, [replace(WHEEL, hashes=(Hash(algorithm="md5", value="0" * 32),))])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"x" * 100, b"null"])
def test_damage_is_not_taken_for_absence(records: FirstUse, tmp_path: Path, content: bytes) -> None:
    records.remember(RELEASE, [WHEEL])
    record_file(tmp_path).write_bytes(content)
    for ask in (records.recall, lambda release: records.remember(release, [WHEEL])):
        with pytest.raises(StoreError) as refusal:
            ask(RELEASE)
        assert refusal.value.code == "store.damaged"


@pytest.mark.parametrize(
    ("key", "value"),
    [("filename", "../evil"), ("sha256", "short"), ("sha256", None), ("url", 1), ("size", "1")],
)
def test_a_record_with_a_wrong_value_is_damaged(
    records: FirstUse, tmp_path: Path, key: str, value: object
) -> None:
    records.remember(RELEASE, [WHEEL])
    content = json.loads(record_file(tmp_path).read_bytes())
    content["files"][0][key] = value
    record_file(tmp_path).write_text(json.dumps(content))
    with pytest.raises(StoreError) as refusal:
        records.recall(RELEASE)
    assert refusal.value.code == "store.damaged"


def test_a_record_moved_to_another_release_is_damaged(records: FirstUse, tmp_path: Path) -> None:
    records.remember(RELEASE, [WHEEL])
    first = record_file(tmp_path)
    other = replace(RELEASE, version="2.0")
    records.remember(other, [WHEEL])
    (second,) = set((tmp_path / "store" / "first-use").iterdir()) - {first}
    os.replace(first, second)
    with pytest.raises(StoreError) as refusal:
        records.recall(other)
    assert refusal.value.code == "store.damaged"


def test_a_writer_that_is_killed_leaves_no_half_record(records: FirstUse, tmp_path: Path) -> None:
    def work() -> None:
        while True:
            for number in range(1000):
                records.remember(replace(RELEASE, version=str(number)), [WHEEL])

    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    while len(os.listdir(tmp_path / "store" / "first-use")) < 5:
        os.sched_yield()
    os.kill(child, 9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    for number in range(5):
        assert records.recall(replace(RELEASE, version=str(number))) == (WHEEL,)
