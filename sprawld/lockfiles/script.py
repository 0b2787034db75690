"""Scripts that state their own dependencies.

Specification: inline script metadata (PEP 723).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sprawld.errors import LockError

from ._toml import parse_toml, read_bytes, reading, strings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["own_locks", "script_dependencies"]

_BLOCK: Final = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
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
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise LockError("lock.invalid", f"{script}: more than one script metadata block")
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    document = parse_toml(script, content)
    with reading(script):
        return strings(document, "dependencies")
