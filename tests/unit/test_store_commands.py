"""The command line of the store's commands: sizes and ages as people write them, and help with an example."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from virtual_sprawl import printing, store_commands

CTL = Path(sys.executable).with_name("sprawlctl")


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2592000), ("0", 0), ("12h", 43200), ("1.5", 129600)])
def test_ages(text: str, seconds: float) -> None:
    assert store_commands._seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"), [("20G", 20 << 30), ("1.5 KiB", 1536), ("0", 0), ("5mb", 5 << 20)]
)
def test_sizes(text: str, count: int) -> None:
    assert store_commands._size(text) == count


@pytest.mark.parametrize("text", ["", "-1", "x", "inf", "nan", "1X"])
def test_what_is_neither(text: str) -> None:
    for parse in (store_commands._seconds, store_commands._size):
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)


@pytest.mark.parametrize("command", ["gc", "verify", "ls", "why", "pin", "unpin"])
def test_help_ends_with_an_example(command: str) -> None:
    outcome = subprocess.run([CTL, command, "--help"], capture_output=True, text=True, check=True)
    assert f"example:\n  sprawlctl {command}" in outcome.stdout
    assert "--json" in outcome.stdout


def test_a_table_has_aligned_columns_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_table(("name", "size"), [("a\x1b[1m", "1 B"), ("long name", "10 B")], ("size",))
    assert capsys.readouterr().out == "name       size\na?[1m       1 B\nlong name  10 B\n"


def test_sizes_and_spans_as_people_read_them() -> None:
    assert [printing.show_bytes(n) for n in (0, 1023, 2048, 3 << 20, 5 << 40)] == [
        "0 B",
        "1023 B",
        "2.0 KiB",
        "3.0 MiB",
        "5120.0 GiB",
    ]
    assert [printing.show_duration(n) for n in (5, 90, 7200, 172800)] == ["5 s", "1.5 min", "2.0 h", "2.0 d"]
    assert printing.show_age(None) == "never"
    assert printing.show_age(0).endswith(" d ago")
