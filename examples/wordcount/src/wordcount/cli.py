"""The command `wordcount`."""

import re
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> int:
    if len(sys.argv) < 2:
        print(f"wordcount {version('wordcount')}\nusage: wordcount FILE ...")
        return 2
    words: Counter[str] = Counter()
    for name in sys.argv[1:]:
        words.update(re.findall(r"\w+", Path(name).read_text(encoding="utf-8").lower()))
    table = Table("word", "times")
    for word, times in words.most_common(10):
        table.add_row(word, str(times))
    Console().print(table)
    return 0
