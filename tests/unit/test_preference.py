"""The orders in which the tools prefer wheels."""

from __future__ import annotations

import pytest

from sprawld.acquire.environment import describe
from sprawld.lockfiles.artifacts import wheel_parts
from sprawld.lockfiles.preference import by_pip, preference_of
from tests.support.locks import linux


def best(form: str, *tails: str, platform: str = "linux", python: str = "3.12.1") -> str:
    """Return the tail of the wheel that is taken, the first of equals."""
    environment = describe(python, platform)
    order = preference_of(form)
    values = []
    for tail in tails:
        parts = wheel_parts(f"foo-1.0-{tail}.whl")
        assert parts is not None
        values.append(order(parts, environment))
    fitting = [(value, tail) for value, tail in zip(values, tails, strict=True) if value is not None]
    return max(fitting, key=lambda item: item[0])[1]


NATIVE, PURE = "cp312-cp312-manylinux_2_17_x86_64", "py3-none-any"
PLAIN = "cp312-cp312-linux_x86_64"


@pytest.mark.parametrize("form", ["uv 1.3", "pdm 4.5", "pylock 1.0", "pipfile 6", "requirements"])
def test_the_tag_comes_before_the_build_tag(form: str) -> None:
    assert best(form, f"9-{PURE}", NATIVE) == NATIVE


def test_poetry_looks_at_the_build_tag_first() -> None:
    assert best("poetry 2.1", NATIVE, f"9-{PURE}") == f"9-{PURE}"
    assert best("poetry 2.1", PURE, NATIVE) == NATIVE


def test_pdm_heeds_no_build_tags() -> None:
    assert best("pdm 4.5", PURE, f"9-{PURE}") == PURE
    assert best("uv 1.3", PURE, f"9-{PURE}") == f"9-{PURE}"


def test_pdm_sees_little_in_a_tag_of_an_older_version() -> None:
    assert best("pdm 4.5", "py39-none-any", "py2.py3-none-any") == "py2.py3-none-any"
    assert best("pdm 4.5", "py39-none-any", "cp311-cp311-win_amd64") == "py39-none-any"


def test_pdm_puts_the_version_before_the_abi() -> None:
    tails = ("cp39-abi3-manylinux_2_17_x86_64", "py312-none-any", "cp38-abi3-manylinux_2_28_x86_64")
    assert best("pdm 4.5", *tails) == tails[1]
    assert best("pip", *tails) == tails[0]
    assert best("pdm 4.5", *tails[::2]) == tails[0]
    assert best("pdm 4.5", "cp312-none-manylinux_2_17_x86_64", NATIVE) == NATIVE
    assert best("pdm 4.5", "cp312-abi3-manylinux_2_28_x86_64", NATIVE) == NATIVE
    assert best("pdm 4.5", "py3-none-manylinux_2_17_x86_64", PURE) == "py3-none-manylinux_2_17_x86_64"


@pytest.mark.parametrize(("form", "taken"), [("uv 1.3", NATIVE), ("pdm 4.5", NATIVE), ("pylock 1.0", PLAIN)])
def test_a_plain_linux_tag(form: str, taken: str) -> None:
    assert best(form, PLAIN, NATIVE) == taken
    assert best(form, PLAIN, PURE) == PLAIN
    # It never counts more than a better ABI.
    assert best(form, "cp312-abi3-manylinux_2_17_x86_64", PLAIN) == PLAIN


def test_pdm_goes_upwards_on_musl() -> None:
    old, new = "cp312-cp312-musllinux_1_1_x86_64", "cp312-cp312-musllinux_1_2_x86_64"
    assert best("pdm 4.5", new, old, platform="musllinux-x86_64") == old
    assert best("pdm 4.5", PLAIN, old, platform="musllinux-x86_64") == PLAIN
    assert best("uv 1.3", old, new, platform="musllinux-x86_64") == new
    assert best("poetry 2.1", old, new, platform="musllinux-x86_64") == new


@pytest.mark.parametrize("form", ["uv 1", "poetry 2.1", "pdm 4.5", "pylock 1.0"])
def test_what_does_not_fit_has_no_place(form: str) -> None:
    parts = wheel_parts("foo-1.0-cp311-cp311-win_amd64.whl")
    assert parts is not None
    assert preference_of(form)(parts, linux()) is None


def test_tags_of_other_interpreters_beside_fitting_ones_do_no_harm() -> None:
    assert best("pdm 4.5", "py2.py3-none-any", "pp310.cp312-none-any") == "pp310.cp312-none-any"
    assert preference_of("anything") is by_pip
