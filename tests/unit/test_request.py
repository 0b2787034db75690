"""A RESOLVE request, checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprawld.errors import RequestError
from sprawld.model import Wanted
from sprawld.request import ResolveRequest, wanted_of
from virtual_sprawl import protocol

LEAST = {"python": "/usr/bin/python3", "start": "/project"}


def test_the_least_that_can_be_asked() -> None:
    request = ResolveRequest.from_payload(protocol.encode_fields(LEAST))
    assert (request.python, request.start) == ("/usr/bin/python3", Path("/project"))
    assert (request.script, request.lock, request.wanted, request.offline) == (None, None, Wanted(), False)


def test_options_become_what_is_wanted() -> None:
    request = ResolveRequest.from_fields(
        {
            **LEAST,
            "extras": "socks, http2",
            "groups": "test",
            "options": "all-extras,no-dev,offline,only-group:docs,no-group:lint",
        }
    )
    assert request.offline
    assert request.wanted == Wanted(
        extras=("socks", "http2"),
        groups=("test",),
        only_groups=("docs",),
        no_groups=("lint",),
        all_extras=True,
        no_dev=True,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"python": "/usr/bin/python3"},
        {**LEAST, "start": "relative"},
        {**LEAST, "lock": "uv.lock"},
        {**LEAST, "script": "/a\0b"},
        {**LEAST, "options": "only-group:"},
        {**LEAST, "options": "surprise"},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(RequestError) as refusal:
        ResolveRequest.from_fields(fields)
    assert refusal.value.code == "proto.malformed"


def test_a_misspelt_option_is_answered_with_those_there_are() -> None:
    with pytest.raises(RequestError) as refusal:
        wanted_of((), (), ("all_extras",))
    assert "all_extras" in str(refusal.value)
    assert "all-extras, all-groups, no-dev" in refusal.value.hint


def test_fields_of_a_newer_client_are_ignored() -> None:
    assert ResolveRequest.from_fields({**LEAST, "colour": "blue"}).python == LEAST["python"]
