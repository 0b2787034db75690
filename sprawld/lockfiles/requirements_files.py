"""A requirements file and everything it includes, as one list of entries and one set of options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ._toml import Fault, at, read_bytes, reading, shown
from .artifacts import local_path
from .bulk import check_lines
from .requirements_entry import Entry, from_line
from .requirements_lines import Line, decode, parse_text, via_comments
from .sources import FILE_SCHEME, VARIABLE, file_url_path, index_url
from .trust import check_trust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Content", "collect"]

_MAXIMUM_FILES: Final = 100
_MAXIMUM_REQUIREMENTS: Final = 20_000
_REMOTE: Final = ("http:", "https:", "ftp:")
# Options that change which file of a release pip takes, or what it trusts.
_NOT_HONOURED: Final = (
    "--no-binary",
    "--only-binary",
    "--pre",
    "--trusted-host",
)


@dataclass(slots=True)
class Content:
    """What a requirements file and its includes say."""

    files: list[Path] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    constraints: list[Entry] = field(default_factory=list)
    index: str | None = None
    extra_indexes: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    """URLs of pages and absolute paths of directories."""
    no_index: bool = False
    hashed: bool = False
    warnings: dict[str, None] = field(default_factory=dict)


def collect(path: Path, content: Content, variables: Mapping[str, str]) -> None:
    """Read `path` and what it includes into `content`; raises LockError, or Fault about `path`."""
    _read(path, content, variables, above=(), constraint=False, seen=set())


def _read(
    path: Path,
    content: Content,
    variables: Mapping[str, str],
    *,
    above: tuple[Path, ...],
    constraint: bool,
    seen: set[tuple[Path, bool]],
) -> None:
    if above:
        check_trust(path)
    real = path.resolve()
    if real in above:
        raise Fault("lock.invalid", f"{shown(path.name)} includes itself")
    # A constraint file that is included as requirements too is read for both.
    if (real, constraint) in seen:
        return
    seen.add((real, constraint))
    if len(seen) > _MAXIMUM_FILES:
        raise Fault("lock.invalid", f"more than {_MAXIMUM_FILES} files are included")
    content.files.append(path)
    data = read_bytes(path)
    with reading(path):
        text = decode(data)
        check_lines(path, text)
        via = via_comments(text)
        for line in parse_text(text, variables):
            with at(f"line {line.number}"):
                _take(path, line, content, constraint=constraint, via=via.get(line.number, ()))
                for option, as_constraint in (("--requirement", constraint), ("--constraint", True)):
                    for place in line.values(option):
                        _read(
                            _included(path, place),
                            content,
                            variables,
                            above=(*above, real),
                            constraint=as_constraint,
                            seen=seen,
                        )


def _take(path: Path, line: Line, content: Content, *, constraint: bool, via: tuple[str, ...]) -> None:
    hashes = line.values("--hash")
    content.hashed = content.hashed or bool(hashes or line.values("--require-hashes"))
    editables = line.values("--editable")
    if line.requirement or editables:
        entry = from_line(
            line.requirement or editables[0].strip(),
            root=path.parent,
            where=f"{path.name}, line {line.number}",
            editable=not line.requirement,
            hashes=hashes,
            via=via,
        )
        (content.constraints if constraint else content.entries).append(entry)
        if len(content.constraints) + len(content.entries) > _MAXIMUM_REQUIREMENTS:
            raise Fault("lock.too-large", f"more than {_MAXIMUM_REQUIREMENTS} requirements")
    if line.requirement:
        return  # pip reads no other option on such a line
    for url in line.values("--index-url"):
        content.index = index_url(url)
    content.extra_indexes.extend(map(index_url, line.values("--extra-index-url")))
    content.find_links.extend(_links(path.parent, place) for place in line.values("--find-links"))
    content.no_index = content.no_index or "--no-index" in line.options
    for option in _NOT_HONOURED:
        if option in line.options:
            content.warnings[f"{path.name}, line {line.number}: {option} is not honoured"] = None


def _links(root: Path, place: str) -> str:
    if place.lower().startswith(("http:", "https:")):
        return index_url(place)
    return str(_local(root, place))


def _included(path: Path, place: str) -> Path:
    if place.lower().startswith(_REMOTE):
        raise Fault("lock.url-refused", "files that are included by URL are not fetched")
    return _local(path.parent, place)


def _local(root: Path, place: str) -> Path:
    if VARIABLE in place:
        raise Fault("lock.invalid", f"path depends on an environment variable: {shown(repr(place))}")
    return file_url_path(root, place) if place.lower().startswith(FILE_SCHEME) else local_path(root, place)
