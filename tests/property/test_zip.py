"""One reading of an archive: what is accepted is what CPython's zipfile sees, and names lead nowhere else."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sprawld.acquire import inflate
from sprawld.acquire.membernames import decode_name
from sprawld.acquire.record import parse_record
from sprawld.acquire.unpack import unpack_wheel
from sprawld.acquire.wheelfile import read_wheel
from sprawld.acquire.wheelmetadata import parse_entry_points, parse_filename, parse_metadata, parse_wheel_file
from sprawld.acquire.zipstructure import read_members
from sprawld.errors import WheelError
from tests.support.odd_wheels import ODD, TIMESTAMP
from tests.support.wheels import (
    DEFLATED,
    DESCRIPTOR_FLAG,
    STORED,
    UTF8_FLAG,
    Member,
    wheel_members,
    write_zip,
    zip_bytes,
)

pytestmark = [pytest.mark.property, pytest.mark.timeout(600)]

MUTANTS = int(os.environ.get("SPRAWL_TEST_MUTANTS", "5000"))
"""The long run of the test programme sets this to 200,000."""

BASES = (
    *("stored", "directories", "descriptor", "descriptor-of-64-bit-without-signature", "zip64-local"),
    *(
        "zip64-archive",
        "zip64-repeated",
        "other-order",
        "archive-comment",
        "timestamps",
        "unicode-path",
        "made-on-dos",
    ),
    *("other-alphabet", "every-scheme"),
)


def build(case: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        return ODD[case](Path(directory)).read_bytes()


ARCHIVES = [build(case) for case in BASES]
SIGNATURES = [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"]
WORDS = [
    b"\0\0",
    b"\1\0",
    b"\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x08\0",
    b"\0\x08",
    b"/",
    b"..",
    b"\\",
]


def headers(archive: bytes) -> list[int]:
    """Return where records start: mutations there are the interesting ones."""
    found = []
    for signature in SIGNATURES:
        place = archive.find(signature)
        while place >= 0:
            found.append(place)
            place = archive.find(signature, place + 1)
    return sorted(found)


HEADERS = [headers(archive) for archive in ARCHIVES]


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """Return a valid archive with one to three small changes."""
    number = draw(st.integers(0, len(ARCHIVES) - 1))
    archive = bytearray(ARCHIVES[number])
    for _ in range(draw(st.integers(1, 3))):
        near = draw(st.sampled_from(HEADERS[number])) + draw(st.integers(0, 80))
        place = draw(st.one_of(st.just(near), st.integers(0, len(archive)))) % (len(archive) + 1)
        length = draw(st.integers(1, 8))
        kind = draw(st.sampled_from(["flip", "replace", "insert", "delete", "repeat", "copy"]))
        if kind == "flip" and place < len(archive):
            archive[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "replace":
            word = draw(st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=8)))
            archive[place : place + len(word)] = word
        elif kind == "insert":
            archive[place:place] = draw(st.one_of(st.sampled_from(WORDS + SIGNATURES), st.binary(max_size=8)))
        elif kind == "delete":
            del archive[place : place + length]
        elif kind == "repeat":
            archive[place:place] = archive[place : place + length * 8]
        elif kind == "copy":
            source = draw(st.sampled_from(HEADERS[number]))
            archive[place : place + length * 4] = archive[source : source + length * 4]
    return bytes(archive)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from([b"a", b"b", b"A", b"a/b", b"b/", b"c d", "\u00e9".encode(), "e\u0301".encode()]),
    "content": st.sampled_from([b"", b"x", b"ab" * 500, bytes(9000)]),
    "method": st.sampled_from([STORED, DEFLATED]),
    "mode": st.sampled_from([0, 0o644, 0o100644, 0o100755, 0o040755, 0o120777]),
    "flags": st.sampled_from([0, UTF8_FLAG, UTF8_FLAG | 2, UTF8_FLAG | DESCRIPTOR_FLAG, 1]),
    "version": st.sampled_from([10, 45, 63, 64, 0xFFFF]),
    "host": st.sampled_from([0, 3, 10]),
    "extra": st.sampled_from([b"", TIMESTAMP, b"\x01\0\0\0", b"\xff"]),
    "comment": st.sampled_from([b"", b"comment", b"PK\x01\x02"]),
    "local_extra": st.sampled_from([None, b"", TIMESTAMP]),
    "local_name": st.sampled_from([None, b"z"]),
    "local_size": st.sampled_from([None, 0, 1]),
    "local_crc": st.sampled_from([None, 0]),
    "claimed_size": st.sampled_from([None, 0, 1, 1000]),
    "claimed_crc": st.sampled_from([None, 0]),
    "padding": st.sampled_from([b"", b"\0"]),
}


@st.composite
def crafted(draw: st.DrawFn) -> bytes:
    """Return an archive whose members are honest but for a field here and there."""
    members = []
    for _ in range(draw(st.integers(1, 4))):
        odd = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
        honest = {"name": b"m%d" % len(members), "content": b"content " * 20}
        members.append(Member(**{**honest, **{field: draw(FIELDS[field]) for field in odd}}))
    comment = draw(st.sampled_from([b"", b"", b"comment", b"PK\x05\x06"]))
    return zip_bytes(draw(st.permutations(members)), comment=comment)


@contextlib.contextmanager
def refusals(*prefixes: str) -> Iterator[None]:
    """Let a refusal with a fitting code pass; anything else fails the test."""
    try:
        yield
    except WheelError as error:
        if not (error.code.startswith(prefixes) and error.message.isprintable()):
            raise AssertionError(repr(error)) from error


def our_reading(archive: bytes) -> dict[str, bytes] | None:
    """Return name -> content as we read it; None where we refuse."""
    streamed = None
    with refusals("zip."):
        members = read_members(archive)
        contents = {member.name: inflate.content(archive, member) for member in members}
        streamed = {member.name: b"".join(inflate.pieces(archive, member)) for member in members}
    if streamed is None:
        return None
    assert contents == streamed
    assert len(contents) == len(members)
    return contents


@settings(max_examples=MUTANTS, deadline=None, database=None)
@given(st.one_of(mutants(), crafted()))
def test_mutants_are_refused_or_read_as_zipfile_reads_them(archive: bytes) -> None:
    ours = our_reading(archive)
    if ours is not None:
        with zipfile.ZipFile(io.BytesIO(archive)) as theirs:
            infos = theirs.infolist()
            assert {info.filename: theirs.read(info) for info in infos} == ours
            assert len(infos) == len(ours)


@pytest.mark.parametrize("number", range(len(BASES)), ids=BASES)
def test_the_archives_themselves_are_read(number: int) -> None:
    """The control of the test above: without it, refusing everything would pass."""
    assert our_reading(ARCHIVES[number])


@settings(max_examples=500, deadline=None, database=None)
@given(st.binary(max_size=300))
def test_any_bytes(archive: bytes) -> None:
    assert our_reading(archive) is None


PARTS = [
    *(b"..", b".", b"", b"a", b"A", b"/", b"\\", b"C:", b"~", b"%2e%2e", b"\0", b"demo"),
    *(b"demo-1.0.data", b"data", b"purelib", b"scripts", b"manifest", b"demo-1.0.dist-info"),
]
NAMES = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map(b"/".join),
)


@settings(max_examples=600, deadline=None, database=None)
@given(st.lists(NAMES, min_size=1, max_size=3))
@example([b"../x"])
@example([b"demo-1.0.data/data/../../x"])
def test_names_never_lead_outside(names: list[bytes]) -> None:
    """Whatever an archive with such names writes is a plain file in the staging directory."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        members = [*wheel_members(), *(Member(name=name, content=b"x") for name in names)]
        wheel = write_zip(root / "demo-1.0-py3-none-any.whl", members)
        staging = root / "deep/er/staging"
        staging.mkdir(parents=True)
        before = outside(root, staging)
        with refusals("zip.", "wheel."):
            summary = unpack_wheel(
                str(wheel),
                str(staging),
                filename=wheel.name,
                digest="0" * 64,
                boot_id="boot",
                allow_bad_record=True,
            )
            written = [path for path in staging.rglob("*") if not path.is_dir()]
            assert len(written) == summary.files + 1
            assert all(path.is_file() and not path.is_symlink() for path in written)
        assert outside(root, staging) == before


def outside(root: Path, staging: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if not path.is_relative_to(staging) or path == staging)


@settings(max_examples=1000, deadline=None, database=None)
@given(NAMES, st.booleans())
def test_a_name_is_refused_or_taken_as_it_is(raw: bytes, utf8: bool) -> None:
    try:
        name = decode_name(raw, utf8=utf8)
    except WheelError:
        return
    assert name.encode() == raw
    components = name.removesuffix("/").split("/")
    assert {"", ".", ".."}.isdisjoint(components)
    assert Path("/root", name).is_relative_to("/root")
    assert "\\" not in name


EXPECTED = parse_filename("demo-1.0-py3-none-any.whl")
ROW = b"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
PARSERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "record": (
        lambda text: parse_record(text, "demo-1.0.dist-info"),
        [b"a,sha256=", b"demo-1.0.dist-info/RECORD,,", ROW, b'"', b"\n", b",", b"\r"],
    ),
    "entry points": (parse_entry_points, [b"[console_scripts]\n", b"a", b" = ", b"m:f", b"[x]", b"\n", b";"]),
    "metadata": (
        lambda text: parse_metadata(text, EXPECTED),
        [b"Name: ", b"demo", b"\n", b"Version: ", b"1.0", b" ", b":"],
    ),
    "wheel": (
        lambda text: parse_wheel_file(text, EXPECTED),
        [b"Wheel-Version: ", b"1.0", b"\n", b"Tag: py3-none-any", b"Root-Is-Purelib: ", b"-"],
    ),
    "file name": (
        lambda text: parse_filename(text.decode("utf-8", "surrogateescape")),
        [b"demo", b"-", b"1.0", b"py3-none-any", b".whl", b"."],
    ),
}


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=400, deadline=None, database=None)
@given(data=st.data())
def test_parsers_refuse_with_codes(parser: str, data: st.DataObject) -> None:
    parse, words = PARSERS[parser]
    pieces = data.draw(st.lists(st.sampled_from(words) | st.binary(max_size=6), max_size=12))
    with refusals("record.", "wheel."):
        parse(b"".join(pieces))


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(ARCHIVES), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_wheel_is_refused_with_a_code(archive: bytes, place: int, damage: bytes) -> None:
    place %= len(archive)
    with refusals("zip.", "wheel.", "record."):
        read_wheel(archive[:place] + damage + archive[place + len(damage) :], "demo-1.0-py3-none-any.whl")
