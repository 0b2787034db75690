"""Standing: a set stands while its entries are there, and a change of the store is noticed by one stat."""

from __future__ import annotations

import os
from pathlib import Path

from sprawld.standing import Standing
from tests.support import entries
from tests.support.world import World


def test_a_set_stands_while_its_entries_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    digest = world.project("one", "alpha", "beta")
    standing = Standing(world.store)
    assert standing.stands(digest)
    entries.publish_entry(world.store, "gamma")
    assert standing.stands(digest)
    lost = next(iter(world.store.entries()))
    for name in [*world.store.entries()]:
        os.chmod(world.store.entry_path(name), 0o755)
    for name in [*world.store.entries()]:
        # One after the other, those of others first or last: in the end one of its own has gone.
        os.rename(world.store.entry_path(name), tmp_path / name)
    assert lost not in {*world.store.entries()}
    assert not standing.stands(digest)


def test_without_a_description_nothing_stands(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert not Standing(world.store).stands("0" * 40)


def test_the_store_may_be_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    digest = world.project("one", "alpha")
    standing = Standing(world.store)
    os.rename(world.store.root, tmp_path / "elsewhere")
    assert not standing.stands(digest)
