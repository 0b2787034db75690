"""T9: whatever bytes come, parsers answer or refuse with a code, quickly and without taking much memory."""

from __future__ import annotations

import configparser
import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sprawld.acquire.pages import parse_page
from sprawld.acquire.record import parse_record
from sprawld.acquire.retry import retry_after_seconds
from sprawld.acquire.wheelmetadata import parse_entry_points, parse_filename, parse_metadata
from sprawld.acquire.zipstructure import read_members
from sprawld.errors import SprawlError
from sprawld.lockfiles.read import read_lock
from sprawld.model import Wanted
from sprawld.request import ResolveRequest
from tests.property.test_zip import ARCHIVES
from tests.support import poetry_locks
from tests.support.locks import DIGEST, linux, package, pdm_lock, uv_lock
from virtual_sprawl import protocol

from .programme import Context, Outcome

TITLE = "fuzz"
BAR = "10 targets, 10,000 examples each: only typed errors, each in less than 100 ms and 32 MiB"

SECONDS, MEMORY_KIB = 0.1, 32 << 10
FRAME = protocol.encode_frame(
    protocol.RESOLVE,
    protocol.encode_fields({"python": "/usr/bin/python3", "start": "/", "options": "no-dev"}),
)
POETRY = poetry_locks.lock(poetry_locks.package("a", more='groups = ["main"]'))
PYLOCK = f"""lock-version = "1.0"
created-by = "x"
[[packages]]
name = "a"
version = "1.0"
[[packages.wheels]]
name = "a-1.0-py3-none-any.whl"
url = "https://files.example.org/a-1.0-py3-none-any.whl"
hashes = {{sha256 = "{DIGEST}"}}
"""
PAGE = f"""{{"meta": {{"api-version": "1.1"}}, "name": "a", "files": [{{"filename": "a-1.0-py3-none-any.whl",
"url": "a-1.0-py3-none-any.whl", "hashes": {{"sha256": "{DIGEST}"}}, "size": 10, "yanked": false}}]}}"""
RECORD = (
    b"demo/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\ndemo-1.0.dist-info/RECORD,,\n"
)
POINTS = b"[console_scripts]\ndemo = demo:main\n[gui_scripts]\nx = demo.gui:main [extra]\n"
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8\n\nA demo.\n"
WORDS = (
    b"\0",
    b"\xff",
    b"..",
    b"/",
    b"\\",
    b"[[",
    b"]]",
    b"{",
    b'"',
    b"'",
    b"\n",
    b"=",
    b"9" * 40,
    b"[" * 200,
    b"\x1b[",
)


def frames(data: bytes) -> None:
    reader = protocol.FrameReader(protocol.REQUEST_LIMIT)
    for kind, payload in reader.feed(data):
        if kind == protocol.RESOLVE:
            ResolveRequest.from_payload(payload)


def lock(directory: Path, name: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        path = directory / name
        path.write_bytes(data)
        found = read_lock(path)
        for wanted in (Wanted(), Wanted(all_groups=True, all_extras=True)):
            found.select(linux(), wanted)

    return read


def text(work: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: work(data.decode("utf-8", "surrogateescape"))


def targets(directory: Path) -> dict[str, tuple[Callable[[bytes], object], list[bytes]]]:
    """Return name -> (what takes the bytes, honest examples to damage)."""
    expected = parse_filename("demo-1.0-py3-none-any.whl")
    uv = uv_lock(package("app", source='virtual = "."', dependencies='{ name = "a" }'), package("a"))
    page = "https://index.example.org/simple/a/"
    return {
        "frames and requests": (frames, [FRAME, FRAME * 3]),
        "uv.lock": (lock(directory, "uv.lock"), [uv.encode()]),
        "poetry.lock": (lock(directory, "poetry.lock"), [POETRY.encode()]),
        "pdm.lock": (lock(directory, "pdm.lock"), [pdm_lock().encode()]),
        "pylock.toml": (lock(directory, "pylock.toml"), [PYLOCK.encode()]),
        "RECORD": (lambda data: parse_record(data, "demo-1.0.dist-info"), [RECORD]),
        "entry points and METADATA": (
            lambda data: parse_metadata(data, expected) if b":" in data[:9] else parse_entry_points(data),
            [POINTS, METADATA],
        ),
        "wheel names and Retry-After": (
            text(lambda value: (retry_after_seconds(value), parse_filename(value))),
            [b"demo-1.0-1-py2.py3-none-any.whl", b"120", b"Fri, 31 Dec 1999 23:59:59 GMT"],
        ),
        "zip structure": (read_members, list(ARCHIVES)),
        "project pages": (
            lambda data: parse_page(
                data, "application/json" if data[:1] == b"{" else "text/html; charset=utf-8", page, "a"
            ),
            [
                PAGE.encode(),
                b'<html><a href="a-1.0-py3-none-any.whl#sha256=00">a-1.0-py3-none-any.whl</a></html>',
            ],
        ),
    }


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Return an honest example with a few changes, or any bytes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.integers(0, 4))
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            data[place:place] = draw(st.sampled_from(WORDS))
        elif kind == 2:
            del data[place : place + draw(st.integers(1, 40))]
        elif kind == 3:
            length = draw(st.integers(1, 60))
            data[place:place] = data[place : place + length] * draw(st.integers(1, 30))
        else:
            data[place : place + 4] = draw(st.binary(min_size=1, max_size=6))
    return bytes(data)


def run(context: Context) -> Outcome:
    outcome = context.outcome
    slowest, most, total = 0.0, 0, 0
    with context.directory() as directory:
        for name, (work, samples) in targets(directory).items():
            for sample in samples:
                _one(work, sample, {})
            counts: dict[str, float] = {}
            _fuzz(context, work, samples, counts, context.count(10_000, 150))
            slowest, most = max(slowest, counts["seconds"]), max(most, int(counts["memory"]))
            total += int(counts["examples"])
            context.note(f"{name}: {counts}")
            outcome.expect(not counts["untyped"], f"{name}: {counts.get('error')}")
            slow = f"{name}: {counts['seconds']:.3f} s for {counts.get('slow')}"
            outcome.expect(counts["seconds"] < SECONDS, slow)
            outcome.expect(
                counts["memory"] < MEMORY_KIB, f"{name}: {counts['memory'] / 1024:.0f} MiB for one"
            )
        outcome.figures = {
            "targets": len(targets(directory)),
            "examples": total,
            "untyped errors": len(outcome.failures),
            "slowest": f"{slowest * 1000:.0f} ms of processor time",
            "most memory for one": f"{most / 1024:.1f} MiB",
        }
    _control(context, outcome)
    return outcome


def _fuzz(
    context: Context,
    work: Callable[[bytes], object],
    samples: list[bytes],
    counts: dict[str, float],
    examples: int,
) -> None:
    counts.update(examples=0, untyped=0, seconds=0.0, memory=0, refused=0)

    @seed(context.seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(samples))
    def each(data: bytes) -> None:
        _one(work, data, counts)

    each()


def _one(work: Callable[[bytes], object], data: bytes, counts: dict[str, float]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    refused = untyped = 0
    try:
        work(data)
    except (SprawlError, protocol.ProtocolError) as error:
        refused = 1
        untyped = not error.message.isprintable()
    except Exception as error:
        untyped = 1
        counts["error"] = f"{type(error).__name__}: {error} for {data[:200]!r}"  # type: ignore[assignment]
    seconds = time.process_time() - begun
    if seconds >= SECONDS and counts:
        # Once more: a collection of garbage, or a neighbour in the caches, is no fault of the parser.
        seconds = min(seconds, _again(work, data))
        if seconds >= SECONDS:
            counts["slow"] = repr(data)[:300]  # type: ignore[assignment]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if counts:
        counts["examples"] += 1
        counts["refused"] += refused
        counts["untyped"] += untyped
        counts["seconds"] = max(counts["seconds"], seconds)
        counts["memory"] = max(counts["memory"], grown)


def _again(work: Callable[[bytes], object], data: bytes) -> float:
    begun = time.process_time()
    with contextlib.suppress(Exception):
        work(data)
    return time.process_time() - begun


def _control(context: Context, outcome: Outcome) -> None:
    """Entry points read by the standard library's parser, which knows nothing of our errors."""

    def plain(data: bytes) -> None:
        parser = configparser.ConfigParser()
        parser.read_string(os.fsdecode(data))
        for section in parser.sections():
            parser.items(section)

    counts: dict[str, float] = {}
    _fuzz(context, plain, [POINTS], counts, 200)
    outcome.control = (
        f"configparser alone: {counts['untyped']:.0f} untyped errors in {counts['examples']:.0f}"
    )
    outcome.control_failed = counts["untyped"] > 0
