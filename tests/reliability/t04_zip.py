"""T4: mutated archives are refused, or read to the very bytes that CPython's zipfile reads."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.property.test_zip import ARCHIVES, crafted, mutants, our_reading

from .programme import Context, Outcome

TITLE = "differential zip"
BAR = "5,000 mutants, 0 differences"

Reading = dict[str, bytes] | None


def run(context: Context) -> Outcome:
    outcome = context.outcome
    counts = {"mutants": 0, "read": 0, "different": 0}
    seen: set[bytes] = set()

    def check(archive: bytes) -> None:
        counts["mutants"] += 1
        seen.add(zlib.crc32(archive).to_bytes(4, "big"))
        try:
            ours = our_reading(archive)
        except Exception as error:
            counts["different"] += 1
            outcome.fail(f"{type(error).__name__}: {str(error)[:200]}")
            return
        if ours is not None:
            counts["read"] += 1
            difference = compare(archive, ours)
            counts["different"] += bool(difference)
            outcome.expect(not difference, difference)

    generate(check, context.count(5000, 300), context.seed)
    whole = sum(our_reading(archive) is not None for archive in ARCHIVES)
    outcome.expect(whole == len(ARCHIVES), "an honest archive is refused")
    outcome.figures = {
        "mutants": f"{counts['mutants']}, {len(seen)} of them distinct",
        "of them read": counts["read"],
        "of those read otherwise than zipfile does": counts["different"],
    }
    outcome.expect(counts["read"], "all are refused: nothing was compared")
    _control(context, outcome)
    return outcome


def generate(check: Any, count: int, number: int) -> None:
    """Call `check` with that many archives."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(mutants(), crafted()))
    def each(archive: bytes) -> None:
        check(archive)

    each()


def compare(archive: bytes, ours: dict[str, bytes]) -> str:
    """Return how zipfile reads it otherwise; the empty string when it does not."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as theirs:
            infos = theirs.infolist()
            read = {info.filename: theirs.read(info) for info in infos}
    except Exception as error:
        return f"zipfile refuses what we read: {type(error).__name__}: {error}"[:200]
    if len(infos) != len(ours) or read != ours:
        return f"zipfile reads {sorted(read)[:5]}, we read {sorted(ours)[:5]}"
    return ""


def front_to_back(archive: bytes) -> Reading:
    """Read the members one after the other as a streaming reader does; None if it cannot."""
    found, at = {}, 0
    try:
        while archive[at : at + 4] == b"PK\x03\x04":
            _, flags, method, _, _, _, packed, _, name_size, extra = struct.unpack_from(
                "<5H3L2H", archive, at + 4
            )
            start = at + 30 + name_size + extra
            name = archive[at + 30 : at + 30 + name_size].decode()
            if flags & 9 or method not in (0, 8):
                return None
            raw = archive[start : start + packed]
            found[name] = raw if method == 0 else zlib.decompress(raw, -15)
            at = start + packed
    except (struct.error, UnicodeDecodeError, zlib.error):
        return None
    return found or None


def _control(context: Context, outcome: Outcome) -> None:
    counts = {"read": 0, "different": 0}

    def check(archive: bytes) -> None:
        found = front_to_back(archive)
        if found is not None:
            counts["read"] += 1
            counts["different"] += bool(compare(archive, found))

    generate(check, context.count(1000, 200), context.seed)
    outcome.control = (
        f"a reader that goes by the local headers alone: {counts['different']} of {counts['read']} archives "
        "read otherwise than zipfile does"
    )
    outcome.control_failed = counts["different"] > 0
