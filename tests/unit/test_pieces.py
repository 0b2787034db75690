from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from sprawld.errors import LockError
from sprawld.lockfiles.pieces import Pieces
from tests.support.locks import package, uv_lock

LOCK = uv_lock(package("a"), package("b", more='[package.metadata]\nkind = "x"\n'), package("c"))
PATH = Path("/somewhere/uv.lock")


def test_the_document_is_that_of_the_whole() -> None:
    assert Pieces().parse(PATH, LOCK) == tomli.loads(LOCK)


def test_what_two_locks_share_is_parsed_and_built_once() -> None:
    pieces = Pieces()
    first = pieces.parse(PATH, LOCK)["package"]
    second = pieces.parse(PATH, LOCK.replace('name = "b"', 'name = "other"'))["package"]
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert first[0] is second[0]
    assert first[1] is not second[1]
    built = [pieces.built(table, lambda: object()) for table in (first[0], second[0])]
    assert built[0] is built[1]
    assert pieces.built({}, lambda: "anew") == "anew"


@pytest.mark.parametrize(
    "text",
    [
        # A line of a string, a comment, a table of the document after a package, a package in the head.
        LOCK + 'text = """\n[[package]]\n"""\n',
        LOCK + "text = '''\n[[package]]\n'''\n",
        LOCK + "#\n# [[package]]\n",
        LOCK + '\n[manifest]\nmembers = ["a"]\n',
        LOCK + '\n[[ package ]]\nname = "d"\n',
        "[[package]]\n" + LOCK.partition("\n")[2],
        LOCK.replace("\n", "\r\n"),
    ],
)
def test_what_is_unusual_means_the_same(text: str) -> None:
    assert Pieces().parse(PATH, text) == tomli.loads(text)


@pytest.mark.parametrize(
    "more",
    [
        "broken\n",
        "\n[[package]]\nbroken\n",
        "x = [\n[[package]]\n",
        "\n[package]\n",
        "\n[[package]]\na = 1\na = 2\n",
    ],
)
def test_a_fault_is_told_as_of_the_whole(more: str) -> None:
    with pytest.raises(tomli.TOMLDecodeError) as expected:
        tomli.loads(LOCK + more)
    with pytest.raises(LockError) as caught:
        Pieces().parse(PATH, LOCK + more)
    assert caught.value.code == "lock.syntax"
    assert str(expected.value) in caught.value.message


def test_it_is_bounded() -> None:
    pieces = Pieces(most_characters=len(package("a")) * 2)
    for name in "abcdefgh":
        table = pieces.parse(PATH, uv_lock(package(name)))["package"]
        assert isinstance(table, list)
    assert len(pieces._pieces) == len(pieces._by_table) <= 2
    assert pieces._held <= pieces._most
