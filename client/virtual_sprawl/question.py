"""What a start asks: the fields of a RESOLVE request, in the order in which they are sent.

Saved replies are found by these fields, so nothing that could change the answer may be missing from them.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict

__all__ = ["base_executable", "of_this_start", "resolve_fields"]

# Environment variable -> field of the request, the first that is set.
_INDEX_VARIABLES = (
    ("index", ("VIRTUAL_SPRAWL_INDEX",)),
    ("pip-index", ("PIP_INDEX_URL",)),
    ("pip-extra", ("PIP_EXTRA_INDEX_URL",)),
    ("uv-index", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
    ("uv-extra", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
)


def base_executable() -> str:
    """Return the interpreter under this one's virtual environment, or this one."""
    return getattr(sys, "_base_executable", "") or sys.executable


def of_this_start(first: str) -> "Dict[str, str]":
    """Return the fields of this process's request; `first` is what `sys.argv` has for the script.

    Raises FileNotFoundError in a working directory that is gone.
    """
    environ = os.environ
    script = ""
    if first in ("", "-", "-c", "-m"):
        start = os.getcwd()
    else:
        script = os.path.realpath(first)
        # `python DIRECTORY` runs the __main__.py in it.
        start = script if not script.endswith(".py") and os.path.isdir(script) else os.path.dirname(script)
    lock = environ.get("VIRTUAL_SPRAWL_LOCK", "")
    return resolve_fields(
        python=base_executable(),
        start=start,
        script=script,
        lock=os.path.abspath(lock) if lock else "",
        extras=environ.get("VIRTUAL_SPRAWL_EXTRAS", ""),
        groups=environ.get("VIRTUAL_SPRAWL_GROUPS", ""),
        options=environ.get("VIRTUAL_SPRAWL_OPTIONS", ""),
    )


def resolve_fields(
    python: str,
    start: str,
    script: str = "",
    lock: str = "",
    extras: str = "",
    groups: str = "",
    options: str = "",
) -> "Dict[str, str]":
    """Return the fields of a RESOLVE request; lists are comma-separated, paths absolute."""
    fields = {
        "python": python,
        # Of another interpreter only the daemon can tell.
        "tag": sys.implementation.cache_tag if python == base_executable() else "",
        "start": start,
        "script": script,
        "lock": lock,
        "extras": extras,
        "groups": groups,
        "options": options,
    }
    environ = os.environ
    for field, variables in _INDEX_VARIABLES:
        for variable in variables:
            if variable in environ:
                fields[field] = environ[variable]
                break
    return fields
