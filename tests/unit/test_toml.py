from __future__ import annotations

import os
from pathlib import Path

import pytest

from sprawld.errors import LockError, SelectionError
from sprawld.lockfiles import _toml
from sprawld.lockfiles._toml import (
    Fault,
    Table,
    at,
    each,
    get,
    invalid,
    reading,
    require,
    shown,
    strings,
    tables,
    within,
)
from tests.support.locks import write


def reading_fails(path: Path) -> str:
    with pytest.raises(LockError) as caught:
        _toml.read_toml(path)
    assert str(path) in caught.value.message
    return caught.value.code


class TestReading:
    def test_a_document_is_parsed(self, tmp_path: Path) -> None:
        assert _toml.read_toml(write(tmp_path, "uv.lock", "version = 1\n")) == {"version": 1}

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"\xff\xfe", "lock.not-utf8"),
            (b"\xef\xbb\xbfversion = 1", "lock.not-utf8"),
            (b"version = ", "lock.syntax"),
            (b"a = 1\na = 2", "lock.syntax"),
            (b'a = "\x00"', "lock.syntax"),
            (b"a = " + b"[" * 100_000, "lock.syntax"),
            (b"a = " + b"1" * 10_000, "lock.syntax"),
        ],
        ids=["not-utf8", "bom", "cut-off", "twice", "nul", "nested", "long-integer"],
    )
    def test_what_does_not_parse_is_refused(self, tmp_path: Path, data: bytes, code: str) -> None:
        assert reading_fails(write(tmp_path, "uv.lock", data)) == code

    def test_only_regular_files_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "directory.lock").mkdir()
        os.mkfifo(tmp_path / "fifo.lock")
        (tmp_path / "device.lock").symlink_to("/dev/zero")
        (tmp_path / "loop.lock").symlink_to("loop.lock")
        for name in ("directory", "fifo", "device", "loop"):
            assert reading_fails(tmp_path / f"{name}.lock") == "lock.unreadable"
        assert reading_fails(tmp_path / "absent.lock") == "lock.not-found"

    def test_a_link_to_a_regular_file_is_read(self, tmp_path: Path) -> None:
        write(tmp_path, "real.toml", "a = 1")
        (tmp_path / "uv.lock").symlink_to("real.toml")
        assert _toml.read_toml(tmp_path / "uv.lock") == {"a": 1}

    def test_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        path = write(tmp_path, "uv.lock", "")
        os.truncate(path, 100 << 20)
        assert reading_fails(path) == "lock.too-large"

    def test_a_file_that_grows_beyond_its_size_is_refused(self) -> None:
        # Files of /proc say they are empty.
        with pytest.raises(LockError) as caught:
            _toml.read_bytes(Path("/proc/self/maps"), limit=10)
        assert caught.value.code == "lock.too-large"


TABLE: Table = {
    "text": "a",
    "number": 1,
    "flag": True,
    "list": ["a", 1],
    "tables": [{}, 1],
    "inner": {"x": 1},
}


class TestGetters:
    def test_values_of_the_right_kind(self) -> None:
        assert get(TABLE, "text", str) == "a"
        assert get(TABLE, "absent", str) is None
        assert require(TABLE, "number", int) == 1
        assert strings(TABLE, "absent") == ()
        assert tables(TABLE, "absent") == []
        assert _toml.table(TABLE, "inner") == {"x": 1}
        assert _toml.table(TABLE, "absent") == {}

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda t: get(t, "number", str), "number: expected string, got int"),
            (lambda t: get(t, "flag", int), "flag: expected int, got boolean"),
            (lambda t: require(t, "absent", str), "absent: missing"),
            (lambda t: strings(t, "list"), "list[1]: expected string, got int"),
            (lambda t: strings(t, "text"), "text: expected array, got string"),
            (lambda t: tables(t, "tables"), "tables[1]: expected table, got int"),
            (lambda t: _toml.table(t, "text"), "text: expected table, got string"),
        ],
    )
    def test_values_of_another_kind_are_faults(self, call: object, message: str) -> None:
        with pytest.raises(Fault) as caught:
            call(TABLE)  # type: ignore[operator]
        assert (caught.value.code, caught.value.message) == ("lock.invalid", message)


class TestBreadcrumbs:
    def test_a_fault_says_where_it_is(self) -> None:
        document = {"packages": [{"wheels": [{"size": 1}, {"size": 2}, {"size": "x"}]}]}

        def wheel(item: Table) -> int:
            return require(item, "size", int)

        with pytest.raises(LockError) as caught, reading(Path("/p/uv.lock")):
            each(document, "packages", lambda item: each(item, "wheels", wheel))
        assert caught.value.code == "lock.invalid"
        assert caught.value.message == "/p/uv.lock: packages[0].wheels[2]: size: expected int, got string"

    def test_tables_and_places_by_name(self) -> None:
        with pytest.raises(Fault) as caught, at("package[3]"):
            within({"source": {}}, "source", lambda item: require(item, "url", str))
        assert caught.value.crumbs == ["package[3]", "source"]

    def test_codes_of_selection_give_selection_errors(self) -> None:
        with pytest.raises(SelectionError), reading(Path("/p/uv.lock")):
            raise Fault("select.no-wheel", "none")

    def test_a_document_nested_too_deeply_is_invalid(self) -> None:
        def descend(depth: int) -> int:
            return descend(depth + 1)

        with pytest.raises(LockError) as caught, reading(Path("/p/uv.lock")):
            descend(0)
        assert caught.value.code == "lock.invalid"

    def test_nothing_of_a_lock_reaches_a_terminal_as_it_is(self) -> None:
        assert shown("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
        assert len(shown("x" * 10_000)) < 200
        with pytest.raises(Fault) as caught:
            get({"\x1b[2J": 1}, "\x1b[2J", str)
        assert "\x1b" not in caught.value.message
        with pytest.raises(Fault):
            invalid("x")
