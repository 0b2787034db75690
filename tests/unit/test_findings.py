"""Findings: the sample of a day, and when a store is sound."""

from __future__ import annotations

import pytest

from sprawld.findings import DAY_SECONDS, SAMPLE_DAYS, Finding, is_sound, sample, settle


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100, 333])
def test_a_row_of_days_covers_everything(count: int) -> None:
    digests = [f"{number:04}" for number in range(count)]
    seen = set()
    for day in range(1000, 1000 + SAMPLE_DAYS):
        chosen = sample(digests, day * DAY_SECONDS)
        assert len(chosen) == -(-count // SAMPLE_DAYS)
        assert sample(digests[::-1], day * DAY_SECONDS + DAY_SECONDS - 1) == chosen
        seen |= chosen
    assert seen == set(digests)


def test_only_what_is_repaired_leaves_a_store_sound() -> None:
    findings = [Finding(kind="extra", where="wheels", name="a", path="/x") for _ in range(2)]
    assert is_sound([])
    assert not is_sound(findings)
    settle(findings[:1], "repaired")
    assert not is_sound(findings)
    settle(findings, "repaired")
    assert is_sound(findings)
    settle(findings, "failed", "no network")
    assert findings[0].document()["detail"] == "no network"
