"""The line grammar of requirements files: it ends, refuses with a code, and gives back what was written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.requirements_lines import Line, decode, parse_text, via_comments

pytestmark = pytest.mark.property

quick = settings(max_examples=300, deadline=None)

names = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
versions = st.from_regex(r"[0-9]\.[0-9]{1,2}", fullmatch=True)
pins = st.builds(lambda name, version: f"{name}=={version}", names, versions)
hashes = st.lists(
    st.integers(min_value=0, max_value=2**256 - 1).map(lambda n: f"sha256:{n:064x}"), max_size=4
)
blank = st.sampled_from(["", " ", "  ", "\t"])
ends = st.sampled_from(["\n", "\r\n"])
pieces = st.sampled_from(
    [
        "a==1",
        " ",
        "\t",
        "\n",
        "\\",
        "\\\n",
        "#",
        "# via x",
        "-r",
        "-e .",
        "--hash=",
        "--pre",
        "'",
        '"',
        ";",
        "${A}",
        "-",
    ]
)


def parsed(text: str) -> list[Line] | str:
    try:
        return list(parse_text(text, {"A": "x"}))
    except Fault as fault:
        return fault.code


class TestRoundTrip:
    """However a pinned requirement is laid out, the same requirement and hashes are read."""

    @quick
    @given(st.lists(st.tuples(pins, hashes, blank, ends), max_size=5))
    def test_continued_lines(self, entries: list[tuple[str, list[str], str, str]]) -> None:
        text = "".join(
            f"{space}{pin}" + "".join(f" \\{end}    --hash={digest}" for digest in digests) + f"{space}{end}"
            for pin, digests, space, end in entries
        )
        lines = parsed(text)
        assert isinstance(lines, list)
        assert [(line.requirement, list(line.values("--hash"))) for line in lines] == [
            (pin, digests) for pin, digests, _, _ in entries
        ]

    @quick
    @given(pins, st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=20))
    def test_comments_say_nothing(self, pin: str, comment: str) -> None:
        for text in (f"{pin} #{comment}", f"#{comment}\n{pin}", f"{pin}\n  #{comment}"):
            lines = parsed(text)
            assert isinstance(lines, list)
            assert [line.requirement for line in lines] == [pin]

    @quick
    @given(st.lists(pins, max_size=4), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
    def test_encodings(self, entries: list[str], encoding: str) -> None:
        text = "\n".join(entries)
        assert decode(text.encode(encoding)) == text


class TestAnything:
    """Any text gives lines or a refusal; a line without white space at its ends, its number in the text."""

    @quick
    @given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=12).map("".join)))
    def test_text(self, text: str) -> None:
        lines = parsed(text)
        if isinstance(lines, str):
            assert lines == "lock.syntax"
            return
        count = len(text.splitlines())
        assert all(line.requirement == line.requirement.strip() for line in lines)
        assert all(1 <= line.number <= count for line in lines)
        assert all(1 <= number <= count for number in via_comments(text))

    @quick
    @given(st.binary(max_size=60))
    def test_bytes(self, data: bytes) -> None:
        try:
            text: str | None = decode(data)
        except Fault as fault:
            text = None
            code = fault.code
        assert text is not None or code == "lock.not-utf8"
