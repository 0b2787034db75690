"""The threat model names guards and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| [^|]+ \| `([^`]+)` \| `([^`:]+)::(\w+)` \|$",
    (ROOT / "docs/explanation/threat-model.md").read_text(),
    re.MULTILINE,
)


def test_there_are_rows() -> None:
    assert len(ROWS) > 25


@pytest.mark.parametrize("row", ROWS, ids=[row[2] for row in ROWS])
def test_guard_and_test_exist(row: tuple[str, str, str]) -> None:
    guard, path, name = row
    assert (ROOT / guard).is_file()
    assert re.search(rf"def {name}\(", (ROOT / path).read_text())
