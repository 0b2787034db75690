"""The manifest of an entry: what it offers, and each of its files with hash, size and mode.

    line 1          one JSON object: the summary, which is all that path sets and `ls` need
    every other     sha256 size mode path, sorted by path; mode in octal, path last, since it may hold spaces
    last line       end

A manifest is the last file written into an entry and never changed. Without the last line it is not whole.
"""

from __future__ import annotations

import io
import json
import operator
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sprawld.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "FORMAT",
    "NAME",
    "Manifest",
    "ManifestFile",
    "ManifestSummary",
    "encode",
    "read_files",
    "read_manifest",
    "read_summary",
    "title_of",
]

NAME: Final = "manifest"
"""File name at the root of an entry."""

FORMAT: Final = 1

_END: Final = b"end\n"
_LAST: Final = "\nend\n"
_FIRST_READ_BYTES: Final = 16 << 10
"""Holds the summary of nearly every wheel."""
_MAX_SUMMARY_BYTES: Final = 16 << 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LINE: Final = re.compile(rb"([0-9a-f]{64}) (0|[1-9][0-9]{0,18}) ([0-7]{3,4}) ([^\n\0]+)\n")
_LINES: Final = re.compile(
    r"^([0-9a-f]{64}) (0|[1-9][0-9]{0,18}) ([0-7]{3,4}) ([^\n\0]+)$", re.ASCII | re.MULTILINE
)
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ManifestFile(NamedTuple):
    """One file of an entry. A tuple, because there are ten thousands of them."""

    digest: str
    """sha256 in lower-case hex."""
    size: int
    mode: int
    """Permission bits: 0o444 or 0o555."""
    path: str
    """From the entry's root, with slashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSummary:
    """What one entry is and offers. Paths of children are names, not paths."""

    name: str
    """Normalised project name."""
    version: str
    filename: str
    digest: str
    """sha256 of the wheel; also the entry's name."""
    boot_id: str
    """The boot in which the entry was written; a volatile entry is trusted during that boot only."""
    files: int
    bytes: int
    dist_info: str
    root_is_purelib: bool
    tags: tuple[str, ...]
    top_level: Mapping[str, str]
    """Direct child of site-packages -> "package", "module", "namespace", "directory" or "file"."""
    init: Mapping[str, tuple[str, ...]]
    """Package of `top_level` -> its `__init__` module files."""
    entry_points: Mapping[str, Mapping[str, str]]
    """"console_scripts" and "gui_scripts" -> name -> "module:attribute"."""
    scripts: Mapping[str, str]
    """File in bin/ -> "python" when it starts with `#!python`, else "native"."""
    data: tuple[str, ...]
    """Direct children of the entry's root other than lib, bin, include and the manifest."""
    pth: tuple[str, ...]
    """`*.pth` and `*.start` files of site-packages."""
    requires_python: str | None
    record_verified: bool = True
    """False when the user allowed a RECORD that does not match."""
    libraries: tuple[str, ...] | None = None
    """Directories that hold shared libraries; None in manifests older than that."""
    searched: tuple[str, ...] | None = None
    """Directories that its binaries look into for libraries, in this wheel or in others."""

    def to_json(self) -> str:
        """Return one line of ASCII."""
        return json.dumps({"manifest": FORMAT, **asdict(self)}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, origin: str) -> ManifestSummary:
        """Read what `to_json` wrote; StoreError `store.damaged` or `store.newer-format` naming `origin`."""
        try:
            values = json.loads(text)
        except ValueError:
            raise _damaged(origin, "its first line is not JSON") from None
        return cls.from_values(values, origin)

    @classmethod
    def from_values(cls, values: object, origin: str) -> ManifestSummary:
        """Read the object that is in the JSON; StoreError as for `from_json`."""
        if not isinstance(values, dict) or not isinstance(values.get("manifest"), int):
            raise _damaged(origin, "its first line is no summary")
        if values["manifest"] > FORMAT:
            raise StoreError("store.newer-format", f"{origin} was written by a newer release")
        return cls(**_checked(values, origin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A summary and the files, sorted by path."""

    summary: ManifestSummary
    files: tuple[ManifestFile, ...]


def encode(summary: ManifestSummary, files: Iterable[ManifestFile]) -> bytes:
    """Return the content of a manifest; the files are sorted here."""
    lines = [f"{digest} {size} {mode:o} {path}\n" for digest, size, mode, path in sorted(files, key=_path)]
    return f"{summary.to_json()}\n{''.join(lines)}".encode() + _END


def _path(file: ManifestFile) -> str:
    return file.path


def read_summary(path: str | os.PathLike[str]) -> ManifestSummary:
    """Read the first line of a manifest and nothing else.

    StoreError `store.damaged` when it is absent, unreadable or not one; `store.newer-format`.
    """
    origin = f"the manifest {os.fspath(path)}"
    try:
        descriptor = os.open(path, _OPEN)
        try:
            head = os.read(descriptor, _FIRST_READ_BYTES)
            while b"\n" not in head and len(head) < _MAX_SUMMARY_BYTES:
                more = os.read(descriptor, _MAX_SUMMARY_BYTES)
                if not more:
                    break
                head += more
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _damaged(origin, error.strerror or "it cannot be read") from error
    line, newline, _ = head.partition(b"\n")
    if not newline or not line.isascii():
        raise _damaged(origin, "its first line is not whole")
    return ManifestSummary.from_json(line.decode(), origin)


def title_of(path: str | os.PathLike[str]) -> str:
    """Return name and version of the entry with this manifest; empty when that cannot be read."""
    try:
        summary = read_summary(path)
    except StoreError:
        return ""
    return f"{summary.name} {summary.version}"


def read_files(path: str | os.PathLike[str]) -> Iterator[ManifestFile]:
    """Yield the files of a manifest in order of path.

    StoreError `store.damaged` at the first line that is not one, or at the end of a manifest that is not
    whole: what was yielded counts only when the iterator ends by itself.
    """
    origin = f"the manifest {os.fspath(path)}"
    summary = read_summary(path)
    try:
        with open(os.open(path, _OPEN), "rb") as stream:
            stream.readline()
            body = stream.read()
    except OSError as error:
        raise _damaged(origin, error.strerror or "it cannot be read") from error
    sound = _sound_files(body)
    count = total = 0
    for file in _files(body, origin) if sound is None else sound:
        count += 1
        total += file.size
        yield file
    if (count, total) != (summary.files, summary.bytes):
        raise _damaged(origin, "its files are not those of its summary")


def _files(body: bytes, origin: str) -> Iterator[ManifestFile]:
    """Yield the files of all lines but the first, up to the one that is wrong."""
    last = ""
    lines = io.BytesIO(body)
    for line in lines:
        if line == _END:
            break
        file = _file(line, origin)
        if file.path <= last:
            raise _damaged(origin, f"{file.path!r} is out of order")
        last = file.path
        yield file
    else:
        raise _damaged(origin, "it does not reach its end")
    if lines.read(1):
        raise _damaged(origin, "it goes on after its end")


def _sound_files(body: bytes) -> list[ManifestFile] | None:
    """Return what `_files` yields where no line is wrong; None where one may be, which it finds then.

    Ten thousand lines are looked at together.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    found = _LINES.findall(text)
    paths = [fields[3] for fields in found]
    slashed = "/" + "".join([f"{path}/\n/" for path in paths])
    if (
        not f"\n{text}".endswith(_LAST)
        or len(found) != text.count("\n") - 1
        or not all(map(operator.lt, ["", *paths], paths))
        or any(part in slashed for part in ("//", "/./", "/../"))
    ):
        return None
    make = tuple.__new__
    return [make(ManifestFile, (digest, int(size), int(mode, 8), path)) for digest, size, mode, path in found]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a whole manifest; StoreError as for `read_files`."""
    return Manifest(summary=read_summary(path), files=tuple(read_files(path)))


def _file(line: bytes, origin: str) -> ManifestFile:
    matched = _LINE.fullmatch(line)
    if matched is None:
        raise _damaged(origin, "a line of it is not one")
    digest, size, mode, raw_path = matched.groups()
    try:
        path = raw_path.decode()
    except UnicodeDecodeError:
        raise _damaged(origin, "a path in it is not UTF-8") from None
    if path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise _damaged(origin, "a path in it leaves the entry")
    return ManifestFile(digest.decode(), int(size), int(mode, 8), path)


def _damaged(origin: str, reason: str) -> StoreError:
    return StoreError("store.damaged", f"{origin} is damaged: {reason}")


# --- summary, value by value ---


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_SHAPES: Final[dict[str, Callable[[Any], bool]]] = {
    "name": _is_text,
    "version": _is_text,
    "filename": _is_text,
    "digest": lambda value: _is_text(value) and _DIGEST.fullmatch(value) is not None,
    "boot_id": _is_text,
    "files": _is_count,
    "bytes": _is_count,
    "dist_info": _is_text,
    "root_is_purelib": lambda value: isinstance(value, bool),
    "tags": _is_text_list,
    "top_level": _is_text_map,
    "init": lambda value: isinstance(value, dict) and all(map(_is_text_list, value.values())),
    "entry_points": lambda value: isinstance(value, dict) and all(map(_is_text_map, value.values())),
    "scripts": _is_text_map,
    "data": _is_text_list,
    "pth": _is_text_list,
    "requires_python": lambda value: value is None or _is_text(value),
    "record_verified": lambda value: isinstance(value, bool),
    "libraries": lambda value: value is None or _is_text_list(value),
    "searched": lambda value: value is None or _is_text_list(value),
}


def _checked(values: dict[str, Any], origin: str) -> dict[str, Any]:
    values = {"record_verified": True, "libraries": None, "searched": None, **values}
    for key, fits in _SHAPES.items():
        if key not in values or not fits(values[key]):
            raise _damaged(origin, f"its summary has no proper {key}")
    known = {key: values[key] for key in _SHAPES}
    for key in ("tags", "data", "pth", "libraries", "searched"):
        known[key] = None if known[key] is None else tuple(known[key])
    known["init"] = {name: tuple(files) for name, files in known["init"].items()}
    return known
