"""Pins: what the user wants kept, on the disk and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import StoreError
from sprawld.store.installs import InstallRoots
from sprawld.store.pins import Pin, Pins, covers
from sprawld.store.tree import Store

LOCK = Path("/projects/app/uv.lock")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Store.open(tmp_path / "store").root


def test_a_pin_stays_until_it_is_taken_away(root: Path) -> None:
    assert Pins(root).pin(LOCK, now=5)
    assert not Pins(root).pin(LOCK, now=6)
    assert Pins(root).all() == [Pin(path=LOCK, pinned=5)]
    assert InstallRoots(root).all() == []
    assert Pins(root).unpin(LOCK)
    assert not Pins(root).unpin(LOCK)
    assert Pins(root).all() == []


@pytest.mark.parametrize(
    ("pinned", "covered"),
    [
        ("/projects/app/uv.lock", True),
        ("/projects/app", True),
        ("/projects", True),
        ("/projects/ap", False),
        ("/projects/app/poetry.lock", False),
    ],
)
def test_a_directory_stands_for_the_locks_below_it(pinned: str, covered: bool) -> None:
    assert covers([Pin(path=Path(pinned), pinned=0)], LOCK) is covered


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pin": 1}', b'{"pin": "/x"}'])
def test_a_pin_that_cannot_be_read_is_an_error(root: Path, content: bytes) -> None:
    (root / "roots" / "pin-x.json").write_bytes(content)
    with pytest.raises(StoreError) as refusal:
        Pins(root).all()
    assert refusal.value.code == "store.damaged"


def test_there_are_no_pins_in_a_store_that_is_gone(tmp_path: Path) -> None:
    assert Pins(tmp_path / "gone").all() == []
