"""Whether a text holds more tables and values than any honest lock, told before it is parsed.

The size of a file says little about what parsing it costs: an empty table takes three bytes of text and a
hundred of memory, a header of a table three kilobytes. What is counted here is what stands outside of strings
and comments; parsing what passes takes less than a second and 128 MiB. How many parts one key may have is for
the parser to limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_bulk", "check_lines"]

_FEW: Final = 60_000
"""So many marks do no harm, whatever they stand for; the largest lock of the corpus has 45,000."""
_MAXIMUM_VALUES: Final = 600_000
_MAXIMUM_HEADERS: Final = 50_000
_MAXIMUM_DOTS: Final = 60_000
_MAXIMUM_QUOTES: Final = 1_000_000
"""Four times those of the longest honest text; each pair is a piece while strings are cut out."""
_MAXIMUM_LINES: Final = 200_000

_MARKS: Final = ",\n={["
_QUOTES: Final = "\"'#"
_LINE_ENDS: Final = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# Nothing is matched twice and nothing is given back, so the time is linear. An open string runs to the end of
# its line or of the text, where the parser stops as well.
_TEXTS: Final = re.compile(
    r'''"""(?:[^"\\]++|\\[\s\S]?+|"(?!""))*+(?:"{3,5}+)?+'''
    r"""|'''(?:[^']++|'(?!''))*+(?:'{3,5}+)?+"""
    r"""|"(?:[^"\\\n]++|\\[^\n]?+)*+"?+"""
    r"""|'[^'\n]*+'?+"""
    r"""|\#[^\n]*+"""
)
_HEADER: Final = re.compile(r"^[ \t]*+\[", re.MULTILINE)


def check_bulk(path: Path, text: str) -> None:
    """Raise LockError `lock.too-large` for TOML or JSON from `path` that is too much to parse."""
    if _count(text, _MARKS) + text.count(".") <= _FEW:
        return
    quotes = _count(text, _QUOTES)
    structure = _TEXTS.sub("", text) if quotes <= _MAXIMUM_QUOTES else ""
    if (
        quotes > _MAXIMUM_QUOTES
        or _count(structure, _MARKS) > _MAXIMUM_VALUES
        or structure.count(".") > _MAXIMUM_DOTS
        or len(_HEADER.findall(structure)) > _MAXIMUM_HEADERS
    ):
        raise LockError("lock.too-large", f"{path}: more tables and values than any honest lock has")


def check_lines(path: Path, text: str) -> None:
    """Raise LockError `lock.too-large` for a file of requirements with more lines than any honest one."""
    if _count(text, _LINE_ENDS) > _MAXIMUM_LINES:
        raise LockError("lock.too-large", f"{path}: more than {_MAXIMUM_LINES} lines")


def _count(text: str, characters: str) -> int:
    return sum(map(text.count, characters))
