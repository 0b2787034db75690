"""T10: hosts that break off, lie, stall and redirect; at the first byte, amid, and at the last."""

from __future__ import annotations

import hashlib
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sprawld.acquire.fetch import Fetcher
from sprawld.errors import SprawlError
from sprawld.model import Artifact, Hash, IndexSettings
from tests.support import faults
from tests.support.faults import Fault
from tests.support.http import LIMITS, certificate, random_file, with_transport
from tests.support.index import SimpleIndex

from .programme import Context, Outcome

TITLE = "network faults"
BAR = "30 faults at 3 places: each its outcome, at most 3 retries; credentials seen by a second origin: 0"

NAME = "six-1.0-py3-none-any.whl"
SIZE = 300_000
PLACES = {"first byte": 0, "middle": SIZE // 2, "last byte": SIZE - 1}
IMPATIENT = replace(LIMITS, idle_seconds=0.4, connect_seconds=2.0, page_seconds=20.0, file_seconds=20.0)
OK = "ok"
BROKEN = {"net.unreachable", "net.truncated"}
Make = Callable[[int], Fault]

FAULTS: dict[str, tuple[Make, bool, set[str]]] = {
    # The fault at a place, whether it comes for ever, and what may come of it.
    "truncated": (faults.truncated, False, {OK}),
    "truncated, no length": (lambda at: faults.truncated(at, length=False), False, {OK}),
    "truncated for ever": (faults.truncated, True, {"net.truncated", OK}),
    "reset in the body": (faults.reset, False, {OK}),
    "reset in the body for ever": (faults.reset, True, BROKEN | {OK}),
    "reset in the head": (lambda at: faults.reset_in_headers(), False, {OK}),
    "reset in the head for ever": (lambda at: faults.reset_in_headers(), True, BROKEN),
    "stalled": (faults.stalled, False, {OK}),
    "stalled for ever": (faults.stalled, True, {"net.timeout", OK}),
    "one byte at a time": (faults.dripping, True, {"net.timeout", OK}),
    "too long": (lambda at: faults.longer(), True, {"net.too-large"}),
    "too long, no length": (lambda at: faults.longer(9, length=False), True, {"net.too-large"}),
    "other bytes": (lambda at: faults.wrong_bytes(), True, {"fetch.hash-mismatch"}),
    "compressed": (lambda at: faults.encoded(), True, {"net.encoding-refused"}),
    "a web page": (
        lambda at: replace(faults.instead(b"<html>"), honour_range=False), True, {"fetch.size-mismatch"}
    ),
    "403": (lambda at: faults.status(403), True, {"net.status"}),
    "404": (lambda at: faults.status(404), True, {"net.gone"}),
    "407": (lambda at: faults.status(407), True, {"net.status"}),
    "408": (lambda at: faults.status(408), False, {OK}),
    "410": (lambda at: faults.status(410), True, {"net.gone"}),
    "429, Retry-After 0": (lambda at: faults.status(429, Retry_After="0"), False, {OK}),
    "429, Retry-After a date": (
        lambda at: faults.status(429, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"), False, {OK}
    ),
    "429, Retry-After 10^9": (lambda at: faults.status(429, Retry_After="1000000000"), False, {OK}),
    "500": (lambda at: faults.status(500), False, {OK}),
    "503": (lambda at: faults.status(503), False, {OK}),
    "503 for ever": (lambda at: faults.status(503), True, {"net.status"}),
    "a redirect to itself": (lambda at: faults.redirect(f"/files/{NAME}"), True, {"net.redirect-refused"}),
    "a redirect to file:": (lambda at: faults.redirect("file:///etc/passwd"), True, {"net.redirect-refused"}),
    "a redirect to ftp:": (lambda at: faults.redirect("ftp://127.0.0.1/x"), True, {"net.redirect-refused"}),
    "a range that is ignored": (lambda at: faults.ignoring_range(), False, {OK}),
    "a range that starts elsewhere": (lambda at: faults.partial(7), False, {OK}),
    "a range of another total": (
        lambda at: faults.partial(Content_Range=f"bytes 5-{SIZE}/{SIZE + 1}"), False, {OK}
    ),
    "416": (lambda at: faults.status(416), False, {OK, "net.status"}),
    "another ETag": (lambda at: faults.partial(ETag='"another"'), False, {OK}),
}  # fmt: skip


def run(context: Context) -> Outcome:
    outcome = context.outcome
    tried = most = 0
    slowest = 0.0
    with context.directory() as root:
        wheel = random_file(root, NAME, SIZE)
        for name, (make, forever, expected) in FAULTS.items():
            for place, at in PLACES.items() if context.full else [("middle", SIZE // 2)]:
                with SimpleIndex([wheel]) as index:
                    begun = time.monotonic()
                    got, requests = _fetch(root, index, _script(make, at, forever=forever), forever=forever)
                    slowest = max(slowest, time.monotonic() - begun)
                tried += 1
                most = max(most, requests)
                outcome.expect(got in expected, f"{name}, {place}: {got} instead of {sorted(expected)}")
                # A redirect is no retry: it may take five hops, and each attempt may.
                outcome.expect(requests <= 4 or "redirect" in name, f"{name}, {place}: {requests} requests")
        elsewhere = _elsewhere(root, outcome)
        late = _deadline(root, wheel, outcome)
        leaked = _credentials(wheel, outcome)
        _control(wheel, outcome)
    outcome.figures = {
        "faults": f"{len(FAULTS)} x {tried // len(FAULTS)} places, and {elsewhere} of the connection itself",
        "unexpected outcomes": len(outcome.failures),
        "slowest": f"{slowest:.1f} s, with limits of {IMPATIENT.idle_seconds} s for a stall",
        "total deadline": late,
        "credentials seen by a second origin": leaked,
    }
    return outcome


def _script(make: Make, at: int, *, forever: bool) -> list[Fault]:
    """Put the fault at a place: in the body there, or in the reply to whom goes on from there."""
    fault = make(at)
    placed = fault.cut is not None
    return [fault] if placed or at == 0 else [faults.truncated(at), fault]


def _fetch(root: Path, index: SimpleIndex, script: list[Fault], *, forever: bool) -> tuple[str, int]:
    """Fetch under faults; return what came of it, and how many requests it took."""
    index.script(index.file_path(NAME), *script, forever=forever)
    staging = root / "staging"
    staging.mkdir(exist_ok=True)
    got = fetch(index.file_url(NAME), index.sha256(NAME), staging, IndexSettings(default=index.url))
    index.release()
    return got, sum(index.requests.values()) - (len(script) - 1)


def fetch(url: str, sha256: str, staging: Path, settings: IndexSettings) -> str:
    """Return "ok", the code of the refusal, or what else went wrong."""
    artifact = Artifact(filename=NAME, url=url, hashes=(Hash(algorithm="sha256", value=sha256),), size=SIZE)
    try:
        fetched = with_transport(
            lambda opened: Fetcher(opened, IMPATIENT).fetch(artifact, staging, settings=settings), IMPATIENT
        )
    except SprawlError as error:
        left = list(staging.iterdir())
        return f"{error.code}, and left {left}" if left else error.code
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    good = hashlib.sha256(fetched.path.read_bytes()).hexdigest() == sha256
    fetched.path.unlink()
    return OK if good else "WRONG BYTES"


def _elsewhere(root: Path, outcome: Outcome) -> int:
    """Faults of the connection: no name, no listener, a listener that never accepts, a bad certificate."""
    staging = root / "staging"
    found = {}
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        host = f"http://127.0.0.1:{port}"
        found["nobody listens"] = fetch(f"{host}/{NAME}", "0" * 64, staging, IndexSettings(default=host))
    host = "http://no-such-host.invalid"
    found["no such name"] = fetch(f"{host}/{NAME}", "0" * 64, staging, IndexSettings(default=host))
    _, tls = certificate(root)
    with SimpleIndex([root / NAME], tls=tls) as index:
        found["a bad certificate"] = fetch(
            index.file_url(NAME), index.sha256(NAME), staging, IndexSettings(default=index.url)
        )
        outcome.expect(
            sum(index.requests.values()) == 0, "something was asked for in spite of the certificate"
        )
    expected = {
        "nobody listens": {"net.unreachable"},
        "no such name": {"net.unreachable", "net.host-refused"},
        "a bad certificate": {"net.tls"},
    }
    for what, got in found.items():
        outcome.expect(got in expected[what], f"{what}: {got}")
    return len(found)


def _deadline(root: Path, wheel: Path, outcome: Outcome) -> str:
    """A host that sends enough not to be idle, and never ends: the deadline of the file ends it."""
    limits = replace(IMPATIENT, idle_seconds=30.0, file_seconds=2.0)
    staging = root / "staging"
    with SimpleIndex([wheel]) as index:
        index.script(index.file_path(NAME), faults.dripping(0), forever=True)
        artifact = Artifact(
            filename=NAME,
            url=index.file_url(NAME),
            hashes=(Hash(algorithm="sha256", value=index.sha256(NAME)),),
            size=SIZE,
        )
        begun = time.monotonic()
        try:
            with_transport(
                lambda opened: Fetcher(opened, limits).fetch(
                    artifact, staging, settings=IndexSettings(default=index.url)
                ),
                limits,
            )
            code = OK
        except SprawlError as error:
            code = error.code
        seconds = time.monotonic() - begun
    outcome.expect(
        code == "net.timeout" and seconds < 2.0 * 1.1 + 0.5, f"deadline: {code} after {seconds:.2f} s"
    )
    return f"{code} after {seconds:.2f} s of 2"


def _credentials(wheel: Path, outcome: Outcome) -> int:
    """Redirects from an index with a password to another origin, and to another port of the same host."""
    leaked = 0
    with SimpleIndex([wheel]) as index, SimpleIndex([wheel]) as other:
        index.auth = ("user", "secret")
        named = index.url.replace("http://", "http://user:secret@")
        settings = IndexSettings(default=named, extra=(other.url,))
        for code in (301, 302, 303, 307, 308):
            index.script(index.file_path(NAME), faults.redirect(other.file_url(NAME), code))
            got = fetch(index.file_url(NAME), index.sha256(NAME), wheel.parent / "staging", settings)
            outcome.expect(got == OK, f"a redirect of status {code}: {got}")
        for seen in other.log:
            leaked += any(
                name.lower() in ("authorization", "cookie", "proxy-authorization") for name in seen.headers
            )
        outcome.expect(len(other.log) == 5, "the other origin was not asked")
        outcome.expect(all("Authorization" in seen.headers for seen in index.log), "the index was not told")
    outcome.expect(not leaked, f"{leaked} requests carried credentials to the other origin")
    return leaked


def _control(wheel: Path, outcome: Outcome) -> None:
    """The same redirect, followed by a client of the standard library that was given the header."""
    with SimpleIndex([wheel]) as index, SimpleIndex([wheel]) as other:
        index.script(index.file_path(NAME), faults.redirect(other.file_url(NAME)))
        request = urllib.request.Request(index.file_url(NAME), headers={"Authorization": "Basic c2VjcmV0"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as reply:
            reply.read()
        seen = sum("Authorization" in one.headers for one in other.log)
    outcome.control = f"followed by urllib, which knows no origins: {seen} of 1 requests carries the password"
    outcome.control_failed = seen > 0
