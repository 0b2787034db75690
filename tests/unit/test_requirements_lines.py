from __future__ import annotations

import codecs

import pytest

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.requirements_lines import decode, parse_line, parse_text, via_comments
from tests.support.locks import DIGEST


def requirements(text: str, **variables: str) -> list[str]:
    return [line.requirement for line in parse_text(text, variables)]


class TestDecoding:
    @pytest.mark.parametrize(
        "data",
        [
            "é".encode(),
            codecs.BOM_UTF8 + "é".encode(),
            codecs.BOM_UTF16_LE + "é".encode("utf-16-le"),
            codecs.BOM_UTF16_BE + "é".encode("utf-16-be"),
            codecs.BOM_UTF32_LE + "é".encode("utf-32-le"),
            codecs.BOM_UTF32_BE + "é".encode("utf-32-be"),
        ],
    )
    def test_byte_order_marks(self, data: bytes) -> None:
        assert decode(data) == "é"

    @pytest.mark.parametrize(
        "cookie", ["# -*- coding: latin-1 -*-", "#coding=iso-8859-1", "#!x\n# vim: coding:cp1252"]
    )
    def test_cookies_in_the_first_two_lines(self, cookie: str) -> None:
        assert decode(f"{cookie}\n".encode() + b"\xe9").endswith("é")

    @pytest.mark.parametrize(
        "data",
        [
            b"\xe9",
            b"\n\n# coding: latin-1\n\xe9",
            b"# coding: no-such-set\nx",
            b"# coding: idna\nx",
            b"# coding: unicode_escape\n\\u0041",
            b"# coding: rot13\nx",
            b"# coding: zlib\nx",
            codecs.BOM_UTF16_LE + b"x",
        ],
    )
    def test_what_is_no_text(self, data: bytes) -> None:
        with pytest.raises(Fault) as caught:
            decode(data)
        assert caught.value.code == "lock.not-utf8"


class TestLines:
    def test_continuations_and_comments(self) -> None:
        text = "a==1 \\\n  # ends it\nb==1 \\\n ; python_version > '3'\n#c==1\nd==1#e  # comment\n\n  f==1\\"
        assert requirements(text) == ["a==1", "b==1  ; python_version > '3'", "d==1#e", "f==1"]

    def test_carriage_returns_and_odd_line_ends(self) -> None:
        assert requirements("a==1\r\nb==1\x0cc==1\u2028d==1") == ["a==1", "b==1", "c==1", "d==1"]

    def test_numbers_are_those_of_the_first_physical_line(self) -> None:
        lines = list(parse_text("# x\na==1 \\\n --hash=sha256:00\nb==1"))
        assert [line.number for line in lines] == [2, 4]

    def test_variables(self) -> None:
        assert requirements("a @ https://${TOKEN}@h/", TOKEN="x") == ["a @ https://x@h/"]
        for text in ("${OTHER}", "$TOKEN", "${token}", "${EMPTY}"):
            assert requirements(text, TOKEN="x", EMPTY="") == [text]
        assert requirements("${A}", A="${B}", B="x") == ["${B}"]

    def test_a_line_too_long(self) -> None:
        with pytest.raises(Fault) as caught:
            requirements("a==1 \\\n" * 200_000)
        assert caught.value.code == "lock.invalid"


class TestOptions:
    @pytest.mark.parametrize(
        ("line", "option", "values"),
        [
            ("-i https://h/", "--index-url", ("https://h/",)),
            ("-ihttps://h/", "--index-url", ("https://h/",)),
            ("--index-url=https://h/", "--index-url", ("https://h/",)),
            ("--pypi-url https://h/", "--index-url", ("https://h/",)),
            ("--extra-index https://h/", "--extra-index-url", ("https://h/",)),
            ("-r 'a b.txt' -r c.txt", "--requirement", ("a b.txt", "c.txt")),
            ("-c c.txt", "--constraint", ("c.txt",)),
            ("-f ./wheels", "--find-links", ("./wheels",)),
            ("--require-hashes", "--require-hashes", ("",)),
            ("--pre --no-index", "--no-index", ("",)),
            ("--no-binary :all: --only-binary=a,b", "--only-binary", ("a,b",)),
            ("-e .", "--editable", (".",)),
            ("-e .[a, b] ; os_name == 'nt'", "--editable", (".[a, b] ; os_name == 'nt'",)),
            ("-e ./a ; os_name == 'nt' --config-settings x=y", "--editable", ("./a ; os_name == 'nt'",)),
            ("--editable=git+https://h/a@v1#egg=a", "--editable", ("git+https://h/a@v1#egg=a",)),
            ("-e 'dir with spaces'", "--editable", ("dir with spaces",)),
        ],
    )
    def test_lines_of_options(self, line: str, option: str, values: tuple[str, ...]) -> None:
        parsed = parse_line(line)
        assert parsed.requirement == ""
        assert parsed.values(option) == values

    def test_hashes_of_a_requirement(self) -> None:
        line = parse_line(f"a==1 --hash=sha256:{DIGEST} --hash=sha512:00")
        assert (line.requirement, line.values("--hash")) == ("a==1", (f"sha256:{DIGEST}", "sha512:00"))
        assert parse_line(f"a==1 --hash sha256:{DIGEST} --config-settings='x=y z'").values("--hash") == (
            f"sha256:{DIGEST}",
        )

    @pytest.mark.parametrize(
        "line",
        [
            "--unknown",
            "-x",
            "--",
            "-",
            "--no",
            "-r",
            "--pre=x",
            "-i 'https://h",
            "-r a b",
            "a==1 --global-option=x",
        ],
    )
    def test_what_is_no_option(self, line: str) -> None:
        with pytest.raises(Fault) as caught:
            parse_line(line)
        assert caught.value.code == "lock.syntax"


def test_comments_that_tell_who_needs_it() -> None:
    text = (
        "# header via nothing\n"
        "a==1\n    # via b\n"
        "c==1 \\\n    --hash=sha256:00\n    # via\n    #   d\n    #   -r requirements/main.in\n"
        "e==1\n    # via f, g\n    # other words follow here\n"
        "h==1\n"
    )
    assert via_comments(text) == {2: ("b",), 4: ("d", "-r requirements/main.in"), 9: ("f", "g")}
