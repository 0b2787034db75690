from __future__ import annotations

import base64
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sprawld.acquire.credentials import Credentials
from sprawld.acquire.hosts import is_private
from sprawld.acquire.proxies import proxy_for
from sprawld.acquire.retry import Transient, pause_seconds, retry_after_seconds
from sprawld.acquire.transport import Transport
from sprawld.acquire.urls import Origin, origin_of, redact
from sprawld.errors import SprawlError
from sprawld.model import IndexSettings
from tests.support import faults
from tests.support.http import LIMITS, NOWHERE, certificate, random_file, with_transport
from tests.support.index import SimpleIndex

NAME = "six-1.0-py3-none-any.whl"
NO_SETTINGS = IndexSettings()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return random_file(tmp_path, NAME, 1000)


@pytest.fixture
def index(wheel: Path) -> Iterator[SimpleIndex]:
    with SimpleIndex([wheel]) as served:
        yield served


@pytest.fixture
def other(wheel: Path) -> Iterator[SimpleIndex]:
    with SimpleIndex([wheel]) as served:
        yield served


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def with_credentials(index: SimpleIndex, userinfo: str) -> str:
    return index.url.replace("://", f"://{userinfo}@")


def get(
    url: str,
    settings: IndexSettings,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path = NOWHERE,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str, bytes]:
    """Return status, final URL and body; errors as they are after the last attempt."""

    async def act(opened: Transport) -> tuple[int, str, bytes]:
        async with opened.get(url, headers or {}, settings) as reply:
            body = b""
            while part := await reply.read():
                body += part
            return reply.status, reply.url, body

    try:
        return with_transport(act, LIMITS, environ, home)
    except Transient as failure:
        raise failure.error from None


def refusal(url: str, settings: IndexSettings, **options: object) -> str:
    with pytest.raises(SprawlError) as caught:
        get(url, settings, **options)  # type: ignore[arg-type]
    return caught.value.code


# --- redirects and credentials


def test_five_redirects_are_followed_and_six_are_not(index: SimpleIndex, wheel: Path) -> None:
    settings = IndexSettings(default=index.url)
    for hop in range(1, 6):
        index.script(f"/hop{hop}", faults.redirect(f"/hop{hop - 1}"), forever=True)
    index.script("/hop0", faults.redirect(index.file_path(NAME), 308), forever=True)
    assert get(f"{index.origin}/hop4", settings)[2] == wheel.read_bytes()
    assert refusal(f"{index.origin}/hop5", settings) == "net.redirect-refused"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_resolved_against_the_url_it_came_from(index: SimpleIndex, code: int) -> None:
    index.script("/a/b/c", faults.redirect(f"../../files/{NAME}?signature=x%2By%20z", code))
    status, url, _ = get(f"{index.origin}/a/b/c", IndexSettings(default=index.url))
    assert (status, url) == (200, f"{index.file_url(NAME)}?signature=x%2By%20z")


def test_credentials_of_the_settings_go_to_their_origin_only(index: SimpleIndex, other: SimpleIndex) -> None:
    index.auth = ("user@corp", "pass:word")
    settings = IndexSettings(default=with_credentials(index, "user%40corp:pass%3Aword"), extra=(other.url,))
    index.script("/away", faults.redirect(other.file_url(NAME)))
    other.script("/back", faults.redirect(index.file_url(NAME)))
    assert get(f"{index.origin}/away", settings)[0] == 200
    assert get(f"{other.origin}/back", settings)[0] == 200
    assert all(seen.headers.get("Authorization") == basic("user@corp", "pass:word") for seen in index.log)
    assert [seen.headers.get("Authorization") for seen in other.log] == [None, None]


def test_credentials_in_other_urls_are_never_sent(index: SimpleIndex, other: SimpleIndex) -> None:
    settings = IndexSettings(default=index.url, extra=(other.url,))
    index.script("/away", faults.redirect(with_credentials(other, "user:secret")))
    get(with_credentials(index, "user:secret").replace("/simple/", "/away"), settings)
    assert len(index.log) == len(other.log) == 1
    assert not any("Authorization" in seen.headers for seen in index.log + other.log)


def test_netrc(index: SimpleIndex, other: SimpleIndex, tmp_path: Path) -> None:
    index.auth = ("netrc-user", "netrc-password")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc-user password netrc-password\n")
    settings = IndexSettings(default=index.url)
    assert get(index.file_url(NAME), settings, home=tmp_path)[0] == 200
    assert get(index.file_url(NAME), settings)[0] == 401
    # The host is known from netrc, so it may be asked, but not for plain http on a port that nobody named.
    assert get(other.file_url(NAME), settings, home=tmp_path)[0] == 200
    assert "Authorization" not in other.log[0].headers
    # What the index URL says comes first.
    named = IndexSettings(default=with_credentials(index, "wrong:wrong"))
    assert get(index.file_url(NAME), named, home=tmp_path)[0] == 401


def test_where_netrc_credentials_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine Corp.example login u password p\ndefault login any password leak\n")
    credentials = Credentials({"NETRC": str(path)}, NOWHERE)
    expected = basic("u", "p")
    assert credentials.authorization("https://corp.example/x", NO_SETTINGS) == expected
    assert credentials.authorization("https://CORP.example:443/x", NO_SETTINGS) == expected
    for url in (
        "http://corp.example/x",
        "https://corp.example:8443/x",
        "https://a.corp.example/",
        "file:///x",
    ):
        assert credentials.authorization(url, NO_SETTINGS) is None
    settings = IndexSettings(extra=("https://corp.example:8443/simple/",))
    assert credentials.authorization("https://corp.example:8443/x", settings) == expected
    path.write_text("machine corp.example login u password changed\n")
    assert credentials.authorization("https://corp.example/x", NO_SETTINGS) == basic("u", "changed")
    path.write_text("machine corp.example login u password topsecret nonsense topsecret\n")
    with caplog.at_level(logging.WARNING):
        assert credentials.authorization("https://corp.example/x", NO_SETTINGS) is None
    assert str(path) in caplog.text
    assert "topsecret" not in caplog.text


# --- TLS


def test_tls(wheel: Path, tmp_path: Path) -> None:
    path, context = certificate(tmp_path)
    with SimpleIndex([wheel], tls=context) as index:
        settings = IndexSettings(default=index.url)
        trusted = {"SSL_CERT_FILE": str(path)}
        assert get(index.file_url(NAME), settings, environ=trusted)[0] == 200
        assert refusal(index.file_url(NAME), settings) == "net.tls"
        index.script("/down", faults.redirect(f"http://{index.origin.partition('//')[2]}/x"))
        assert refusal(f"{index.origin}/down", settings, environ=trusted) == "net.redirect-refused"
        assert (
            refusal(index.file_url(NAME), settings, environ={"SSL_CERT_FILE": "/absent"}) == "config.invalid"
        )
        assert len(index.log) == 2


def test_certificates_are_read_when_https_is_asked_for(index: SimpleIndex) -> None:
    environ = {"SSL_CERT_FILE": "/absent"}
    assert get(index.file_url(NAME), IndexSettings(default=index.url), environ=environ)[0] == 200
    assert refusal("https://127.0.0.1:1/x", NO_SETTINGS, environ=environ) == "config.invalid"


def test_what_aiohttp_makes_for_itself_trusts_nobody() -> None:
    code = """if True:
        import ssl
        from sprawld.acquire import transport
        with transport._no_certificates():
            import aiohttp.connector
        assert not aiohttp.connector._SSL_CONTEXT_VERIFIED.get_ca_certs()
        assert ssl.create_default_context().load_default_certs.__func__ is ssl.SSLContext.load_default_certs
        assert "set_default_verify_paths" not in ssl.SSLContext.__dict__
        assert ssl.SSLContext.load_default_certs.__module__ == "ssl"
    """
    subprocess.run([sys.executable, "-c", code], check=True)


# --- proxies


def test_requests_go_through_the_proxy(index: SimpleIndex, wheel: Path) -> None:
    proxy = index.origin.replace("://", "://user:secret@")
    url = f"http://files.example{index.file_path(NAME)}"
    assert get(url, NO_SETTINGS, environ={"HTTP_PROXY": proxy})[2] == wheel.read_bytes()
    [seen] = index.log
    assert seen.headers["Host"] == "files.example"
    assert seen.headers["Proxy-Authorization"] == basic("user", "secret")


def test_a_private_address_is_refused_behind_a_proxy_too(index: SimpleIndex) -> None:
    assert (
        refusal("http://10.0.0.1/x", NO_SETTINGS, environ={"http_proxy": index.origin}) == "net.host-refused"
    )
    assert not index.log


def test_a_proxy_that_refuses(index: SimpleIndex) -> None:
    environ = {"https_proxy": index.origin}
    assert refusal("https://files.example/x", NO_SETTINGS, environ=environ) == "net.unreachable"
    environ = {"https_proxy": "socks5://user:secret@127.0.0.1"}
    assert refusal("https://files.example/x", NO_SETTINGS, environ=environ) == "config.invalid"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://proxy"}, None),
        ({"HTTPS_PROXY": "http://proxy"}, "http://proxy"),
        ({"https_proxy": "lower:1", "HTTPS_PROXY": "http://proxy"}, "http://lower:1"),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "x, .Corp.example"}, None),
        ({"HTTPS_PROXY": "http://proxy", "no_proxy": "a.corp.example:8443"}, None),
        ({"HTTPS_PROXY": "http://proxy", "no_proxy": "a.corp.example:443,orp.example"}, "http://proxy"),
    ],
)
def test_which_proxy(environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(Origin("https", "a.corp.example", 8443), environ) == expected


# --- hosts and URLs


PRIVATE = """
    127.0.0.1 127.8.8.8 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 0.0.0.0 224.0.0.1 100.100.100.200
    ::1 :: fe80::1%eth0 fd00:ec2::254 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: not-an-address
"""
PUBLIC = "1.1.1.1 172.32.0.1 198.18.0.1 100.64.0.1 203.0.113.80 2606:4700::1 64:ff9b::101:101"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "198.18.0.1", "100.64.0.1", "203.0.113.80", "2606:4700::1", "64:ff9b::101:101"],
)
def test_public_and_synthetic_addresses(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:1/a/b.whl?token=secret#secret", "https://host:1/a/b.whl"),
        ("https://a@secret@host/x@y", "https://host/x@y"),
        ("//user:secret@host/x", "//host/x"),
        ("user:secret@host", "host"),
        ("https://host/\x1b[31m", "https://host/?[31m"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://User:p@Host/x", Origin("https", "host", 443)),
        ("HTTP://host:8080", Origin("http", "host", 8080)),
        ("http://[::1]:1/x", Origin("http", "::1", 1)),
        ("http://host\\@evil/", None),
        ("http://host\t/", None),
        ("http://host:99999/", None),
        ("http:///x", None),
        ("file:///x", None),
        ("//host/x", None),
    ],
)
def test_origins(url: str, origin: Origin | None) -> None:
    assert origin_of(url) == origin


# --- retries


def test_pauses() -> None:
    for number, longest in ((1, 0.25), (2, 0.5), (3, 1.0)):
        assert longest / 2 <= pause_seconds(number, 0.25, None) <= longest
    assert pause_seconds(1, 0.25, 7.0) == 7.0
    assert pause_seconds(1, 0.25, 1e9) == 30.0
    assert pause_seconds(3, 0, 1e9) == 0


def test_retry_after() -> None:
    assert retry_after_seconds("120") == retry_after_seconds(" 120\x1d") == 120.0
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    later = retry_after_seconds("Wed, 21 Oct 2099 07:28:00 GMT")
    assert later is not None
    assert later > 1e9
    for nonsense in (
        None,
        "",
        "soon",
        "-1",
        "Wed, 99 Oct 2099 07:28:00 GMT",
        "Fri, %s Dec 1999 23:59:59 GMT" % ("9" * 40),
    ):
        assert retry_after_seconds(nonsense) is None


# --- start-up


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    program = (
        "import sys; import sprawld.acquire.fetch, sprawld.acquire.index, sprawld.acquire.settings;"
        "heavy = {'aiohttp', 'aiofiles', 'distlib', 'mousebender', 'urllib.request', 'email'};"
        "print(*heavy & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.split() == []


def test_idle_time_is_no_limit_for_a_head_that_comes_slowly(index: SimpleIndex) -> None:
    limits = replace(LIMITS, connect_seconds=0.2, idle_seconds=0.2)
    index.script("/slow", faults.Fault(head=12, ending="stall"))

    async def act(opened: Transport) -> None:
        async with opened.get(f"{index.origin}/slow", {}, IndexSettings(default=index.url)):
            pass

    with pytest.raises(Transient) as caught:
        with_transport(act, limits)
    assert caught.value.error.code == "net.timeout"
