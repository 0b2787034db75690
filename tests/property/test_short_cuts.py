"""The short cuts for common wheels: what they say is what the long way says, and they say nothing else."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sprawld.acquire.membernames import _compare, _surely_differ, are_plain, decode_name
from sprawld.acquire.record import _common_rows, _every_row
from sprawld.acquire.zipend import find_directory
from sprawld.acquire.zipentries import _entries, _plain_entries
from sprawld.errors import StoreError, WheelError
from sprawld.pathsets.wheelfiles import _table
from sprawld.store.manifest import _files, _sound_files
from tests.property.test_zip import ARCHIVES, MUTANTS, crafted, mutants
from tests.support.wheels import record_row

pytestmark = [pytest.mark.property, pytest.mark.timeout(600)]

COMPONENTS = st.one_of(
    st.sampled_from(["", ".", "..", "a", "A", "b", "...", "c:", "a b", "\\", "\x7f", "\n", "x" * 200]),
    st.text(st.characters(max_codepoint=127), max_size=4),
)
NAMES = st.one_of(
    st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join),
    st.sampled_from(["a/" * 62 + "a", "a/" * 63 + "a", "a/" * 64 + "a", "a/" * 64, "a" * 300]),
)


@settings(max_examples=MUTANTS // 5, deadline=None, database=None)
@given(st.one_of(mutants(), crafted()))
def test_plain_entries_are_those_of_the_long_way(archive: bytes) -> None:
    try:
        start, end, count = find_directory(archive)
    except WheelError:
        return
    plain = _plain_entries(archive[start:end], count)
    if plain is not None:
        assert plain == list(_entries(archive[start:end], count))


def test_plain_archives_take_it() -> None:
    taken = 0
    for archive in ARCHIVES:
        start, end, count = find_directory(archive)
        taken += _plain_entries(archive[start:end], count) is not None
    assert taken >= 5


@settings(max_examples=2000, deadline=None, database=None)
@example([""])
@example(["", "a"])
@example(["/"])
@example(["a//", "b"])
@given(st.lists(NAMES, max_size=4))
def test_plain_names_are_all_let_in(names: list[str]) -> None:
    if are_plain(names):
        for name in names:
            assert decode_name(name.encode(), utf8=False) == name


@pytest.mark.parametrize(
    "names", [["a/b.py", "c/", "c/d e.txt"], ["a/" * 40 + "a"], ["a/" * 61 + "abc" * 10]]
)
def test_common_names_are_plain(names: list[str]) -> None:
    assert are_plain(names)


@settings(max_examples=2000, deadline=None, database=None)
@example(["x", "X", "p\nq"])
@given(st.lists(NAMES, max_size=6))
def test_names_that_surely_differ_do(names: list[str]) -> None:
    if _surely_differ(names):
        _compare(names)


def test_common_names_surely_differ() -> None:
    assert _surely_differ(["a/b.py", "a/c.py", "a/", "A2/b.py"])
    assert not _surely_differ(["a/b.py", "A/B.py"])
    assert not _surely_differ(["a", "a/b.py"])


def changed(text: str, place: int, word: str) -> str:
    place %= len(text) + 1
    return text[:place] + word + text[place + len(word) :]


ROWS = "".join(f"{record_row(f'a/{number}.py', b'%d' % number)}\n" for number in range(3))
RECORDS = (f"{ROWS}d/RECORD,,\n", f"d/RECORD,,\r\n{ROWS}"[:-1], "d/RECORD,,", f"{ROWS}d/RECORD,,\n".upper())
WORDS = [
    ",",
    "\n",
    "\r",
    '"',
    "=",
    "-",
    "_",
    "+",
    "/",
    "\0",
    "a/0.py",
    "d/RECORD,,\n",
    "\x85",
    "é",
    "٣",
    "sha512",
]


@settings(max_examples=3000, deadline=None, database=None)
@given(st.sampled_from(RECORDS), st.lists(st.tuples(st.integers(0, 300), st.sampled_from(WORDS)), max_size=3))
def test_common_rows_are_those_of_the_long_way(text: str, changes: list[tuple[int, str]]) -> None:
    for change in changes:
        text = changed(text, *change)
    common = _common_rows(text.encode(), "d")
    if common is not None:
        assert common == _every_row(text.encode(), "d")
        assert list(common) == list(_every_row(text.encode(), "d"))


@pytest.mark.parametrize("text", RECORDS[:3])
def test_a_common_record_takes_it(text: str) -> None:
    assert _common_rows(text.encode(), "d") == _every_row(text.encode(), "d")


LISTED = "".join(f"{str(number) * 64} {number} 444 a/{number}.py\n" for number in range(4)) + "end\n"
MARKS = [
    " ",
    "\n",
    "\r",
    "\0",
    "/",
    "//",
    "..",
    "/./",
    "end\n",
    "0",
    "x",
    "٣",
    "\x85",
    "5550",
    "a/9.py\nend\n",
]


@settings(max_examples=3000, deadline=None, database=None)
@example("end\n", [])
@example(f"{'a' * 64} 1 444 x/end\n", [])
@example(f"bad\n{'a' * 64} 1 444 x/end\n", [])
@given(st.just(LISTED), st.lists(st.tuples(st.integers(0, 400), st.sampled_from(MARKS)), max_size=3))
def test_sound_manifests_are_those_of_the_long_way(text: str, changes: list[tuple[int, str]]) -> None:
    for change in changes:
        text = changed(text, *change)
    sound = _sound_files(text.encode())
    try:
        expected = list(_files(text.encode(), "it"))
    except StoreError:
        expected = None
    # The short way takes all that is sound, or lines would be looked at one by one for nothing.
    assert sound == expected


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.just("sha256=x"), st.integers(0, 99)), max_size=4))
def test_a_record_is_written_as_csv(rows: list[tuple[str, str, int]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    assert _table(rows) == text.getvalue()
