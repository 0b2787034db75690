"""The wire format under any chunking, and under any bytes."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawld.errors import CODES
from virtual_sprawl import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.property

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=6)
# Undecodable file names arrive as lone surrogates; other surrogates cannot come from the file system.
TEXT = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


@contextmanager
def only_protocol_errors() -> Iterator[None]:
    """Let a refusal pass; anything else fails the test."""
    try:
        yield
    except protocol.ProtocolError as error:
        if error.code not in CODES:
            raise AssertionError(f"unregistered code {error.code}") from error


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=30))
def test_frames_survive_any_chunking(frames: list[tuple[int, bytes]], places: list[int]) -> None:
    stream = b"".join(protocol.encode_frame(kind, payload) for kind, payload in frames)
    reader = protocol.FrameReader(protocol.REQUEST_LIMIT)
    seen = [frame for chunk in cut(stream, places) for frame in reader.feed(chunk)]
    assert seen == frames
    assert reader.pending == 0


@given(FRAMES)
def test_frames_survive_one_byte_at_a_time(frames: list[tuple[int, bytes]]) -> None:
    stream = b"".join(protocol.encode_frame(kind, payload) for kind, payload in frames)
    reader = protocol.FrameReader(protocol.REQUEST_LIMIT)
    assert [frame for byte in stream for frame in reader.feed(bytes((byte,)))] == frames


@given(st.dictionaries(TEXT, TEXT, max_size=8))
def test_fields_come_back_as_they_were(fields: dict[str, str]) -> None:
    assert protocol.decode_fields(protocol.encode_fields(fields)) == fields


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_strings_come_back_as_they_were(strings: list[bytes]) -> None:
    assert protocol.decode_strings(protocol.encode_strings(strings)) == strings


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_arbitrary_bytes_raise_only_protocol_errors(stream: bytes, places: list[int]) -> None:
    reader = protocol.FrameReader(1000)
    with only_protocol_errors():
        for chunk in cut(stream, places):
            for _, payload in reader.feed(chunk):
                protocol.decode_fields(payload)
    assert reader.pending <= 400


@given(st.binary(max_size=200))
def test_arbitrary_payloads_raise_only_protocol_errors(payload: bytes) -> None:
    for decode in (protocol.decode_fields, protocol.decode_strings):
        with only_protocol_errors():
            decode(payload)


def test_a_frame_over_the_limit_is_refused_by_its_head_alone() -> None:
    reader = protocol.FrameReader(10)
    head = protocol.encode_frame(1, b"x" * 11)[: protocol.HEAD_BYTES]
    with pytest.raises(protocol.ProtocolError) as refusal:
        list(reader.feed(head))
    assert refusal.value.code == "proto.too-large"


def test_another_version_is_told_after_four_bytes() -> None:
    with pytest.raises(protocol.ProtocolError) as refusal:
        list(protocol.FrameReader(10).feed(b"vsp\x02"))
    assert refusal.value.code == "proto.version"


def test_another_protocol_is_told_after_one_byte() -> None:
    with pytest.raises(protocol.ProtocolError) as refusal:
        list(protocol.FrameReader(10).feed(b"G"))
    assert refusal.value.code == "proto.malformed"
