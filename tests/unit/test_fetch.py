from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import socket
import threading
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.acquire.fetch import Fetched, Fetcher
from sprawld.acquire.transport import Transport
from sprawld.config import Limits
from sprawld.errors import SprawlError
from sprawld.model import Artifact, Hash, IndexSettings
from tests.support import faults
from tests.support.faults import Fault
from tests.support.http import LIMITS, random_file, transport, with_transport
from tests.support.index import SimpleIndex

NAME = "six-1.0-py3-none-any.whl"
SIZE = 300_000
MIDDLE = SIZE // 2
IMPATIENT = replace(LIMITS, idle_seconds=0.3)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return random_file(tmp_path, NAME, SIZE)


@pytest.fixture
def index(wheel: Path) -> Iterator[SimpleIndex]:
    with SimpleIndex([wheel]) as served:
        yield served


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"


def sha256(value: str) -> Hash:
    return Hash(algorithm="sha256", value=value)


def locked(index: SimpleIndex, name: str = NAME, size: int | None = SIZE) -> Artifact:
    return Artifact(filename=name, url=index.file_url(name), hashes=(sha256(index.sha256(name)),), size=size)


def fetch(
    artifact: Artifact,
    staging: Path,
    index: SimpleIndex | None = None,
    *,
    limits: Limits = LIMITS,
    arrived: list[int] | None = None,
    any_of: tuple[Hash, ...] = (),
) -> Fetched:
    settings = IndexSettings(default=None if index is None else index.url)
    progress: list[int] = [] if arrived is None else arrived
    return with_transport(
        lambda opened: Fetcher(opened, limits).fetch(
            artifact, staging, settings=settings, progress=progress.append, any_of=any_of
        ),
        limits,
    )


def refusal(artifact: Artifact, staging: Path, index: SimpleIndex | None = None, **options: object) -> str:
    """Fetch in vain; return the code once the staging directory was seen to be empty."""
    with pytest.raises(SprawlError) as caught:
        fetch(artifact, staging, index, **options)  # type: ignore[arg-type]
    assert list(staging.iterdir()) == []
    return caught.value.code


def test_a_whole_file_arrives(index: SimpleIndex, wheel: Path, staging: Path) -> None:
    arrived: list[int] = []
    fetched = fetch(locked(index), staging, index, arrived=arrived)
    assert fetched == Fetched(path=staging / NAME, sha256=index.sha256(NAME), size=SIZE)  # type: ignore[arg-type]
    assert fetched.path.read_bytes() == wheel.read_bytes()
    assert fetched.path.stat().st_mode & 0o777 == 0o600
    assert sum(arrived) == SIZE
    [seen] = index.log
    assert seen.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in seen.headers


def test_a_file_of_unknown_size_arrives(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), Fault(length=False))
    assert fetch(locked(index, size=None), staging, index).size == SIZE


def test_an_empty_file_arrives(index: SimpleIndex, tmp_path: Path, staging: Path) -> None:
    index.add(random_file(tmp_path, "empty-1.0.tar.gz", 0))
    assert fetch(locked(index, "empty-1.0.tar.gz", 0), staging, index).size == 0


# --- faults: the outcome's code and the number of requests it took

FOREVER = {
    "404": (faults.status(404), "net.gone", 1),
    "403": (faults.status(403), "net.status", 1),
    "401": (faults.status(401, WWW_Authenticate="Basic"), "net.status", 1),
    "407": (faults.status(407, Proxy_Authenticate="Basic"), "net.status", 1),
    "410": (faults.status(410), "net.gone", 1),
    "206-unasked": (faults.status(206), "net.status", 1),
    "304-unasked": (faults.status(304), "net.status", 1),
    "408": (faults.status(408), "net.status", 4),
    "429": (faults.status(429, Retry_After="1000000000"), "net.status", 4),
    "429-date": (faults.status(429, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"), "net.status", 4),
    "500": (faults.status(500), "net.status", 4),
    "503": (faults.status(503), "net.status", 4),
    "nothing-arrives": (faults.truncated(0), "net.truncated", 4),
    "longer": (faults.longer(1), "net.too-large", 1),
    "longer-unannounced": (faults.longer(1, length=False), "net.too-large", 1),
    "much-longer-unannounced": (faults.longer(5_000_000, length=False), "net.too-large", 1),
    "wrong-bytes": (faults.wrong_bytes(), "fetch.hash-mismatch", 1),
    "gzip": (faults.encoded(), "net.encoding-refused", 1),
    "web-page": (faults.instead(b"<html>log in"), "fetch.size-mismatch", 1),
    "reset-in-head": (faults.reset_in_headers(), "net.unreachable", 4),
    "reset-before-head": (faults.reset_in_headers(0), "net.unreachable", 4),
    "not-http": (Fault(status=99_999_999), "net.unreachable", 4),
    "to-file": (faults.redirect("file:///etc/passwd"), "net.redirect-refused", 1),
    "to-ftp": (faults.redirect("ftp://127.0.0.1/x"), "net.redirect-refused", 1),
    "to-nowhere": (faults.redirect("http://"), "net.redirect-refused", 1),
    "to-a-broken-host": (faults.redirect("http://[::1/"), "net.redirect-refused", 1),
    "without-location": (faults.status(302), "net.status", 1),
    "loop": (faults.redirect(f"/files/{NAME}"), "net.redirect-refused", 6),
}


@pytest.mark.parametrize("case", FOREVER)
def test_a_fault_that_stays(index: SimpleIndex, staging: Path, case: str) -> None:
    fault, code, requests = FOREVER[case]
    index.script(index.file_path(NAME), fault, forever=True)
    assert refusal(locked(index), staging, index) == code
    assert index.requests[index.file_path(NAME)] == requests


@pytest.mark.parametrize("at", [1, MIDDLE, SIZE - 1])
@pytest.mark.parametrize(
    "cut",
    [
        lambda at: faults.truncated(at),
        lambda at: faults.truncated(at, length=False),
        lambda at: faults.reset(at),
    ],
    ids=["close", "close-unannounced", "reset"],
)
def test_a_body_that_never_ends_well(index: SimpleIndex, staging: Path, at: int, cut: object) -> None:
    # Without an ETag every attempt starts at the first byte.
    fault = replace(cut(at), headers={"ETag": ""})  # type: ignore[operator]
    index.script(index.file_path(NAME), fault, forever=True)
    assert refusal(locked(index), staging, index) == "net.truncated"
    assert index.requests[index.file_path(NAME)] == 4
    assert not any("Range" in seen.headers for seen in index.log)


@pytest.mark.parametrize(
    "fault",
    [
        faults.stalled(0),
        faults.stalled(MIDDLE),
        faults.dripping(MIDDLE),
        Fault(head=12, ending="stall"),
        Fault(head=0, ending="stall"),
    ],
    ids=["first-byte", "middle", "drip", "head", "no-head"],
)
def test_a_host_that_stalls(index: SimpleIndex, staging: Path, fault: Fault) -> None:
    # Without an ETag the second attempt does not find the rest to be short enough.
    index.script(index.file_path(NAME), replace(fault, headers={"ETag": ""}), forever=True)
    limits = replace(IMPATIENT, attempts=2)
    assert refusal(locked(index), staging, index, limits=limits) == "net.timeout"
    assert index.requests[index.file_path(NAME)] == 2


def test_a_file_that_comes_for_ever_is_given_up(index: SimpleIndex, staging: Path) -> None:
    """The time is that of all attempts together, and what is late is not tried again."""
    index.script(index.file_path(NAME), faults.stalled(10), forever=True)
    assert refusal(locked(index), staging, index, limits=replace(LIMITS, file_seconds=0.3)) == "net.timeout"
    # On a busy machine the time may be over before the request is out.
    assert index.requests[index.file_path(NAME)] <= 1


def test_a_host_that_swallows_connections(staging: Path) -> None:
    """Like a firewall that drops packets: the queue of connections is full, and nobody accepts."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}/{NAME}"
        artifact = Artifact(filename=NAME, url=url, hashes=(sha256("0" * 64),))
        limits = replace(LIMITS, connect_seconds=0.2, attempts=2)
        settings = IndexSettings(default=url)

        async def act(opened: Transport) -> None:
            await Fetcher(opened, limits).fetch(artifact, staging, settings=settings)

        with pytest.raises(SprawlError) as caught:
            with_transport(act, limits)
    assert caught.value.code == "net.timeout"


def test_a_proxy_that_dies_half_way(index: SimpleIndex, wheel: Path, staging: Path) -> None:
    url = f"http://files.example{index.file_path(NAME)}"
    artifact = replace(locked(index), url=url)
    environ = {"HTTP_PROXY": index.origin}
    index.script(index.file_path(NAME), faults.reset(MIDDLE), faults.reset_in_headers(), None)

    def act(opened: Transport) -> Awaitable[Fetched]:
        return Fetcher(opened, LIMITS).fetch(artifact, staging)

    assert with_transport(act, LIMITS, environ).path.read_bytes() == wheel.read_bytes()
    # What arrived before the end is kept; a reset may take the last of it back.
    asked = [seen.headers.get("Range", "") for seen in index.log]
    assert asked[0] == ""
    assert asked[-1].startswith("bytes=")
    index.script(index.file_path(NAME), faults.reset(1), forever=True)
    (staging / NAME).unlink()
    with pytest.raises(SprawlError) as caught:
        with_transport(act, LIMITS, environ)
    assert caught.value.code == "net.truncated"
    assert list(staging.iterdir()) == []


def test_truncation_that_nothing_announces_shows_in_the_hash(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), faults.truncated(MIDDLE, length=False))
    assert refusal(locked(index, size=None), staging, index) == "fetch.hash-mismatch"


def test_a_file_of_unknown_size_that_cannot_fit_is_refused_at_its_head(
    index: SimpleIndex, staging: Path
) -> None:
    index.script(index.file_path(NAME), Fault(headers={"Content-Length": str(10**17)}, length=False))
    limits = replace(LIMITS, artifact_bytes=10**18)
    assert refusal(locked(index, size=None), staging, index, limits=limits) == "disk.full"
    assert index.requests[index.file_path(NAME)] == 1


def test_a_web_page_instead_of_a_file_of_unknown_size(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), faults.instead(b"<html>log in"))
    assert refusal(locked(index, size=None), staging, index) == "fetch.hash-mismatch"


def test_an_endless_file_of_unknown_size_is_cut_off(index: SimpleIndex, staging: Path) -> None:
    limits = replace(LIMITS, artifact_bytes=SIZE)
    for announced in (True, False):
        index.script(index.file_path(NAME), faults.longer(1, length=announced))
        assert refusal(locked(index, size=None), staging, index, limits=limits) == "net.too-large"


PASSING = {
    "429": [faults.status(429, Retry_After="3")],
    "503-twice": [faults.status(503), faults.status(503)],
    "all-but-one": [faults.reset_in_headers(), faults.status(500), faults.reset(0)],
}


@pytest.mark.parametrize("case", PASSING)
def test_a_fault_that_passes(index: SimpleIndex, staging: Path, case: str) -> None:
    index.script(index.file_path(NAME), *PASSING[case])
    assert fetch(locked(index), staging, index).sha256 == index.sha256(NAME)
    assert index.requests[index.file_path(NAME)] == len(PASSING[case]) + 1


# --- resuming

RESUMED = {
    # case: (replies, byte at which each request starts)
    "once": ([faults.truncated(MIDDLE)], [0, MIDDLE]),
    "after-a-stall": ([faults.stalled(MIDDLE)], [0, MIDDLE]),
    "after-an-error": ([faults.truncated(MIDDLE), faults.status(503)], [0, MIDDLE, MIDDLE]),
    "range-ignored": ([faults.truncated(MIDDLE), faults.ignoring_range()], [0, MIDDLE]),
    "wrong-start": ([faults.truncated(MIDDLE), faults.partial(3)], [0, MIDDLE, 0]),
    "wrong-total": (
        [faults.truncated(MIDDLE), faults.partial(Content_Range=f"bytes {MIDDLE}-{SIZE - 1}/{SIZE + 1}")],
        [0, MIDDLE, 0],
    ),
    "no-content-range": ([faults.truncated(MIDDLE), faults.partial(Content_Range="")], [0, MIDDLE, 0]),
    "another-etag": ([faults.truncated(MIDDLE), faults.partial(ETag='"other"')], [0, MIDDLE, 0]),
    "416": ([faults.truncated(MIDDLE), faults.status(416)], [0, MIDDLE, 0]),
    "changed-meanwhile": ([replace(faults.truncated(MIDDLE), headers={"ETag": '"old"'})], [0, MIDDLE]),
    "weak-etag": ([replace(faults.truncated(MIDDLE), headers={"ETag": 'W/"weak"'})], [0, 0]),
    "no-ranges": ([replace(faults.truncated(MIDDLE), headers={"Accept-Ranges": "none"})], [0, 0]),
    "spoilt-half": ([replace(faults.truncated(MIDDLE), spoil=True)], [0, MIDDLE, 0]),
}


@pytest.mark.parametrize("case", RESUMED)
def test_resuming(index: SimpleIndex, staging: Path, case: str) -> None:
    replies, starts = RESUMED[case]
    index.script(index.file_path(NAME), *replies)
    arrived: list[int] = []
    limits = IMPATIENT if case == "after-a-stall" else LIMITS
    assert fetch(locked(index), staging, index, limits=limits, arrived=arrived).sha256 == index.sha256(NAME)
    asked = [int(seen.headers.get("Range", "bytes=0-")[6:-1]) for seen in index.log]
    assert asked == starts
    assert all(("If-Range" in seen.headers) == ("Range" in seen.headers) for seen in index.log)
    assert sum(arrived) == SIZE


def test_resuming_again_and_again(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), *[faults.truncated(SIZE // 4)] * 3)
    assert fetch(locked(index), staging, index).sha256 == index.sha256(NAME)
    starts = [int(seen.headers.get("Range", "bytes=0-")[6:-1]) for seen in index.log]
    # What arrived in the moment of a failure may be lost, what was written is not.
    assert len(starts) == 4
    assert starts == sorted(starts)
    assert starts[1] == SIZE // 4


def test_a_resumed_file_that_stays_wrong_is_refused(index: SimpleIndex, staging: Path) -> None:
    spoilt_half = replace(faults.truncated(MIDDLE), spoil=True)
    index.script(index.file_path(NAME), spoilt_half, None, spoilt_half, None)
    assert refusal(locked(index), staging, index) == "fetch.hash-mismatch"
    assert index.requests[index.file_path(NAME)] == 4


def test_a_compressed_rest_is_refused(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), faults.truncated(MIDDLE), faults.partial(Content_Encoding="br"))
    assert refusal(locked(index), staging, index) == "net.encoding-refused"


# --- hashes and sizes


def test_every_locked_hash_must_hold(index: SimpleIndex, wheel: Path, staging: Path) -> None:
    content = wheel.read_bytes()
    good = [
        Hash(algorithm=name, value=hashlib.new(name, content).hexdigest())
        for name in ("md5", "sha1", "sha256", "sha384", "sha512", "blake2b")
    ]
    good.append(Hash(algorithm="blake2b", value=hashlib.blake2b(content, digest_size=32).hexdigest()))
    artifact = replace(locked(index), hashes=tuple(good))
    fetch(artifact, staging, index).path.unlink()
    for position, hash_ in enumerate(good):
        wrong = replace(hash_, value="0" * len(hash_.value))
        hashes = (*good[:position], wrong, *good[position + 1 :])
        assert refusal(replace(artifact, hashes=hashes), staging, index) == "fetch.hash-mismatch"


def test_a_hash_that_cannot_be_checked_does_not_hold(index: SimpleIndex, staging: Path) -> None:
    artifact = replace(locked(index), hashes=(Hash(algorithm="crc32", value="00000000"),))
    assert refusal(artifact, staging, index) == "fetch.hash-mismatch"
    assert not index.log


def test_one_of_the_accepted_hashes_must_hold(index: SimpleIndex, staging: Path) -> None:
    artifact, other = replace(locked(index), hashes=()), sha256("0" * 64)
    assert refusal(artifact, staging, index, any_of=(other,)) == "fetch.hash-mismatch"
    assert fetch(artifact, staging, index, any_of=(other, *locked(index).hashes)).size == SIZE


@pytest.mark.parametrize(("size", "code"), [(SIZE - 1, "net.too-large"), (SIZE + 1, "fetch.size-mismatch")])
def test_the_locked_size_is_compared_before_a_byte_is_read(
    index: SimpleIndex, staging: Path, size: int, code: str
) -> None:
    arrived: list[int] = []
    assert refusal(locked(index, size=size), staging, index, arrived=arrived) == code
    assert arrived == []


# --- hosts


def test_connection_refused(staging: Path) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
        artifact = Artifact(filename=NAME, url=f"{origin}/{NAME}", hashes=(sha256("0" * 64),))
        with pytest.raises(SprawlError) as caught:
            with_transport(
                lambda opened: Fetcher(opened, LIMITS).fetch(
                    artifact, staging, settings=IndexSettings(default=origin)
                )
            )
    assert caught.value.code == "net.unreachable"
    assert list(staging.iterdir()) == []


def test_a_name_that_does_not_resolve(staging: Path) -> None:
    artifact = Artifact(filename=NAME, url=f"https://host.invalid/{NAME}", hashes=(sha256("0" * 64),))
    assert refusal(artifact, staging) == "net.unreachable"


def test_a_private_host_that_only_the_lock_names(index: SimpleIndex, staging: Path) -> None:
    port = index.origin.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"):
        artifact = replace(locked(index), url=f"http://{host}:{port}{index.file_path(NAME)}")
        assert refusal(artifact, staging) == "net.host-refused", host
    assert not index.log


def test_a_file_without_hash_does_not_come_over_plain_http(index: SimpleIndex, staging: Path) -> None:
    artifact = replace(locked(index), hashes=(Hash(algorithm="md5", value="0" * 32),))
    assert refusal(artifact, staging) == "net.insecure"
    assert fetch(replace(artifact, hashes=()), staging, index).size == SIZE  # the user's own index


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "https://", "http://a b/", "//host/x"])
def test_a_url_that_is_never_requested(staging: Path, url: str) -> None:
    artifact = Artifact(filename=NAME, url=url, hashes=(sha256("0" * 64),))
    assert refusal(artifact, staging) == "net.host-refused"


# --- the staging directory


@pytest.mark.parametrize("name", ["", ".", "..", "../x.whl", "a/x.whl", "/x.whl", "x\0.whl"])
def test_a_file_name_that_is_a_path(index: SimpleIndex, staging: Path, name: str) -> None:
    assert refusal(replace(locked(index), filename=name), staging, index) == "lock.filename-mismatch"
    assert not index.log


def test_nothing_in_the_staging_directory_is_replaced_or_followed(
    index: SimpleIndex, staging: Path, tmp_path: Path
) -> None:
    (staging / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SprawlError) as caught:
        fetch(locked(index), staging, index)
    assert caught.value.code == "store.unwritable"
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk(index: SimpleIndex, staging: Path) -> None:
    # A limit on file sizes fails in the same call as a full disk, and needs no file system of its own.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIDDLE, before[1]))
    try:
        code = refusal(locked(index), staging, index)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == "disk.full"


def test_a_cancelled_fetch_leaves_nothing(index: SimpleIndex, staging: Path) -> None:
    index.script(index.file_path(NAME), faults.stalled(MIDDLE))

    async def act(opened: Transport) -> None:
        fetcher = Fetcher(opened, LIMITS)
        task = asyncio.create_task(
            fetcher.fetch(locked(index), staging, settings=IndexSettings(default=index.url))
        )
        await asyncio.to_thread(index.stalled.wait)
        assert [path.name for path in staging.iterdir()] == [NAME]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(staging.iterdir()) == []

    with_transport(act)


# --- several at once


def test_the_largest_of_those_who_wait_is_next(index: SimpleIndex, tmp_path: Path, staging: Path) -> None:
    sizes = {f"p{size}-1.0-py3-none-any.whl": size for size in (10, 30, 20, 50, 40)}
    for name, size in sizes.items():
        index.add(random_file(tmp_path, name, size))
    limits = replace(LIMITS, downloads=1)

    async def main() -> None:
        async with transport(limits) as opened, asyncio.TaskGroup() as group:
            fetcher = Fetcher(opened, limits)
            for name, size in sizes.items():
                settings = IndexSettings(default=index.url)
                group.create_task(fetcher.fetch(locked(index, name, size), staging, settings=settings))

    asyncio.run(main())
    asked = [sizes[seen.path.rpartition("/")[2]] for seen in index.log]
    assert asked == [10, 50, 40, 30, 20]


def test_a_cancelled_waiter_gives_its_place_back(index: SimpleIndex, tmp_path: Path, staging: Path) -> None:
    index.add(random_file(tmp_path, "other-1.0-py3-none-any.whl"))
    index.script(index.file_path(NAME), faults.stalled(0))
    limits = replace(LIMITS, downloads=1)
    settings = IndexSettings(default=index.url)

    async def act(opened: Transport) -> Fetched:
        fetcher = Fetcher(opened, limits)
        first = asyncio.create_task(fetcher.fetch(locked(index), staging, settings=settings))
        await asyncio.to_thread(index.stalled.wait)
        other = locked(index, "other-1.0-py3-none-any.whl")
        (staging / "second").mkdir()
        waiter = asyncio.create_task(fetcher.fetch(other, staging / "second", settings=settings))
        last = asyncio.create_task(fetcher.fetch(other, staging, settings=settings))
        await asyncio.sleep(0)
        waiter.cancel()
        first.cancel()
        await asyncio.gather(first, waiter, return_exceptions=True)
        return await last

    assert with_transport(act, limits).size == SIZE


# --- local files


def test_a_local_file_is_copied(wheel: Path, staging: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    artifact = Artifact(filename=NAME, path=wheel, hashes=(sha256(digest),), size=SIZE)
    arrived: list[int] = []
    fetched = fetch(artifact, staging, arrived=arrived)
    assert fetched.path.read_bytes() == wheel.read_bytes()
    assert fetched.path.stat().st_ino != wheel.stat().st_ino
    assert (fetched.sha256, fetched.size, sum(arrived)) == (digest, SIZE, SIZE)


def test_a_local_file_is_checked(wheel: Path, staging: Path) -> None:
    artifact = Artifact(filename=NAME, path=wheel, hashes=(sha256("0" * 64),))
    assert refusal(artifact, staging) == "fetch.hash-mismatch"
    artifact = Artifact(filename=NAME, path=wheel, size=SIZE - 1)
    assert refusal(artifact, staging) == "fetch.size-mismatch"
    artifact = Artifact(filename=NAME, path=wheel, size=SIZE + 1)
    assert refusal(artifact, staging) == "fetch.size-mismatch"


def test_local_things_that_are_no_files(tmp_path: Path, staging: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "absent", tmp_path / "fifo", tmp_path, Path("/dev/zero")):
        assert refusal(Artifact(filename=NAME, path=path), staging) == "fetch.unreadable"


def test_no_thread_is_left_at_work(index: SimpleIndex, staging: Path) -> None:
    before = threading.active_count()
    fetch(locked(index), staging, index)
    assert threading.active_count() == before
