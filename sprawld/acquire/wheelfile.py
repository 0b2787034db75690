"""A wheel that was found sound: its members with their places in an entry, its metadata and RECORD.

Everything is checked that can be without inflating the files: afterwards only a member's own bytes may still
be wrong. Nothing is written.

Specification: binary distribution format 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.errors import WheelError

from . import inflate, record, wheelmetadata
from .layout import SITE_PACKAGES, Layout
from .membernames import refuse_collisions, shown
from .zipstructure import read_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from mmap import mmap

    from .record import Row
    from .wheelmetadata import WheelName
    from .zipstructure import Member

__all__ = ["Placed", "WheelFile", "read_wheel"]

MAX_METADATA_BYTES: Final = 64 << 20
"""For each of the four files that are read as a whole; RECORD of 200,000 members has about 30 MiB."""

_CACHE: Final = "__pycache__"


class Placed(NamedTuple):
    """A file of the wheel and its path from the entry's root."""

    member: Member
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """What a sound wheel holds."""

    name: str
    """Normalised project name."""
    version: str
    dist_info: str
    requires_python: str | None
    root_is_purelib: bool
    tags: tuple[str, ...]
    """Those of WHEEL, or of the file name where WHEEL has none."""
    entry_points: Mapping[str, Mapping[str, str]]
    files: tuple[Placed, ...]
    """In the order of their bytes; directories are left out, as they come with their files."""
    rows: Mapping[str, Row] | None
    """RECORD by member name; None where it is wrong and the user allowed that."""
    moved: Mapping[str, str]
    """Members of the .data directory -> path from the entry's root."""


def read_wheel(archive: mmap | bytes, filename: str, *, allow_bad_record: bool = False) -> WheelFile:
    """Return what the wheel holds, or raise WheelError `zip.*`, `wheel.*` or `record.*`."""
    expected = wheelmetadata.parse_filename(filename)
    members = {member.name: member for member in read_members(archive)}
    tops = _tops(members)
    dist_info = _dist_info(tops, expected)

    def text(name: str) -> bytes:
        return _content(archive, members, f"{dist_info}/{name}")

    metadata = wheelmetadata.parse_metadata(text("METADATA"), expected)
    fields = wheelmetadata.parse_wheel_file(text("WHEEL"), expected)
    has_entry_points = f"{dist_info}/entry_points.txt" in members
    data_directory = f"{dist_info.removesuffix('.dist-info')}.data"
    _refuse_other_data(tops, data_directory)
    files = _place(members, data_directory, metadata.name, has_data=data_directory in tops)
    return WheelFile(
        name=expected.name,
        version=metadata.version,
        dist_info=dist_info,
        requires_python=metadata.requires_python,
        root_is_purelib=fields.root_is_purelib,
        tags=fields.tags or expected.tags,
        entry_points=wheelmetadata.parse_entry_points(text("entry_points.txt")) if has_entry_points else {},
        files=tuple(_without_cached(files)),
        rows=_rows(archive, members, dist_info, files, allow_bad_record=allow_bad_record),
        moved=_moved(files, f"{data_directory}/") if data_directory in tops else {},
    )


def _moved(files: Iterable[Placed], prefix: str) -> dict[str, str]:
    return {member.name: path for member, path in files if member.name.startswith(prefix)}


def _tops(names: Iterable[str]) -> set[str]:
    return {name.partition("/")[0] for name in names}


def _ending(tops: Iterable[str], suffix: str) -> list[str]:
    return sorted(name for name in tops if name.lower().endswith(suffix))


def _dist_info(tops: Iterable[str], expected: WheelName) -> str:
    """Return the one .dist-info directory, whose name is that of the file."""
    found = _ending(tops, ".dist-info")
    if len(found) != 1:
        what = ", ".join(map(shown, found[:3])) or "no .dist-info directory"
        raise WheelError("wheel.metadata", f"the wheel has {what} instead of one .dist-info directory")
    stem, dot, suffix = found[0].rpartition(".")
    name, _, version = stem.rpartition("-")
    if (
        dot + suffix != ".dist-info"
        or wheelmetadata.normalise(name) != expected.name
        or not wheelmetadata.same_version(version, expected.version)
    ):
        wanted = f"{expected.name} {expected.version}"
        raise WheelError("wheel.metadata", f"the directory {shown(found[0])} is not that of {wanted}")
    return found[0]


def _refuse_other_data(tops: Iterable[str], data_directory: str) -> None:
    """Refuse `.data` directories of another name: some installers spread them, others leave them alone."""
    for other in _ending(tops, ".data"):
        if other != data_directory:
            raise WheelError(
                "wheel.bad-data", f"{shown(other)} is not the wheel's own {shown(data_directory)}"
            )


def _content(archive: mmap | bytes, members: Mapping[str, Member], name: str) -> bytes:
    member = members.get(name)
    if member is None:
        raise WheelError("wheel.metadata", f"the wheel has no {shown(name)}")
    if member.size > MAX_METADATA_BYTES:
        raise WheelError("zip.bomb", f"{shown(name)} claims {member.size} bytes")
    return inflate.content(archive, member)


def _place(
    members: Mapping[str, Member], data_directory: str, project: str, *, has_data: bool
) -> list[Placed]:
    """Return the files with their places, in the order of the archive."""
    if not has_data:
        make = tuple.__new__
        return [
            make(Placed, (member, f"{SITE_PACKAGES}/{name}"))
            for name, member in members.items()
            if name[-1] != "/"
        ]
    layout = Layout(data_directory, project)
    placed = [Placed(member, layout.place(name)) for name, member in members.items()]
    # Members of different names may meet in one place, and a second .dist-info may come in by the side.
    refuse_collisions(path for _, path in placed)
    site_packages = f"{SITE_PACKAGES}/"
    inside = (path.removeprefix(site_packages) for _, path in placed if path.startswith(site_packages))
    if len(_ending(_tops(inside), ".dist-info")) > 1:
        raise WheelError("wheel.metadata", "the wheel's .data directory has a .dist-info directory")
    return [file for file in placed if not file.member.name.endswith("/")]


def _without_cached(files: list[Placed]) -> list[Placed]:
    """Leave out what is in a cache beside source: RECORD has to list it like every file, and that is all.

    Many wheels have some by mistake (every numpy before 2.1). It may be marked as never to be compared with
    the source; without it the source is what runs.
    """
    if _CACHE not in "\n".join([path for _, path in files]).lower():
        return files
    return [file for file in files if _CACHE not in file.member.name.lower().split("/")]


def _rows(
    archive: mmap | bytes,
    members: Mapping[str, Member],
    dist_info: str,
    files: Iterable[Placed],
    *,
    allow_bad_record: bool,
) -> Mapping[str, Row] | None:
    try:
        if f"{dist_info}/RECORD" not in members:
            raise WheelError("record.missing", "the wheel has no RECORD")
        rows = record.parse_record(_content(archive, members, f"{dist_info}/RECORD"), dist_info)
        record.match(rows, [file.member.name for file in files], dist_info)
    except WheelError as error:
        if allow_bad_record and error.code.startswith("record."):
            return None
        raise
    return rows
