"""RECORD: the list of a wheel's files with hash and size, parsed and held against the files.

1. Every file of the wheel is listed once, with a strong hash and its size. Exempt are RECORD itself and its
   two signature files, which cannot list what they are computed from.
2. Nothing is listed that the wheel does not have.

Specifications: recording installed projects (the rows), binary distribution format (what must be listed).
"""

from __future__ import annotations

import binascii
import csv
import io
import posixpath
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sprawld.errors import WheelError

from .membernames import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Row", "exempt", "match", "parse_record", "relocate"]

_DIGEST_BYTES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
_MAX_SIZE_DIGITS: Final = 18
_COMMON: Final = re.compile(
    r'^([^",\r\n\0]{1,1024}),(?:sha256=([A-Za-z0-9_-]{43}),([0-9]{1,18})|,)\r?$', re.MULTILINE
)
"""A row as nearly every builder writes it: nothing is quoted; RECORD's own row has neither hash nor size."""


class Row(NamedTuple):
    """What RECORD says of one file. A tuple, because there are ten thousands of them."""

    algorithm: str
    """As in hashlib."""
    digest: bytes
    size: int


def exempt(dist_info: str) -> frozenset[str]:
    """Return the members that RECORD need not vouch for."""
    return frozenset(f"{dist_info}/RECORD{suffix}" for suffix in ("", ".jws", ".p7s"))


def parse_record(content: bytes, dist_info: str) -> dict[str, Row]:
    """Return member name -> row, without a row for RECORD itself; WheelError `record.*`."""
    common = _common_rows(content, dist_info)
    return _every_row(content, dist_info) if common is None else common


def _common_rows(content: bytes, dist_info: str) -> dict[str, Row] | None:
    """Return what `_every_row` does for a RECORD of common rows only; None where it takes a closer look."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    found = _COMMON.findall(text)
    lines = text.count("\n") + (text[-1:] not in ("", "\n"))
    bare = [fields for fields in found if not fields[1]]
    own_name = f"{dist_info}/RECORD"
    if len(found) != lines or [name for name, _, _ in bare] != [own_name]:
        return None
    found.remove(bare[0])
    # Decoded together: 43 characters and a 44th are 33 bytes, of which the last is none of the hash's.
    encoded = "A".join([fields[1] for fields in found] + [""])
    digests = binascii.a2b_base64(encoded.replace("-", "+").replace("_", "/"), strict_mode=True)
    make = tuple.__new__
    rows = {
        name: make(Row, ("sha256", digests[place : place + 32], int(size)))
        for place, (name, _, size) in zip(range(0, len(digests), 33), found, strict=True)
    }
    return rows if len(rows) == len(found) and own_name not in rows else None


def _every_row(content: bytes, dist_info: str) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    own_name = f"{dist_info}/RECORD"
    own_rows = 0
    for fields in _fields(content):
        name, described, size = fields
        if name == own_name:
            own_rows += 1
            if described or size:
                raise WheelError("record.malformed", "RECORD has a hash of itself")
        elif name in rows:
            raise WheelError("record.duplicate", f"RECORD lists {shown(name)} twice")
        else:
            rows[name] = _row(name, described, size)
    if own_rows > 1:
        raise WheelError("record.duplicate", "RECORD lists itself twice")
    return rows


def _fields(content: bytes) -> list[list[str]]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise WheelError("record.malformed", "RECORD is not UTF-8") from None
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise WheelError("record.malformed", f"RECORD does not parse: {error}") from None
    for number, fields in enumerate(table, 1):
        if fields and len(fields) != 3:
            raise WheelError("record.malformed", f"row {number} of RECORD has {len(fields)} fields")
    return [fields for fields in table if fields]


def _row(name: str, described: str, size: str) -> Row:
    algorithm, _, encoded = described.partition("=")
    length = _DIGEST_BYTES.get(algorithm)
    if length is None:
        what = f"only {shown(algorithm)}" if algorithm else "no hash"
        raise WheelError("record.weak-hash", f"RECORD has {what} for {shown(name)}")
    if not (size.isascii() and size.isdigit()) or len(size) > _MAX_SIZE_DIGITS:
        raise WheelError("record.malformed", f"RECORD has no size for {shown(name)}")
    digest = _digest(encoded, length)
    if len(digest) != length:
        raise WheelError("record.malformed", f"RECORD has a hash that is none for {shown(name)}")
    return Row(algorithm, digest, int(size))


def _digest(encoded: str, length: int) -> bytes:
    """Return the bytes of a hash; empty for what is none.

    The specification asks for base64. Some builders (gmsh's) write hexadecimal digits: for the same number of
    bytes those are longer, so that no text is both.
    """
    try:
        if len(encoded) == 2 * length:
            return binascii.unhexlify(encoded)
        encoded = encoded.rstrip("=").replace("-", "+").replace("_", "/")
        return binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True)
    except ValueError:
        return b""


def match(rows: Mapping[str, Row], names: Iterable[str], dist_info: str) -> None:
    """Raise WheelError `record.unlisted` or `record.absent` unless the rows are the wheel's files."""
    files = set(names)
    unlisted = files - rows.keys() - exempt(dist_info)
    if unlisted:
        raise WheelError("record.unlisted", f"RECORD does not list {_some(unlisted)}")
    absent = rows.keys() - files
    if absent:
        raise WheelError("record.absent", f"RECORD lists {_some(absent)}, which the wheel does not have")


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{shown(first)} and {len(others)} more" if others else shown(first)


def relocate(
    content: bytes, places: Mapping[str, str], site_packages: str, scripts: Iterable[str] = ()
) -> bytes:
    """Return RECORD with the paths of the files where they were put, as an installer has to write it.

    places: member name -> path from the entry's root, for the members that do not lie where RECORD says.
    scripts: paths from the entry's root that only a path set has, since they name its interpreter. Their rows
    have no hash and no size.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    listed = set()
    for name, described, size in _fields(content):
        path = posixpath.relpath(places[name], site_packages) if name in places else name
        listed.add(path)
        writer.writerow((path, described, size))
    for script in scripts:
        path = posixpath.relpath(script, site_packages)
        if path not in listed:
            writer.writerow((path, "", ""))
    return text.getvalue().encode()
