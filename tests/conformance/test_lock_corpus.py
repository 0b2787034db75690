"""Our selections against the recorded answers of uv, poetry and pdm for real lockfiles."""

from __future__ import annotations

import csv

import pytest

from sprawld.errors import SprawlError
from sprawld.lockfiles.read import read_lock

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


REFUSED = {
    "pdm-project__pdm/339d8465c": "lock.unsupported",  # 2020, another shape
    "pypa__pipenv/252a0c916/pylock": "lock.invalid",
    "pypa__pipenv/379141df6/pylock": "lock.invalid",
    "pypa__pipenv/379141df6/examples/pylock": "lock.invalid",
    "Harmon758__Harmonbot": "lock.not-pinned",  # a commit by seven digits
}
"""Real locks that are not read, and why."""


def test_every_real_lock_is_read_but_for_a_few() -> None:
    with (CORPUS / "INDEX.tsv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["kind"] == "real"]
    refused = {}
    for row in rows:
        try:
            lock = read_lock(CORPUS / row["file"])
        except SprawlError as error:
            refused[row["file"]] = error.code
        else:
            assert lock.path == CORPUS / row["file"]
    expected = {row["file"]: code for part, code in REFUSED.items() for row in rows if part in row["file"]}
    assert refused == expected
    assert len(rows) > 60
