"""Constraints of poetry: what they have in common with PEP 440, and that anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.poetry_constraints import parse_constraint

pytestmark = pytest.mark.property

quick = settings(max_examples=300, deadline=None)

numbers = st.integers(min_value=0, max_value=12)
releases = st.lists(numbers, min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
suffixes = st.sampled_from(["", "", "", "a1", "rc2", ".post1", ".dev3"])
versions = st.builds(lambda release, suffix: Version(release + suffix), releases, suffixes)
comparisons = st.builds(
    lambda operator, release: operator + release,
    st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]),
    releases,
)


class TestAgainstPep440:
    """Comparisons of final releases mean what they mean in PEP 440."""

    @quick
    @given(st.lists(comparisons, min_size=1, max_size=4), versions)
    def test_comparisons(self, parts: list[str], version: Version) -> None:
        expected = SpecifierSet(",".join(parts)).contains(version, prereleases=True)
        for separator in (",", ", ", " "):
            assert parse_constraint(separator.join(parts)).allows(version) is expected

    @quick
    @given(st.lists(numbers, min_size=2, max_size=4), versions)
    def test_compatible_release(self, parts: list[int], version: Version) -> None:
        release = ".".join(map(str, parts))
        # `==V.*` of PEP 440 does not take the pre-releases of the next series either.
        expected = SpecifierSet(f"~={release}").contains(version, prereleases=True)
        assert parse_constraint(f"~={release}").allows(version) is expected


class TestStructure:
    """Alternatives are a union, parts an intersection; carets and tildes begin at their version."""

    @quick
    @given(comparisons, comparisons, versions)
    def test_union_and_intersection(self, left: str, right: str, version: Version) -> None:
        one, other = parse_constraint(left).allows(version), parse_constraint(right).allows(version)
        assert parse_constraint(f"{left} || {right}").allows(version) is (one or other)
        assert parse_constraint(f"{left},{right}").allows(version) is (one and other)

    @quick
    @given(st.sampled_from("^~"), releases, versions)
    def test_caret_and_tilde(self, sign: str, release: str, version: Version) -> None:
        constraint = parse_constraint(sign + release)
        assert constraint.allows(Version(release))
        if constraint.allows(version):
            assert version >= Version(release)
            assert version.major == Version(release).major

    @quick
    @given(releases, versions)
    def test_a_bare_version_is_that_version(self, release: str, version: Version) -> None:
        assert parse_constraint(release).allows(version) is (version == Version(release))


@quick
@given(st.text(alphabet="0123456789.^~=<>!*|, abxpostdevrc+-v", max_size=40))
def test_anything_is_a_constraint_or_refused(text: str) -> None:
    try:
        answer: bool | str = parse_constraint(text).allows(Version("1.0"))
    except Fault as fault:
        answer = fault.code
    assert answer in (True, False, "lock.invalid")
