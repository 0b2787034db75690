"""The programme's small versions: each bar holds, and each control fails as it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import programme, report
from .programme import Context, Outcome, Skip

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

IN_THE_SUITE = ("T2", "T4", "T13", "T16")
"""What is quick, and not what other tests of the suite do already; the rest is run by hand."""


@pytest.mark.parametrize("name", IN_THE_SUITE)
def test_the_bar_is_met_and_the_control_fails(name: str) -> None:
    try:
        outcome = programme.item(name).run(Context(seed=1, full=False, name=name))
    except Skip as reason:
        pytest.skip(str(reason))
    assert outcome.failures == []
    assert outcome.control_failed, outcome.control


@pytest.mark.parametrize("name", programme.ITEMS)
def test_every_item_says_what_it_is(name: str) -> None:
    module = programme.item(name)
    assert module.TITLE
    assert module.BAR
    assert callable(module.run)


def test_a_bar_without_a_control_that_fails_is_not_met() -> None:
    assert not Outcome(control="nothing was switched off").met
    assert Outcome(control_failed=True).met
    assert not Outcome(control_failed=True, failures=["torn"]).met


def test_the_report_names_what_was_not_run_and_no_places_of_this_machine(tmp_path: Path) -> None:
    outcome = Outcome(
        figures={"torn": 0}, control="torn", control_failed=True, failures=[f"{tmp_path}/x is torn"]
    )
    programme.save(tmp_path, "T1", outcome, seed=1, full=True, seconds=2)
    kept = programme.load(tmp_path)
    report.write(kept, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert str(tmp_path) not in text
    assert "| T1 |" in text
    assert "not run" in text
    assert "**no**" in text


def test_results_survive_until_the_report(tmp_path: Path) -> None:
    programme.save(tmp_path, "T2", Outcome(skipped=["no disk"]), seed=1, full=True, seconds=2)
    assert programme.load(tmp_path)["T2"]["skipped"] == ["no disk"]
