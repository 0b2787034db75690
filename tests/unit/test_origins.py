"""Origins: records of where wheels came from, without secrets, and as good as absent when damaged."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.store.origins import Origin, Origins
from sprawld.store.tree import Store
from tests.support import entries

ORIGIN = Origin(filename="demo-1.0-py3-none-any.whl", name="demo", version="1.0", size=12, url="https://h/x")
DIGEST = entries.digest_of("demo")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_what_was_recorded_is_recalled(store: Store) -> None:
    origins = Origins(store.root)
    assert origins.recall(DIGEST) is None
    origins.record(DIGEST, ORIGIN)
    origins.record(DIGEST, replace(ORIGIN, path="/a/b.whl"))
    assert origins.recall(DIGEST) == replace(ORIGIN, path="/a/b.whl")
    origins.forget(DIGEST)
    origins.forget(DIGEST)
    assert origins.recall(DIGEST) is None
    assert list((store.root / "tmp").iterdir()) == []


def test_secrets_are_left_out(store: Store) -> None:
    origins = Origins(store.root)
    secret = replace(ORIGIN, url="https://user:pw@h/x.whl?token=1#f", index="https://user:pw@h/simple/")
    origins.record(DIGEST, secret)
    text = (store.root / "origins" / f"{DIGEST}.json").read_text()
    assert "pw" not in text
    assert "token" not in text
    assert origins.recall(DIGEST) == replace(ORIGIN, url="https://h/x.whl", index="https://h/simple/")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "filename": "a", "name": "a", "version": "1"}',
        '{"format": 1, "filename": "../a", "name": "a", "version": "1"}',
        '{"format": 1, "filename": "a", "name": "a", "version": "1", "url": 1}',
        '{"format": 1, "filename": "a", "name": "a", "version": "1", "size": "1"}',
    ],
)
def test_a_damaged_record_is_none(store: Store, content: str) -> None:
    (store.root / "origins" / f"{DIGEST}.json").write_text(content)
    assert Origins(store.root).recall(DIGEST) is None


def test_records_of_what_is_gone_are_swept(store: Store) -> None:
    origins = Origins(store.root)
    for name in ("one", "two"):
        origins.record(entries.digest_of(name), ORIGIN)
    assert origins.sweep(set(), before=0) == 0, "they may be new"
    assert origins.sweep({entries.digest_of("one")}, before=time.time() + 1) == 1
    assert origins.recall(entries.digest_of("one")) == ORIGIN
    assert origins.recall(entries.digest_of("two")) is None


def test_a_store_without_the_directory_gets_one(store: Store) -> None:
    (store.root / "origins").rmdir()
    assert Origins(store.root).sweep(set(), before=time.time()) == 0
    Origins(store.root).record(DIGEST, ORIGIN)
    assert Origins(store.root).recall(DIGEST) == ORIGIN
