"""Scripts that state their own dependencies.

Specification: inline script metadata (PEP 723).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from ._toml import parse_toml, read_bytes, reading, strings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["own_locks", "script_dependencies"]

_OPENING: Final = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_CLOSING: Final = "# ///"
_MARK: Final = b"# /// script"
_MAXIMUM_BYTES: Final = 16 << 20


def own_locks(script: Path) -> tuple[Path, ...]:
    """Return where the lock of a script may lie, best first."""
    names = [f"{script.name}.lock"]
    stem = script.name.removesuffix(".py")
    # A dot in the NAME of pylock.NAME.toml is not allowed.
    if stem and "." not in stem:
        names.append(f"pylock.{stem}.toml")
    return tuple(script.with_name(name) for name in names)


def script_dependencies(script: Path) -> tuple[str, ...] | None:
    """Return the dependencies in the metadata block of a script; None if there is no block.

    Raises LockError: `lock.unreadable` for a script that cannot be read, `lock.syntax` or `lock.invalid` for
    a block that does not parse and for a second block.
    """
    try:
        data = read_bytes(script, _MAXIMUM_BYTES)
    except LockError as error:
        # What cannot be read as a script here will not run as one either, or has no block (zip files).
        if error.code in ("lock.not-found", "lock.too-large"):
            return None
        raise
    if _MARK not in data:
        return None
    blocks = _blocks(data.decode("utf-8", errors="replace"))
    contents = [content for kind, content in blocks if kind == "script"]
    if not contents:
        return None
    if len(contents) > 1:
        raise LockError("lock.invalid", f"{script}: more than one script metadata block")
    document = parse_toml(script, contents[0])
    with reading(script):
        return strings(document, "dependencies")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield type and content of each metadata block, in one pass over the lines.

    The specification's regular expression means the same, and takes quadratic time for unclosed blocks.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        opening = _OPENING.fullmatch(lines[number])
        number += 1
        if opening is None:
            continue
        end = number
        while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
            end += 1
        # A block goes on to the last closing line of its comment; without one it is none.
        closing = next((at for at in range(end - 1, number - 1, -1) if lines[at] == _CLOSING), None)
        if closing is None or closing == number:
            number = end
            continue
        yield opening[1], "".join(f"{line[2:]}\n" for line in lines[number:closing])
        number = closing + 1
