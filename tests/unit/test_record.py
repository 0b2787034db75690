"""RECORD: rows, their faults, the match with the wheel's files, and the rewriting of moved paths."""

from __future__ import annotations

import base64
import csv
import hashlib
import io

import pytest

from sprawld.acquire.record import Row, exempt, match, parse_record, relocate
from sprawld.errors import WheelError
from tests.support.wheels import record_row

INFO = "demo-1.0.dist-info"
HASH = hashlib.sha256(b"x").digest()


def encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_rows() -> None:
    text = f'{record_row("a.py", b"x")}\n"b,""c"".py",sha512={encoded(HASH * 2)},7\n{INFO}/RECORD,,\n'
    assert parse_record(text.encode(), INFO) == {
        "a.py": Row("sha256", HASH, 1),
        'b,"c".py': Row("sha512", HASH * 2, 7),
    }


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_endings(ending: str) -> None:
    assert list(parse_record((record_row("a.py", b"x") + ending).encode(), INFO)) == ["a.py"]


def test_both_base64_alphabets_and_hexadecimal_digits_mean_one_hash() -> None:
    digest = bytes.fromhex("fb" * 32)
    assert "-" in encoded(digest)
    for text in (encoded(digest), base64.b64encode(digest).decode(), digest.hex(), digest.hex().upper()):
        assert parse_record(f"a,sha256={text},1\n".encode(), INFO)["a"].digest == digest


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a", "record.malformed"),
        ("a,b,c,d", "record.malformed"),
        (f"a,sha256={encoded(HASH)},", "record.malformed"),
        (f"a,sha256={encoded(HASH)},-1", "record.malformed"),
        (f"a,sha256={encoded(HASH)},1_0", "record.malformed"),
        (f"a,sha256={encoded(HASH)},\u0661", "record.malformed"),
        (f"a,sha256={encoded(HASH)}," + "9" * 30, "record.malformed"),
        (f"a,sha256={HASH.hex()[:-2]},1", "record.malformed"),
        (f"a,sha256={HASH.hex()[:-1]}g,1", "record.malformed"),
        (f"a,sha256={encoded(HASH)[:-1]}!,1", "record.malformed"),
        ("a,sha256=,1", "record.malformed"),
        ('"a,sha256=x,1', "record.malformed"),
        ('"a"b,sha256=x,1', "record.malformed"),
        (f"a,SHA256={encoded(HASH)},1", "record.weak-hash"),
        ("a,,1", "record.weak-hash"),
        ("a,md5=x,1", "record.weak-hash"),
        ("a,sha1=x,1", "record.weak-hash"),
        (f"{record_row('a', b'')}\n{record_row('a', b'')}", "record.duplicate"),
        (f"{INFO}/RECORD,,\n{INFO}/RECORD,,", "record.duplicate"),
        (f"{INFO}/RECORD,,5", "record.malformed"),
    ],
)
def test_faults(row: str, code: str) -> None:
    with pytest.raises(WheelError) as refused:
        parse_record(row.encode(), INFO)
    assert refused.value.code == code


def test_not_utf8() -> None:
    with pytest.raises(WheelError) as refused:
        parse_record(b"\xff,,", INFO)
    assert refused.value.code == "record.malformed"


def rows_of(*names: str) -> dict[str, Row]:
    return {name: Row("sha256", HASH, 1) for name in names}


def test_match() -> None:
    match(rows_of("a", "b"), ["a", "b", *exempt(INFO)], INFO)
    match(rows_of("a", f"{INFO}/RECORD.jws"), ["a", f"{INFO}/RECORD.jws"], INFO)


@pytest.mark.parametrize(
    ("listed", "present", "code"),
    [
        ("a", "ab", "record.unlisted"),
        ("ab", "a", "record.absent"),
        ("a", "b", "record.unlisted"),
        ("", "a", "record.unlisted"),
    ],
)
def test_mismatch(listed: str, present: str, code: str) -> None:
    with pytest.raises(WheelError) as refused:
        match(rows_of(*listed), list(present), INFO)
    assert refused.value.code == code


def test_only_the_wheels_own_signatures_are_exempt() -> None:
    with pytest.raises(WheelError) as refused:
        match({}, ["other-1.0.dist-info/RECORD"], INFO)
    assert refused.value.code == "record.unlisted"


def test_relocate_gives_paths_from_site_packages() -> None:
    rows = [record_row("demo.py", b"x"), record_row("demo-1.0.data/scripts/a,b", b"x"), f"{INFO}/RECORD,,"]
    content = "\n".join(rows).encode()
    moved = relocate(content, {"demo-1.0.data/scripts/a,b": "bin/a,b"}, "lib/python/site-packages")
    names = [row[0] for row in csv.reader(io.StringIO(moved.decode()))]
    assert names == ["demo.py", "../../../bin/a,b", f"{INFO}/RECORD"]
    assert parse_record(moved, INFO)["../../../bin/a,b"] == Row("sha256", HASH, 1)


def test_relocate_adds_the_scripts_that_a_set_makes() -> None:
    content = f"{record_row('demo.py', b'x')}\n{INFO}/RECORD,,\n".encode()
    moved = relocate(content, {}, "lib/python/site-packages", ["bin/demo", "bin/tool"])
    rows = list(csv.reader(io.StringIO(moved.decode())))
    assert rows[2:] == [["../../../bin/demo", "", ""], ["../../../bin/tool", "", ""]]


def test_relocate_lists_a_script_once() -> None:
    rows = [record_row("demo-1.0.data/scripts/demo", b"x"), f"{INFO}/RECORD,,"]
    places = {"demo-1.0.data/scripts/demo": "bin/demo"}
    moved = relocate("\n".join(rows).encode(), places, "lib/python/site-packages", ["bin/demo"])
    names = [row[0] for row in csv.reader(io.StringIO(moved.decode()))]
    assert names == ["../../../bin/demo", f"{INFO}/RECORD"]
