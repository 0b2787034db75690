"""Links that an older set has get a further name; whatever is wrong with them, a set has links of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprawld.pathsets.older import OlderSets
from sprawld.pathsets.pathset import SetEntry
from tests.support.interpreters import newest
from tests.support.workshop import Workshop, environment_of


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "store")


def links(path: Path) -> dict[str, tuple[str, int]]:
    """Return where each link of a set leads, and how many names it has."""
    return {
        str(found.relative_to(path)): (os.readlink(found), found.lstat().st_nlink)
        for found in path.rglob("*")
        if found.is_symlink()
    }


def older_of(workshop: Workshop, path: Path, *entries: SetEntry) -> OlderSets:
    older = OlderSets(workshop.store / "sets")
    (client,) = os.listdir(workshop.store / "client")
    digests = [entry.digest for entry in entries]
    older.note(path.name, [*digests, client, environment_of(newest()).executable])
    return older


def test_links_of_the_same_entries_are_shared(workshop: Workshop) -> None:
    one = workshop.entry("one", files={"one/__init__.py": "", "one.txt": ""}, data={"data/share/one": "1"})
    two = workshop.entry("two", files={"two.py": ""})
    first = workshop.build(newest(), one)
    second = workshop.build(newest(), one, two, older=older_of(workshop, first, one))
    expected = {
        place: (target, 1 if place.endswith(("/two.py", "/two-1.0.dist-info")) else 2)
        for place, (target, _) in links(second).items()
    }
    assert links(second) == expected
    assert {target for _, (target, _) in links(first).items()} < {
        target for _, (target, _) in links(second).items()
    }
    # Neither the lease nor anything else that is the set's own is shared.
    assert (first / "lease").stat().st_nlink == (second / "lease").stat().st_nlink == 1


def test_one_set_goes_and_the_other_keeps_its_links(workshop: Workshop) -> None:
    one, two = workshop.entry("one", files={"one.py": "1"}), workshop.entry("two", files={"two.py": ""})
    first = workshop.build(newest(), one)
    second = workshop.build(newest(), one, two, older=older_of(workshop, first, one))
    place = next(first.glob("lib/*/site-packages/one.py"))
    place.parent.chmod(0o755)
    place.unlink()
    assert (second / place.relative_to(first)).read_text() == "1"


@pytest.mark.parametrize("wrong", ["gone", "elsewhere", "file"])
def test_a_link_that_is_not_the_same_is_made(workshop: Workshop, wrong: str) -> None:
    one, two = workshop.entry("one", files={"one.py": "1"}), workshop.entry("two", files={"two.py": ""})
    first = workshop.build(newest(), one)
    place = next(first.glob("lib/*/site-packages/one.py"))
    place.parent.chmod(0o755)
    place.unlink()
    if wrong == "elsewhere":
        place.symlink_to("../one.py")
    elif wrong == "file":
        place.write_text("2")
    second = workshop.build(newest(), one, two, older=older_of(workshop, first, one))
    found = second / place.relative_to(first)
    assert (found.read_text(), found.lstat().st_nlink) == ("1", 1)


def test_an_older_set_that_is_gone_altogether(workshop: Workshop) -> None:
    one = workshop.entry("one", files={"one.py": "1"})
    older = OlderSets(workshop.store / "sets")
    older.note("0" * 40, [one.digest])
    path = workshop.build(newest(), one, older=older)
    assert {names for _, names in links(path).values()} == {1}


def test_the_latest_set_is_asked(tmp_path: Path) -> None:
    older = OlderSets(tmp_path)
    older.note("first", ["a", "b"])
    older.note("second", ["b"])
    assert [older.find(linked) for linked in "abc"] == [f"{tmp_path}/first", f"{tmp_path}/second", None]
