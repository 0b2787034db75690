"""Holders: the processes that have a lease open are named, forks and links included."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sprawld.store.holders import holders_of
from sprawld.store.tree import Store
from tests.support import entries


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows open files in /proc")
def test_who_has_the_lease_open_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    entries.publish_entry(store, "one")
    used = store.set_path(entries.publish_set(store, ["one"], tmp_path / "uv.lock"))
    idle = store.set_path(entries.publish_set(store, [], tmp_path / "other.lock"))
    (tmp_path / "link").symlink_to(store.root)
    with entries.leased(used):
        found = holders_of([used, idle])
        assert [holder.pid for holder in found[used]] == [os.getpid()]
        assert "py" in found[used][0].command
        assert set(found) == {used}
        linked = tmp_path / "link" / "sets" / used.name
        assert [holder.pid for holder in holders_of([linked])[linked]] == [os.getpid()]
    assert holders_of([used, idle]) == {}


def test_a_system_without_proc_names_nobody(tmp_path: Path) -> None:
    assert holders_of([tmp_path], processes=tmp_path / "no-proc") == {}
    (tmp_path / "proc" / "12" / "fd").mkdir(parents=True)
    (tmp_path / "proc" / "12" / "fd" / "3").symlink_to(tmp_path / "lease")
    (tmp_path / "lease").touch()
    assert [h.command for h in holders_of([tmp_path], processes=tmp_path / "proc")[tmp_path]] == [""]
    assert holders_of([]) == {}
