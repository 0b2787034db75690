"""Two of the suites of `tests.conformance.suites`: run by pytest in a venv and under `sprawl run`, now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreters import interpreters

from .packages import workplace
from .suites import PYTHON, compare_suite
from .suites_list import QUICK, SUITES


@pytest.mark.network
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUICK)
def test_a_suite_passes_as_in_a_venv(name: str, tmp_path: Path) -> None:
    if PYTHON not in interpreters():
        pytest.skip(f"no CPython {PYTHON} on this machine")
    (suite,) = (suite for suite in SUITES if suite.name == name)
    with workplace(tmp_path) as place:
        compared = compare_suite(suite, place)
    if compared.skipped:
        pytest.skip(compared.skipped)
    assert compared.different == []
    assert compared.ours == compared.theirs
    assert compared.ours["passed"] > 50
    assert compared.ours.get("failed", 0) == 0
