"""Our selections against the recorded answers of uv, poetry and pdm for real lockfiles."""

from __future__ import annotations

import pytest

from .compare import OVER_INSTALLS, TOOLS, WRONG_PYTHON, compare, corpus_directory

CORPUS = corpus_directory()

pytestmark = pytest.mark.skipif(
    not (CORPUS / "EXPECTED-uv.jsonl").is_file(), reason=f"no corpus of lockfiles at {CORPUS}"
)

RECORDS = {"uv": 309, "poetry": 51, "pdm": 44}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_record_is_selected_as_the_tool_did(tool: str) -> None:
    report = compare(tool, CORPUS)
    assert report.different == [], str(report)
    assert report.compared + len(report.excluded) == report.equal + len(report.excluded) >= RECORDS[tool]
    # What is excluded is a handful of known cases, each with its reason.
    assert len(report.excluded) <= RECORDS[tool] // 10
    assert all(OVER_INSTALLS in line or WRONG_PYTHON in line for line in report.excluded)
