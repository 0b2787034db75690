"""Differences between the two environments that have a reason, each with the reason."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["reason_for"]

_KNOWN: Final = (
    (
        r"pip",
        r"files: lacks \.\./\.\./\.\./bin/pip3\.\d+|pip3\.\d+ --\w+: status missing",
        "installers add a command pip3.N, of which the wheel says nothing",
    ),
    (r"", r"commands: lacks pip3\.\d+", "installers add a command pip3.N, of which the wheel says nothing"),
)
"""Package ("" is the environment as such), what is said of the difference, and the reason."""


def reason_for(package: str, difference: str) -> str:
    """Return why there is this difference; empty if nothing is known of it."""
    for name, pattern, reason in _KNOWN:
        if name == package and re.match(pattern, difference):
            return reason
    return ""
