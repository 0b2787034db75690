from __future__ import annotations

import dataclasses

import pytest

from sprawld.lockfiles._toml import Fault
from sprawld.lockfiles.markers import holds, parse_marker, python_allowed
from tests.support.locks import linux, macos, windows


def true(text: str, *, extras: str = "", groups: str = "", python: str = "3.12.1") -> bool:
    return holds(
        parse_marker(text),
        linux(python),
        extras=frozenset(extras.split()),
        groups=frozenset(groups.split()),
    )


class TestFacts:
    def test_no_marker_always_holds(self) -> None:
        assert parse_marker(None) is None
        assert parse_marker("  ") is None
        assert holds(None, linux())

    @pytest.mark.parametrize(
        "text",
        [
            "sys_platform == 'linux'",
            'os.name == "posix"',
            "'linux' in sys_platform",
            "sys.platform != 'win32'",
            "python_version in '3.8, 3.12'",
            "python_version not in '3.8, 3.9'",
            "python_full_version >= '3.12' and python_full_version < '3.13'",
            "'3.8' <= python_version",
            "python_version>='3'and(os_name=='posix')",
            "platform_python_implementation == 'CPython' or os_name == 'nt'",
            "python_implementation == 'CPython'",
            "python_full_version == '3.12.*'",
            "python_version ~= '3.8'",
        ],
    )
    def test_markers_that_hold(self, text: str) -> None:
        assert true(text)

    def test_and_binds_more_strongly_than_or(self) -> None:
        assert true("os_name == 'posix' or os_name == 'nt' and os_name == 'java'")
        assert not true("(os_name == 'posix' or os_name == 'nt') and os_name == 'java'")

    def test_the_answer_is_that_of_the_environment_asked_about(self) -> None:
        marker = parse_marker("platform_machine == 'arm64' and sys_platform == 'darwin'")
        assert [holds(marker, here) for here in (linux(), macos(), windows())] == [False, True, False]

    def test_names_an_environment_lacks_are_empty_and_not_those_of_this_process(self) -> None:
        bare = dataclasses.replace(linux(), markers={"python_version": "3.12"})
        assert holds(parse_marker("sys_platform == ''"), bare)

    def test_more_environments_than_are_kept(self) -> None:
        marker = parse_marker("sys_platform == 'linux'")
        others = [dataclasses.replace(windows()) for _ in range(100)]
        assert holds(marker, linux())
        assert not any(holds(marker, other) for other in others)
        assert holds(marker, linux())

    def test_a_pre_release_interpreter_falls_into_no_gap(self) -> None:
        early = dataclasses.replace(
            linux("3.13.0"), markers={**linux("3.13.0").markers, "python_full_version": "3.13.0rc1"}
        )
        assert holds(parse_marker("python_full_version >= '3.13'"), early)
        assert not holds(parse_marker("python_full_version < '3.13'"), early)
        assert python_allowed(">=3.13", early)
        assert not python_allowed("<3.13", early)


class TestSets:
    def test_extra_is_a_set(self) -> None:
        both = "extra == 'a' and extra == 'b'"
        assert true(both, extras="a b")
        assert not true(both, extras="a")
        assert true("extra != 'c' and extra == 'a'", extras="a b")
        assert not true("extra != 'a'", extras="a b")
        assert true("extra != 'a'")

    def test_names_are_normalised(self) -> None:
        assert true("extra == 'Foo_Bar'", extras="foo-bar")
        assert true("'Foo_Bar' == extra", extras="foo-bar")

    def test_extras_and_groups_of_a_lock(self) -> None:
        assert true("'x' in extras and 'dev' in dependency_groups", extras="x", groups="dev")
        assert not true("'x' in extras", groups="x")
        assert true("'x' not in extras or 'y' not in dependency_groups", extras="x")


class TestRefusals:
    @pytest.mark.parametrize(
        "text",
        [
            "os_name",
            "os_name == 'posix' and",
            "and os_name == 'posix'",
            "(os_name == 'posix'",
            "os_name == 'posix')",
            "()",
            "os_name == 'posix' os_name == 'nt'",
            "os_name == posix",
            "nonsense == 'x'",
            "'a' == 'b'",
            "extra > 'a'",
            "extras == 'a'",
            "dependency_groups in ('dev', 'test')",
            "os_name == 'posix\x1b[31m",
            "python_version ~= '3'",
        ],
    )
    def test_what_is_no_marker_is_refused(self, text: str) -> None:
        with pytest.raises(Fault) as caught:
            holds(parse_marker(text), linux())
        assert caught.value.code == "lock.invalid"
        assert "\x1b" not in caught.value.message

    @pytest.mark.parametrize(
        "text",
        [
            " or ".join(["os_name == 'a'"] * 10_000),
            " or ".join(["os_name=='a'"] * 1_500),
            "(" * 5_000 + "os_name == 'a'" + ")" * 5_000,
            "os_name == '" + "a" * 100_000 + "'",
        ],
        ids=["10000-or", "1500-or", "5000-deep", "long"],
    )
    def test_bombs_are_refused(self, text: str) -> None:
        with pytest.raises(Fault) as caught:
            parse_marker(text)
        assert caught.value.code == "lock.invalid"


def test_python_allowed() -> None:
    assert python_allowed(">=3.10,<4", linux())
    assert python_allowed("==3.12.*", linux())
    assert not python_allowed(">=3.13", linux())
    with pytest.raises(Fault):
        python_allowed("three", linux())
