"""How `sprawlctl` prints: JSON, rows and tables, sizes and times, and nothing that speaks to the terminal."""

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence, Tuple

__all__ = ["plain", "print_json", "print_rows", "print_table", "show_age", "show_bytes", "show_duration"]

DAY_SECONDS = 86400


def print_json(document: "Any") -> None:
    """Print a document for machines."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_rows(rows: "List[Tuple[str, str]]") -> None:
    """Print names and values, one pair a line; only a terminal folds long values."""
    if not sys.stdout.isatty():
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            sys.stdout.write("%s  %s\n" % (name.ljust(width), plain(value)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(plain(value)))
    Console().print(table)


def print_table(titles: "Sequence[str]", rows: "Sequence[Sequence[str]]", numbers: "Sequence[str]") -> None:
    """Print a table whose columns are as wide as their texts; those called `numbers` are aligned right."""
    lines = [list(titles)] + [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells = [
            cell.rjust(width) if title in numbers else cell.ljust(width)
            for cell, width, title in zip(line, widths, titles)
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def plain(text: str) -> str:
    """Return `text` without control characters: names come from wheels and lockfiles."""
    return "".join(character if character.isprintable() else "?" for character in text)


def show_bytes(count: float) -> str:
    """Return a size as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return "%.0f %s" % (count, unit) if unit == "B" else "%.1f %s" % (count, unit)
        count /= 1024
    return "%.1f GiB" % count


def show_duration(seconds: float) -> str:
    """Return a span of time as people read it."""
    for unit, size in (("d", DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return "%.1f %s" % (seconds / size, unit)
    return "%.0f s" % seconds


def show_age(moment: "Optional[float]") -> str:
    """Return how long ago a moment (seconds since the epoch) was; "never" for none."""
    return "never" if moment is None else show_duration(max(0.0, time.time() - moment)) + " ago"
