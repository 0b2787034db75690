"""Properties of single values of a lockfile: markers, names, files, URLs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.markers import Marker as Reference
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from sprawld.lockfiles.artifacts import artifact, file_hash, package_name, web_url
from sprawld.lockfiles.markers import holds, parse_marker
from tests.support.locks import linux, macos, refusal, windows

pytestmark = pytest.mark.property

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# --- markers

FACTS = st.sampled_from(
    [
        "sys_platform == 'linux'",
        "os_name=='nt'",
        "python_version in '3.8, 3.12'",
        "'3.10' < python_full_version",
        'platform_machine != "arm64"',
        "python_full_version == '3.12.*'",
        "'inux' in sys_platform",
        "python_full_version not in '3.9'",
    ]
)


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(inner, st.sampled_from(["and", " or "]), inner).map(
        lambda parts: f"{parts[0]} {parts[1]} {parts[2]}"
    )
    return joined | inner.map(lambda text: f"({text})") | inner.map(lambda text: f"  {text}\t")


@quick
@given(st.recursive(FACTS, combined, max_leaves=12), st.sampled_from([linux(), macos(), windows()]))
def test_markers_mean_what_packaging_says(text: str, here: Any) -> None:
    assert holds(parse_marker(text), here) is Reference(text).evaluate(dict(here.markers))


@quick
@given(st.text(st.sampled_from("()\"' andor_me=!<>.3extras\x1b"), max_size=60) | st.text(max_size=40))
def test_any_text_is_a_marker_or_a_fault(text: str) -> None:
    caught = refusal(lambda: holds(parse_marker(text), linux()))
    if caught is not None:
        assert caught.code == "lock.invalid"
    elif parse_marker(text) is not None:
        Reference(text)


# --- names, files, URLs


@quick
@given(
    st.text(max_size=60)
    | st.from_regex(r"\Aa-1\.0-[\w.]*-[\w.]*-[\w.]*\.whl\Z")
    | st.from_regex(r"\Aa-[0-9.ab-]*\.tar\.gz\Z")
)
def test_a_file_name_fits_or_is_refused(filename: str) -> None:
    caught = refusal(lambda: artifact(canonicalize_name("a"), "1.0", filename=filename))
    if caught is not None:
        assert caught.code == "lock.filename-mismatch"
        return
    found = artifact(canonicalize_name("a"), "1.0", filename=filename)
    if found is not None:
        assert "/" not in found.filename
        assert found.filename.isprintable()
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
            assert (name, Version(version.public)) == ("a", Version("1.0"))


@quick
@given(st.text(max_size=80) | st.from_regex(r"\A(https?|file|git)://[^/]{0,20}/.{0,20}"))
def test_other_values_are_sound_or_faults(text: str) -> None:
    for check in (web_url, file_hash, package_name):
        caught = refusal(lambda check=check: check(text))  # type: ignore[misc]
        assert caught is None or caught.code in ("lock.invalid", "lock.url-refused")
