"""Names of archive members: which are ever unpacked, and which two would land on the same file.

1. A name is refused or taken as it is; nothing is cleaned up, since every clean-up is a second reading.
2. Names that are equal on some file system are refused on every one: an entry is the same wherever it lies.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from sprawld.errors import WheelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MAX_DEPTH", "MAX_NAME_BYTES", "are_plain", "decode_name", "refuse_collisions", "shown"]

MAX_NAME_BYTES: Final = 1024
"""PATH_MAX of macOS; the longest name in the wheels looked at has 171 bytes."""

MAX_COMPONENT_BYTES: Final = 255
"""NAME_MAX of every file system in use."""

MAX_DEPTH: Final = 64
"""Components of a name; the deepest of the wheels looked at has 15."""

_SHOWN_CHARACTERS: Final = 120

# Unicode categories that show nothing, reorder what is shown, or end a line: control, format, private use,
# surrogate, line and paragraph separator. Which characters are unassigned depends on the Python version: they
# are let in.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b"?:\\"))
"""Of ASCII: what shows and has one meaning. `?` may stand for something else, a colon follows a drive."""


def shown(name: str) -> str:
    """Return a name of unknown origin in a form that is safe to print and not longer than a line."""
    if len(name) > _SHOWN_CHARACTERS:
        name = name[:_SHOWN_CHARACTERS] + "..."
    return ascii(name)


def decode_name(raw: bytes, *, utf8: bool) -> str:
    """Return a member's name, or raise WheelError for one that is never unpacked.

    A trailing slash (a directory) is kept. `utf8` is the archive's language-encoding flag; without it only
    ASCII has one reading.
    """
    try:
        name = raw.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        raise WheelError(
            "zip.bad-name", f"the member name {raw[:_SHOWN_CHARACTERS]!r} is not UTF-8"
        ) from None
    if len(raw) > MAX_NAME_BYTES:
        raise WheelError("zip.bad-name", f"a member name has {len(raw)} bytes: {shown(name)}")
    if not name.isprintable() or "\\" in name or not name.isascii():
        _check_characters(name)
    # One search finds the empty, `.` and `..` components of nearly every name without splitting it.
    slashed = f"/{name}" if name.endswith("/") else f"/{name}/"
    if "//" in slashed or "/./" in slashed or "/../" in slashed or slashed[2:3] == ":":
        _check_components(name)
    if len(raw) > MAX_COMPONENT_BYTES or slashed.count("/") > MAX_DEPTH:
        _check_lengths(name)
    return name


def are_plain(names: Sequence[str]) -> bool:
    """Tell whether ASCII names are all such as `decode_name` takes; False also where that is only unclear.

    Ten thousand names are looked at as one text.
    """
    lines = "\n".join([*names, ""]).encode("ascii", "replace")
    if len(lines.translate(None, _PLAIN)) != len(names):
        return False
    # Each name between slashes, without the one at the end that the name of a directory has.
    slashed = b"/" + lines.replace(b"/\n", b"\n").replace(b"\n", b"/\n/")
    longest = max(map(len, names), default=0)
    return (
        not (b"//" in slashed or b"/./" in slashed or b"/../" in slashed)
        and longest <= MAX_COMPONENT_BYTES
        and (longest < 2 * MAX_DEPTH or max(name.count("/") for name in names) < MAX_DEPTH - 1)
    )


def _check_characters(name: str) -> None:
    if "\\" in name:
        raise WheelError("zip.bad-name", f"the member name {shown(name)} has a backslash")
    if any(unicodedata.category(character) in _HIDDEN for character in name):
        raise WheelError(
            "zip.bad-name", f"the member name {shown(name)} has a control or invisible character"
        )


def _check_components(name: str) -> None:
    if name.startswith("/"):
        raise WheelError("zip.path-traversal", f"the member name {shown(name)} is absolute")
    if ".." in name.split("/"):
        raise WheelError("zip.path-traversal", f"the member name {shown(name)} leaves the archive")
    if name[1:2] == ":" and name[0].isascii() and name[0].isalpha():
        raise WheelError("zip.path-traversal", f"the member name {shown(name)} starts with a drive")
    components = name.removesuffix("/").split("/")
    if "" in components or "." in components:
        raise WheelError("zip.bad-name", f"the member name {shown(name)} has an empty component")


def _check_lengths(name: str) -> None:
    components = name.removesuffix("/").split("/")
    if len(components) > MAX_DEPTH:
        raise WheelError("zip.bomb", f"the member {shown(name)} lies {len(components)} directories deep")
    if max(len(component.encode()) for component in components) > MAX_COMPONENT_BYTES:
        raise WheelError("zip.bad-name", f"a part of the member name {shown(name)} is too long for a file")


def refuse_collisions(names: Iterable[str]) -> None:
    """Raise WheelError `zip.collision` where two names are one file, or a file is another's directory.

    Compared as the most forgiving file system would: without case and in Unicode normal form C. Directories
    that differ only so may share a place, as long as no two files do.
    """
    names = list(names)
    if not _surely_differ(names):
        _compare(names)


def _surely_differ(names: Sequence[str]) -> bool:
    """Tell whether ASCII names collide nowhere; False also where that is only unclear."""
    text = "\n".join(names)
    if not text.isascii():
        return False
    folded = text.lower().split("\n")
    found = set(folded)
    parents = {name.rpartition("/")[0] for name in folded}
    every = set(parents)
    while parents:
        parents = {name.rpartition("/")[0] for name in parents} - every
        every |= parents
    return len(found) == len(folded) == len(names) and found.isdisjoint(every)


def _compare(names: Iterable[str]) -> None:
    files: dict[str, str] = {}
    directories: dict[str, str] = {}
    for name in names:
        folded = fold(name)
        is_directory = folded.endswith("/")
        if is_directory:
            folded = folded[:-1]
            directories.setdefault(folded, name)
        else:
            if folded in files:
                both = f"{shown(files[folded])} and {shown(name)}"
                raise WheelError("zip.collision", f"the members {both} are one file")
            files[folded] = name
        parent = folded.rpartition("/")[0]
        while parent and parent not in directories:
            directories[parent] = name
            parent = parent.rpartition("/")[0]
    for folded in files.keys() & directories.keys():
        both = f"{shown(files[folded])} is a file, and a directory for {shown(directories[folded])}"
        raise WheelError("zip.collision", f"the member {both}")


def fold(name: str) -> str:
    """Return what a file system without case and normalisation compares a name by."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
