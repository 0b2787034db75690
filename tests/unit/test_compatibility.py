"""The list of what breaks packages names tests that exist, and every row of it has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reference/compatibility.md").read_text(encoding="utf-8")
HEAD = "| trap | answer | tests |"
ROWS = [
    line
    for line in TEXT.splitlines()
    if line.startswith("|") and line != HEAD and not line.startswith("|---")
]
NAMED = sorted(set(re.findall(r"`([a-z]+/test_\w+\.py)::(test_\w+)`", TEXT)))


def test_every_row_has_a_test() -> None:
    assert len(ROWS) >= 70
    for row in ROWS:
        cells = re.split(r"(?<!\\)\|", row.strip("|"))
        assert len(cells) == 3, row
        assert all(cell.strip() for cell in cells), row
        # Nothing but tests in the last cell: a word there would pass for one.
        assert re.fullmatch(r"\s*`[^`]+::test_\w+`(, `[^`]+::test_\w+`)*\s*", cells[2]), row


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_exists(file: str, name: str) -> None:
    assert re.search(rf"^(    )?def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
