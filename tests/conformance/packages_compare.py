"""What differs between two environments of the same lock, in words; paths were made neutral before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .packages_sides import Ran

__all__ = ["distribution_differences", "import_differences", "neutral", "ran_difference", "whole_differences"]

INSTALLER_FILES = re.compile(
    r"[^/]+\.dist-info/(INSTALLER|REQUESTED|direct_url\.json|RECORD|uv_[a-z_]+\.json)"
)
"""Each installer writes its own."""

OUR_PACKAGES = ("_virtual_sprawl", "virtual_sprawl")
"""The client, as a set and as the start-up hook have it."""

_CACHED = re.compile(r"(^|/)__pycache__/")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_CLOCK = re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b")
_IN_SCRIPT = re.compile(
    r'(<prefix>/bin/[^":\s]+(?:", line |:))\d+(, in <module>\n.*(\n[ ~^]+$)?)?', re.MULTILINE
)
"""A line of a script, and its text in a traceback: each installer writes scripts in its own words."""


def neutral(thing: Any, prefix: str) -> Any:
    """Return a document with the prefix of its environment, and addresses of objects, replaced everywhere."""
    if isinstance(thing, str):
        return _ADDRESS.sub("0x", thing.replace(prefix, "<prefix>"))
    if isinstance(thing, Mapping):
        return {neutral(key, prefix): neutral(value, prefix) for key, value in thing.items()}
    if isinstance(thing, list):
        return [neutral(item, prefix) for item in thing]
    return thing


def ran_difference(label: str, theirs: Ran, ours: Ran) -> list[str]:
    """Return what differs between two runs of one program."""
    if theirs.status != ours.status:
        return [f"{label}: status {ours.status} for {theirs.status}: {_last_line(ours)!r}"]
    if theirs.status == "timeout":
        return []
    one, other = (_said(ran).splitlines() for ran in (theirs, ours))
    if one == other:
        return []
    for line, ours_line in zip(one, other, strict=False):
        if line != ours_line:
            return [f"{label}: says {ours_line[:160]!r} for {line[:160]!r}"]
    return [f"{label}: {len(other)} lines for {len(one)}"]


def _said(ran: Ran) -> str:
    return _IN_SCRIPT.sub(r"\1", _CLOCK.sub("<time>", _ADDRESS.sub("0x", ran.output)))


def _last_line(ran: Ran) -> str:
    lines = ran.output.strip().splitlines()
    return lines[-1][:200] if lines else ""


def import_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Compare two answers of the task `imports`."""
    lines = []
    for name, they in theirs["found"].items():
        we = ours["found"][name]
        if they["outcome"] != we["outcome"]:
            lines.append(f"import {name}: {we['outcome']!r} for {they['outcome']!r}")
        # What was loaded at start is not brought by an import; the start-up file of a set needs a little.
        missing = they["modules"].keys() - we["modules"].keys() - set(ours["start"])
        surplus = we["modules"].keys() - they["modules"].keys() - set(theirs["start"])
        surplus = {key for key in surplus if key.partition(".")[0] not in OUR_PACKAGES}
        if missing:
            lines.append(f"import {name}: lacks {_some(missing)} in sys.modules")
        if surplus:
            lines.append(f"import {name}: has {_some(surplus)} more in sys.modules")
        for key in sorted(they["modules"].keys() & we["modules"].keys()):
            if they["modules"][key] != we["modules"][key]:
                lines.append(f"import {name}: {key} is {we['modules'][key]} for {they['modules'][key]}")
                break
    return lines


def distribution_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Compare what two environments tell of one distribution."""
    if "error" in theirs or "error" in ours:
        return [] if theirs == ours else [f"metadata: {ours.get('error')} for {theirs.get('error')}"]
    lines = [
        f"metadata: {key} is {str(ours[key])[:120]} for {str(theirs[key])[:120]}"
        for key in ("version", "name", "requires", "metadata", "entry_points")
        if theirs[key] != ours[key]
    ]
    one, other = (_files(side["files"]) for side in (theirs, ours))
    lines += _mapping_differences("files", one, other)
    return lines + _mapping_differences("find", theirs["origins"], ours["origins"])


def _files(files: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for path, state in files.items():
        if INSTALLER_FILES.fullmatch(path) or _CACHED.search(path):
            continue
        # Scripts are generated: their size is each installer's own affair.
        found[path] = [bool(state), state and state[1]] if path.startswith("../../../bin/") else state
    return found


def whole_differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Compare two answers of the task `whole`."""
    lines = []
    for key, they in theirs.items():
        we = ours[key]
        if isinstance(they, Mapping):
            lines += _mapping_differences(key, they, we)
        elif key in ("path", "prefixes", "site"):
            if they != we:
                lines.append(f"{key}: {we} for {they}")
        else:
            one, other = ([str(item) for item in side] for side in (they, we))
            lines += [f"{key}: lacks {item}" for item in one if item not in other]
            lines += [f"{key}: has {item} more" for item in other if item not in one]
            if len(one) != len(other) and set(one) == set(other):
                lines.append(f"{key}: {len(other)} for {len(one)}")
    return lines


def _mapping_differences(label: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    lines = []
    missing, surplus = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    if missing:
        lines.append(f"{label}: lacks {_some(missing)}")
    if surplus:
        lines.append(f"{label}: has {_some(surplus)} more")
    other = [key for key in sorted(theirs.keys() & ours.keys()) if theirs[key] != ours[key]]
    if other:
        key = other[0]
        more = f" and {len(other) - 1} others" if len(other) > 1 else ""
        lines.append(f"{label}: {key}{more}: {str(ours[key])[:120]} for {str(theirs[key])[:120]}")
    return lines


def _some(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} others" if len(listed) > 4 else "")
