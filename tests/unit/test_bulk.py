from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import LockError
from sprawld.lockfiles._toml import MAXIMUM_BYTES
from sprawld.lockfiles.bulk import check_bulk, check_lines
from sprawld.lockfiles.read import read_lock
from tests.conformance.compare import corpus_directory
from tests.support.costs import measured
from tests.support.locks import write

CORPUS = corpus_directory()
LOCK = Path("/p/uv.lock")
MANY = 13 * 60_000


def full(piece: str, before: str = "", after: str = "") -> str:
    """A text of the largest size that is read at all."""
    return before + piece * ((MAXIMUM_BYTES - len(before) - len(after)) // len(piece)) + after


def refused(text: str) -> bool:
    try:
        check_bulk(LOCK, text)
    except LockError as error:
        return error.code == "lock.too-large"
    return False


class TestStructure:
    @pytest.mark.parametrize(
        "text",
        [
            "x = [" + "0," * MANY + "]",
            "x = [" + "{}," * MANY + "]",
            "[[a]]\n" * MANY,
            " \t[a]\n" * MANY,
            "".join(f"a{number}=1\n" for number in range(MANY)),
            "x = {" + "a.b.c.d=1," * 60_000 + "}",
        ],
    )
    def test_more_than_any_lock_has(self, text: str) -> None:
        assert refused(text)

    @pytest.mark.parametrize(
        "before", ['a = """x""""', 'a = """\\""""', "a = '''x''''", "a = '\"'", 'a = "\\\\"']
    )
    def test_strings_hide_nothing_that_follows_them(self, before: str) -> None:
        assert refused(f"{before}\nx = [{'0,' * MANY}]")
        assert refused(f"x = [{before[4:]}, {'0,' * MANY}]")

    @pytest.mark.parametrize("around", ['"{}"', "'{}'", '"""\n{}\n"""', "'''\n{}\n'''", "# {}\n", '"\\"{}"'])
    def test_what_is_said_in_strings_and_comments_does_not_count(self, around: str) -> None:
        assert not refused("x = " + around.format("{a.b," * 200_000))

    def test_few_marks_are_not_looked_at_closely(self) -> None:
        assert not refused("[a.b.c]\n" * 10_000)


def test_lines_of_any_kind() -> None:
    check_lines(LOCK, "a==1\n" * 200_000)
    for end in ("\n", "\r", "\r\n", "\u2028", "\x85"):
        with pytest.raises(LockError) as caught:
            check_lines(LOCK, f"a==1{end}" * 200_001)
        assert caught.value.code == "lock.too-large"


LARGEST = {
    "open strings": ("uv.lock", full('\\\\"""', "," * 70_000 + 'a = """')),
    "quotes": ("uv.lock", full('"', "," * 70_000)),
    "backslashes": ("uv.lock", full('"\\\\', "," * 70_000)),
    "headers": ("uv.lock", "".join(f"[a{number}.b.c.d.e.f.g]\n" for number in range(9_900))),
    "plain headers": ("uv.lock", "".join(f"[a{number}]\n" for number in range(49_000)) + "# " + "." * 100),
    "parts of a key": ("uv.lock", full("a.", after="a = 1")),
    "tables": ("poetry.lock", f"x = [{'{},' * 290_000}]"),
    "values": ("pdm.lock", f"x = [{'0,' * 590_000}]"),
    "objects": ("Pipfile.lock", f'{{"default": {{}}, "a": [{"{}," * 290_000}0]}}'),
    "requirements": ("requirements.txt", "".join(f"a{number}==1\n" for number in range(199_000))),
    "one requirement": ("requirements.txt", "a==1\n" * 199_000),
    "continued lines": ("requirements.txt", "a \\\n" * 199_000),
    "hashes": ("requirements.txt", full(f"--hash=sha256:{'0' * 64} ", "a==1 ")),
}


@pytest.mark.parametrize(("name", "text"), LARGEST.values(), ids=LARGEST.keys())
def test_the_most_that_is_read_takes_a_second_and_128_mib_at_most(
    tmp_path: Path, name: str, text: str
) -> None:
    path = write(tmp_path, name, text)
    del text
    with pytest.raises(LockError), measured() as cost:
        read_lock(path)
    assert (cost.seconds < 1, cost.bytes < 128 << 20) == (True, True), cost


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus of lockfiles at {CORPUS}")
def test_no_real_lock_comes_near_the_limit() -> None:
    locks = [path for pattern in ("*.lock", "pylock*.toml") for path in CORPUS.rglob(pattern)]
    assert len(locks) > 60
    for path in locks:
        text = path.read_text("utf-8", errors="replace")
        # Eight of the largest one after the other are still read.
        check_bulk(path, text * 8)
