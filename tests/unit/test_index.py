from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from packaging.utils import canonicalize_name

from sprawld.acquire.index import IndexClient
from sprawld.acquire.pages import ProjectFile
from sprawld.acquire.settings import default_index
from sprawld.config import Limits
from sprawld.errors import PackageIndexError, SprawlError
from sprawld.model import Artifact, Hash, IndexSettings, Pin, Source
from tests.support import faults
from tests.support.http import LIMITS, NOWHERE, random_file, with_transport
from tests.support.index import SimpleIndex
from tests.support.wheels import build_wheel

NAME = "Six_Pack-1.0-py3-none-any.whl"
PAGE = "/simple/six-pack/"
T = TypeVar("T")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return random_file(tmp_path, NAME, 1000)


@pytest.fixture
def index(wheel: Path) -> Iterator[SimpleIndex]:
    with SimpleIndex([wheel]) as served:
        yield served


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SimpleIndex]:
    """A second index with another file of the same name."""
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / NAME
    path.write_bytes(b"other content")
    with SimpleIndex([path]) as served:
        yield served


def ask(
    act: Callable[[IndexClient], Awaitable[T]],
    limits: Limits = LIMITS,
    pages: Path | None = None,
    home: Path = NOWHERE,
) -> T:
    """Run `act` with a new index client."""
    return with_transport(lambda opened: act(IndexClient(opened, limits, pages=pages)), limits, home=home)


def refusal(
    act: Callable[[IndexClient], Awaitable[object]], limits: Limits = LIMITS, pages: Path | None = None
) -> str:
    with pytest.raises(SprawlError) as caught:
        ask(act, limits, pages)
    return caught.value.code


def settings(*indexes: SimpleIndex) -> IndexSettings:
    default, *extra = (index.url for index in indexes)
    return IndexSettings(default=default, extra=tuple(extra))


def pin(
    version: str = "1.0", hashes: tuple[Hash, ...] = (), index: str | None = None, name: str = "six-pack"
) -> Pin:
    source = Source(kind="registry", index=index)
    return Pin(name=canonicalize_name(name), version=version, source=source, hashes=hashes)


def sha256(value: str) -> Hash:
    return Hash(algorithm="sha256", value=value)


def locked(*hashes: Hash, filename: str = NAME) -> Artifact:
    return Artifact(filename=filename, hashes=hashes)


def project(index: SimpleIndex, name: str = "six-pack") -> Callable[[IndexClient], Awaitable[Any]]:
    return lambda client: client.project(index.url, name, settings(index))


def locate(
    artifact: Artifact, settings: IndexSettings, wanted: Pin | None = None
) -> Callable[[IndexClient], Awaitable[Artifact]]:
    return lambda client: client.locate(wanted or pin(), artifact, settings)


def candidates(pin: Pin, settings: IndexSettings) -> Callable[[IndexClient], Awaitable[tuple[Artifact, ...]]]:
    return lambda client: client.candidates(pin, settings)


# --- pages


@pytest.mark.parametrize("html", [False, True])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_page_lists_files(tmp_path: Path, html: bool, absolute: bool) -> None:
    wheel = build_wheel(tmp_path, "six-pack", "1.0", requires_python=">=3.8,<4")
    sdist = random_file(tmp_path, "six_pack-1.0.tar.gz", 10)
    with SimpleIndex([wheel], html=html, absolute=absolute) as index:
        index.add(sdist, yanked=True)
        files = ask(lambda client: client.project(index.url.rstrip("/"), "Six.Pack", settings(index)))
        assert files == (
            ProjectFile(
                wheel.name,
                index.file_url(wheel.name),
                (sha256(index.sha256(wheel.name)),),
                None if html else wheel.stat().st_size,
                False,
                ">=3.8,<4",
            ),
            ProjectFile(
                sdist.name,
                index.file_url(sdist.name),
                (sha256(index.sha256(sdist.name)),),
                None if html else 10,
                True,
                None,
            ),
        )


def test_relative_urls_belong_to_where_the_page_came_from(index: SimpleIndex, other: SimpleIndex) -> None:
    index.script(PAGE, faults.redirect(f"{other.url}six-pack/"))
    [file] = ask(lambda client: client.project(index.url, "six-pack", settings(index, other)))
    assert file.url == other.file_url(NAME)


def test_a_compressed_page(index: SimpleIndex) -> None:
    index.script(PAGE, faults.encoded())
    assert len(ask(project(index))) == 1


def test_pages_have_a_size_limit(index: SimpleIndex) -> None:
    assert refusal(project(index), replace(LIMITS, page_bytes=100)) == "index.malformed"
    # The same for what a few compressed bytes become.
    bomb = gzip.compress(b'{"files": []}' + b" " * 1_000_000)
    index.set_page("six-pack", bomb)
    index.page_headers["Content-Encoding"] = "gzip"
    assert refusal(project(index), replace(LIMITS, page_bytes=500_000)) == "index.malformed"
    assert ask(project(index)) == ()
    index.set_page("six-pack", bomb[:-50])
    assert refusal(project(index)) == "index.malformed"
    index.page_headers["Content-Encoding"] = "br"
    assert refusal(project(index)) == "index.malformed"


# --- answers of the index

STATUS = {
    404: ("index.not-found", 1),
    410: ("index.not-found", 1),
    401: ("index.unauthorized", 1),
    403: ("index.unauthorized", 1),
    418: ("index.unreachable", 1),
    429: ("index.unreachable", 4),
    503: ("index.unreachable", 4),
}


@pytest.mark.parametrize("status", STATUS)
def test_error_statuses(index: SimpleIndex, status: int) -> None:
    code, requests = STATUS[status]
    index.script(PAGE, faults.status(status), forever=True)
    assert refusal(project(index)) == code
    assert index.requests[PAGE] == requests


@pytest.mark.parametrize("fault", [faults.truncated(50), faults.reset(50), faults.reset_in_headers()])
def test_a_broken_answer_is_asked_for_again(index: SimpleIndex, fault: faults.Fault) -> None:
    index.script(PAGE, fault)
    assert len(ask(project(index))) == 1
    index.script(PAGE, fault, forever=True)
    assert refusal(project(index)) == "index.unreachable"
    assert index.requests[PAGE] == 6


def test_a_silent_index(index: SimpleIndex) -> None:
    index.script(PAGE, faults.stalled(), forever=True)
    limits = replace(LIMITS, idle_seconds=0.2, attempts=2)
    assert refusal(project(index), limits) == "index.unreachable"


def test_a_page_that_comes_for_ever_is_given_up(index: SimpleIndex) -> None:
    """Idle time alone is no limit: a byte a second keeps it from running out."""
    index.script(PAGE, faults.dripping(3), forever=True)
    assert refusal(project(index), replace(LIMITS, page_seconds=0.3)) == "index.unreachable"
    assert index.requests[PAGE] <= 1


def test_refusals_of_the_transport_keep_their_code(index: SimpleIndex) -> None:
    assert (
        refusal(lambda client: client.project(index.url, "six-pack", IndexSettings())) == "net.host-refused"
    )
    index.script(PAGE, faults.redirect("file:///etc/passwd"))
    assert refusal(project(index)) == "net.redirect-refused"


def test_the_users_credentials_open_an_index(index: SimpleIndex) -> None:
    index.auth = ("user", "secret")
    named = IndexSettings(default=index.url.replace("://", "://user:secret@"))
    artifact = ask(locate(locked(), named))
    assert artifact.url == index.file_url(NAME)
    with pytest.raises(PackageIndexError) as caught:
        ask(locate(locked(), settings(index)))
    assert caught.value.code == "index.unauthorized"
    assert "netrc" in caught.value.hint


# --- one request per page


def test_one_request_for_many_who_ask_at_once(index: SimpleIndex) -> None:
    index.script(PAGE, faults.stalled())

    async def act(client: IndexClient) -> None:
        asking = [
            asyncio.create_task(client.project(index.url, "six-pack", settings(index))) for _ in range(20)
        ]
        await asyncio.to_thread(index.stalled.wait)
        asking.append(asyncio.create_task(client.project(index.url, "Six_Pack", settings(index))))
        await asyncio.sleep(0)
        index.release()
        assert len({id(files) for files in await asyncio.gather(*asking)}) == 1

    ask(act)
    assert index.requests[PAGE] == 1


def test_a_page_is_asked_for_again_by_its_etag(index: SimpleIndex, tmp_path: Path) -> None:
    async def act(client: IndexClient) -> None:
        first = await client.project(index.url, "six-pack", settings(index))
        assert await client.project(index.url, "six-pack", settings(index)) is first
        index.add(random_file(tmp_path, "six_pack-1.1.tar.gz", 10))
        assert len(await client.project(index.url, "six-pack", settings(index))) == 2
        assert client.statistics() == {"held": 1, "requested": 3, "unchanged": 1}

    ask(act)
    assert ["If-None-Match" in seen.headers for seen in index.log] == [False, True, True]


def test_a_fresh_page_is_not_asked_for_again(index: SimpleIndex) -> None:
    index.page_headers["Cache-Control"] = "public, max-age=600"

    async def act(client: IndexClient) -> None:
        for _ in range(3):
            await client.project(index.url, "six-pack", settings(index))

    ask(act)
    assert index.requests[PAGE] == 1
    index.page_headers["Cache-Control"] = "max-age=600, no-cache"
    ask(act)
    assert index.requests[PAGE] == 4


def test_pages_survive_on_disk(index: SimpleIndex, tmp_path: Path) -> None:
    pages = tmp_path / "store" / "pages"
    assert len(ask(project(index), pages=pages)) == 1
    [kept] = pages.iterdir()
    assert (kept.stat().st_mode & 0o777, pages.stat().st_mode & 0o777) == (0o600, 0o700)
    assert len(ask(project(index), pages=pages)) == 1
    assert ["If-None-Match" in seen.headers for seen in index.log] == [False, True]
    kept.write_bytes(kept.read_bytes()[:-20])  # damaged: as good as absent
    assert len(ask(project(index), pages=pages)) == 1
    assert "If-None-Match" not in index.log[-1].headers


def test_a_store_that_cannot_be_written_costs_nothing_but_the_download(
    index: SimpleIndex, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert len(ask(project(index), pages=tmp_path / "file" / "pages")) == 1


# --- locate


def test_a_file_is_found_by_name_and_hash(index: SimpleIndex) -> None:
    right = sha256(index.sha256(NAME))
    artifact = ask(locate(locked(right), settings(index)))
    assert artifact == Artifact(filename=NAME, url=index.file_url(NAME), hashes=(right,), size=1000)
    # What a lock without hashes does not say is taken from the index.
    assert ask(locate(locked(), settings(index))) == artifact


def test_an_artifact_that_has_a_place_is_left_alone(index: SimpleIndex) -> None:
    for artifact in (replace(locked(), url="https://host/x"), replace(locked(), path=Path("/x"))):
        assert ask(locate(artifact, settings(index))) is artifact
    assert not index.log


def test_a_file_that_the_index_does_not_have(index: SimpleIndex) -> None:
    for artifact in (locked(sha256("0" * 64)), locked(filename="six_pack-1.0-py2-none-any.whl")):
        act = locate(artifact, settings(index))
        assert refusal(act) == "index.file-not-found"
    assert refusal(locate(locked(), settings(index), pin(name="nope"))) == "index.not-found"


def test_an_index_without_hashes_is_believed_for_the_url_only(wheel: Path) -> None:
    with SimpleIndex([wheel], hashes=False) as index:
        right = sha256("0" * 64)
        artifact = ask(locate(locked(right), settings(index)))
        assert artifact.hashes == (right,)
        weak = Hash(algorithm="md5", value="0" * 32)
        assert ask(locate(locked(weak), settings(index))).hashes == (weak,)


def test_a_file_with_a_strong_hash_is_taken_from_any_page_seen_before(
    index: SimpleIndex, tmp_path: Path
) -> None:
    right = sha256(index.sha256(NAME))

    async def act(client: IndexClient) -> None:
        for refresh in (False, False, True):
            await client.locate(pin(), locked(right), settings(index), refresh=refresh)

    ask(act, pages=tmp_path / "pages")
    assert index.requests[PAGE] == 2
    ask(locate(locked(right), settings(index)), pages=tmp_path / "pages")
    assert index.requests[PAGE] == 2
    ask(locate(locked(), settings(index)), pages=tmp_path / "pages")
    assert index.requests[PAGE] == 3


# --- which index


def test_the_first_index_that_knows_a_project_owns_it(index: SimpleIndex, other: SimpleIndex) -> None:
    """The extra index goes first: whoever registers its names with the default one gains nothing."""
    artifact = ask(locate(locked(), settings(index, other)))
    assert artifact.url == other.file_url(NAME)
    # Another version lies in the default index, and is not looked for there.
    assert refusal(candidates(pin("2.0"), settings(index, other))) == "index.file-not-found"
    assert not index.log


def test_the_next_index_is_asked_for_a_project_that_the_first_does_not_know(
    index: SimpleIndex, tmp_path: Path
) -> None:
    with SimpleIndex() as empty:
        artifact = ask(locate(locked(), settings(index, empty)))
        assert artifact.url == index.file_url(NAME)
        empty.script(PAGE, faults.status(503), forever=True)
        assert refusal(locate(locked(), settings(index, empty))) == "index.unreachable"
        empty.script(PAGE, faults.status(403), forever=True)
        assert refusal(locate(locked(), settings(index, empty))) == "index.unauthorized"


def test_a_pin_to_the_public_index_means_the_users_default_one(
    index: SimpleIndex, other: SimpleIndex
) -> None:
    """A mirror may stand for it; an extra index has no say in what the lock says is public."""
    public = pin(index=default_index())
    assert ask(locate(locked(), settings(index, other), public)).url == index.file_url(NAME)
    assert not other.log


def test_a_strong_hash_finds_its_file_on_any_index(
    index: SimpleIndex, other: SimpleIndex, tmp_path: Path
) -> None:
    digest = sha256(index.sha256(NAME))
    asked = pin(hashes=(digest,))
    (found,) = ask(lambda client: client.candidates(asked, settings(other, index)))
    assert found.url == index.file_url(NAME)
    locked = Artifact(filename=NAME, hashes=(digest,))
    located = ask(lambda client: client.locate(pin(), locked, settings(other, index)))
    assert located.url == index.file_url(NAME)


def test_indexes_that_the_lock_names_are_asked_last(
    index: SimpleIndex, other: SimpleIndex, tmp_path: Path
) -> None:
    index.add(build_wheel(tmp_path, "six-pack", "1.1"))
    source = Source(kind="registry", extra_indexes=(index.url,))
    newer, common = (replace(pin(version), source=source) for version in ("1.1", "1.0"))
    allowed = IndexSettings(default=other.url)
    # 127.0.0.1 is only for hosts that the user's own settings name.
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (found,) = ask(lambda client: client.candidates(newer, allowed), home=tmp_path)
    assert found.url is not None
    assert found.url.startswith(index.origin)
    (found,) = ask(lambda client: client.candidates(common, allowed), home=tmp_path)
    assert found.url == other.file_url(NAME)


def test_a_pin_that_names_its_index_is_looked_up_nowhere_else(index: SimpleIndex, other: SimpleIndex) -> None:
    act = locate(locked(), settings(index, other), pin(index=other.url))
    assert ask(act).url == other.file_url(NAME)
    other.remove(NAME)
    assert refusal(act) == "index.not-found"
    assert not index.log


def test_an_index_of_the_lock_may_not_be_a_private_host_or_plain_http(index: SimpleIndex) -> None:
    named = pin(index=index.url)
    right = locked(sha256(index.sha256(NAME)))
    assert refusal(locate(right, IndexSettings(), named)) == "net.host-refused"
    assert refusal(locate(locked(), IndexSettings(), named)) == "net.insecure"
    assert refusal(candidates(named, IndexSettings())) == "net.insecure"
    assert not index.log


# --- candidates


def test_candidates_are_the_files_of_the_version(index: SimpleIndex, tmp_path: Path) -> None:
    names = [
        "six_pack-1.0-cp312-abi3-linux_x86_64.whl",
        "six-pack-1.0.tar.gz",
        "six_pack-1.0+cpu-py3-none-any.whl",
    ]
    others = [
        "six_pack-1.0.1-py3-none-any.whl",
        "six_pack-1.0.win32.exe",
        "six_pack-1.0-py3.egg",
        "six-pack-1.0.1.zip",
    ]
    for name in names + others:
        index.add(random_file(tmp_path, name, 10), project="six-pack")
    found = ask(candidates(pin("1.0.0"), settings(index)))
    assert [artifact.filename for artifact in found] == [NAME, *names[:2]]
    assert all(artifact.url and artifact.hashes and artifact.size for artifact in found)
    [local] = ask(candidates(pin("1.0+cpu"), settings(index)))
    assert local.filename == names[2]


def test_a_local_version_stands_in_where_there_is_no_other(index: SimpleIndex, tmp_path: Path) -> None:
    index.add(random_file(tmp_path, "six_pack-2.0+cpu-py3-none-any.whl", 10), project="six-pack")
    [local] = ask(candidates(pin("2.0"), settings(index)))
    assert local.filename == "six_pack-2.0+cpu-py3-none-any.whl"


def test_candidates_have_one_of_the_locked_hashes(index: SimpleIndex, tmp_path: Path) -> None:
    index.add(random_file(tmp_path, "six_pack-1.0.tar.gz", 10))
    hashes = (sha256("0" * 64), sha256(index.sha256("six_pack-1.0.tar.gz")))
    [found] = ask(candidates(pin(hashes=hashes), settings(index)))
    assert found.filename == "six_pack-1.0.tar.gz"
    assert refusal(candidates(pin(hashes=hashes[:1]), settings(index))) == "index.file-not-found"
    index.hashes = False  # nothing to compare: the fetcher will
    assert len(ask(candidates(pin(hashes=hashes), settings(index)))) == 2


# --- the real thing


@pytest.mark.network
def test_the_default_index_answers() -> None:
    try:
        act = candidates(pin("1.16.0", name="six"), IndexSettings())
        found = ask(act, replace(LIMITS, attempts=1, connect_seconds=5, idle_seconds=10))
    except PackageIndexError as error:
        if error.code != "index.unreachable":
            raise
        pytest.skip(f"the default index does not answer: {error.code}")
    assert sorted(artifact.filename for artifact in found) == [
        "six-1.16.0-py2.py3-none-any.whl",
        "six-1.16.0.tar.gz",
    ]
    assert all(artifact.hashes and artifact.url and artifact.url.startswith("https:") for artifact in found)
    assert default_index().startswith("https:")
