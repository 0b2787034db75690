"""How the tools print: lines for machines are never folded, and nothing speaks to the terminal."""

from __future__ import annotations

import pytest

from virtual_sprawl import printing


def test_rows_are_not_folded_where_nobody_reads_them_on_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    value = "/a/long/path" * 40
    printing.print_rows([("store", value), ("", "more"), ("pid", "\x1b[31m7")])
    assert capsys.readouterr().out == f"store  {value}\n       more\npid    ?[31m7\n"


def test_control_characters_are_shown_as_what_they_are_not() -> None:
    assert printing.plain("a\x1b[2Jb\u202ec\n") == "a?[2Jb?c?"
