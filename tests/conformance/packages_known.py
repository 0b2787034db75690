"""Differences between the two environments that have a reason, each with the reason."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["reason_for"]

_PIP = "installers add a command pip3.N, of which the wheel says nothing"
_HEADERS = (
    "an entry serves every Python and lists its headers in include/NAME; where installers put them, in "
    "include/site/pythonX.Y/NAME, a path set has them too"
)
_COMPILER = "where there is no bytecode yet, the compiler loads it; in the first run in a venv as well"
_START_UP = (
    "start-up code of wheels runs only where the user allows it (see `sprawl doctor`); this one makes a "
    "namespace, which is one in the set without it"
)
_CODE = "start-up code of nvidia-cutlass-dsl, which sglang needs, runs only where the user allows it"

_KNOWN: Final = (
    (r".+", r"import [\w.]+: (has|lacks) unicodedata (more )?in sys\.modules \(without packs\)$", _COMPILER),
    (r"pip", r"files: lacks \.\./\.\./\.\./bin/pip3\.\d+$|pip3\.\d+ --\w+: status missing", _PIP),
    (r"", r"commands: lacks pip3\.\d+$", _PIP),
    (r".+", r"files: (lacks \.\./\.\./\.\./include/site/|has \.\./\.\./\.\./include/\w+/)", _HEADERS),
    (r".+", r"files: (lacks )?[\w.-]+-nspkg\.pth(: None for |$)", _START_UP),
    (
        r"",
        r"modules: lacks \['(cutlass|iket)', True\]$|path: .* for \['<prefix>/[^']*/nvidia_cutlass_dsl/",
        _CODE,
    ),
    (r"", r"data: has include/(?!site)", _HEADERS),
)
"""Package ("" is the environment as such), how the difference is told, and the reason."""


def reason_for(package: str, difference: str) -> str:
    """Return why there is this difference; empty if nothing is known of it."""
    for name, pattern, reason in _KNOWN:
        if re.fullmatch(name, package) and re.match(pattern, difference):
            return reason
    return ""
