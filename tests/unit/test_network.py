"""What the user's settings let the network code do: certificates, the keyring, private hosts."""

from __future__ import annotations

import asyncio
import functools
import shutil
import ssl
from pathlib import Path

import pytest

from sprawld.acquire import keyring
from sprawld.acquire.keyring import Keyring
from sprawld.acquire.network import is_allowed, network_settings
from sprawld.acquire.retry import Transient
from sprawld.acquire.transport import Transport
from sprawld.acquire.urls import Origin
from sprawld.errors import ConfigError, SprawlError
from sprawld.model import IndexSettings
from tests.support.http import NOWHERE, certificate, random_file, serving, transport, with_transport
from tests.support.index import SimpleIndex

NAME = "six-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return random_file(tmp_path, NAME, 1000)


async def status(opened: Transport, url: str, settings: IndexSettings) -> int:
    try:
        async with opened.get(url, {}, settings) as reply:
            return reply.status
    except Transient as failure:
        raise failure.error from None


# --- which settings


def test_the_first_that_names_certificates_counts(tmp_path: Path) -> None:
    pem = tmp_path / "own.pem"
    pem.touch()
    conf = tmp_path / "pip.conf"
    conf.write_text(f"[global]\ncert = /pip.pem\nclient-cert = {pem}\n")
    environ = {"PIP_CONFIG_FILE": str(conf), "XDG_CONFIG_DIRS": str(NOWHERE)}

    def found(**more: str) -> tuple[str | None, str | None, str | None]:
        read = network_settings(environ | more, NOWHERE, system=tmp_path / "etc")
        return read.authorities, read.authorities_directory, read.client_certificate

    assert found() == ("/pip.pem", None, str(pem))
    assert found(PIP_CERT="/variable.pem")[0] == "/variable.pem"
    assert found(PIP_CERT="/variable.pem", SSL_CERT_FILE="/own.pem")[0] == "/own.pem"
    assert found(SSL_CERT_DIR="/certs")[:2] == (None, "/certs")
    other = tmp_path / "other.pem"
    other.touch()
    assert found(PIP_CLIENT_CERT=str(other))[2] == str(other)
    assert found(PIP_CLIENT_CERT="/absent", SSL_CLIENT_CERT=str(other))[2] == str(other)
    with pytest.raises(ConfigError) as caught:
        found(SSL_CLIENT_CERT="/absent")
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize(
    ("pip", "uv", "environ", "asked"),
    [
        ("", "", {}, False),
        ("keyring-provider = subprocess", "", {}, True),
        ("keyring-provider = auto", "", {}, False),
        ("", 'keyring-provider = "subprocess"', {}, True),
        ("", "", {"UV_KEYRING_PROVIDER": "subprocess"}, True),
        ("", "", {"PIP_KEYRING_PROVIDER": "import"}, True),
        ("keyring-provider = subprocess", "", {"PIP_KEYRING_PROVIDER": "disabled"}, False),
    ],
)
def test_the_keyring_is_asked_only_if_the_user_wants_it(
    tmp_path: Path, pip: str, uv: str, environ: dict[str, str], asked: bool
) -> None:
    for name, text in (("pip/pip.conf", f"[global]\n{pip}\n"), ("uv/uv.toml", uv)):
        path = tmp_path / ".config" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert network_settings(environ, tmp_path, system=tmp_path / "etc").keyring is asked
    assert network_settings({}, NOWHERE, keyring=True, system=tmp_path / "etc").keyring


# --- private hosts


def test_hosts_that_the_user_allows() -> None:
    origin = Origin("http", "wheels.internal", 8080)
    for host in ("wheels.internal", "Wheels.Internal:8080"):
        assert is_allowed(origin, ("other", host))
    for host in ("internal", ".internal", "*", "", "wheels.internal:80", "http://wheels.internal"):
        assert not is_allowed(origin, (host,))


def test_a_private_host_of_a_lock_is_asked_where_the_user_allows_it(wheel: Path) -> None:
    with SimpleIndex([wheel]) as index:
        url, nobodys = index.file_url(NAME), IndexSettings()
        for hosts in ((), ("127.0.0.2",), ("127.0.0.1:1",)):
            with pytest.raises(SprawlError) as caught:
                with_transport(lambda opened: status(opened, url, nobodys), allow_hosts=hosts)
            assert caught.value.code == "net.host-refused"
        assert not index.log
        name = url.replace("127.0.0.1", "localhost")
        for place, host in ((url, "127.0.0.1"), (name, "localhost")):
            act = functools.partial(status, url=place, settings=nobodys)
            assert with_transport(act, allow_hosts=(host,)) == 200
        # That a host may be asked makes nothing else of it: no credentials, no plain http without a hash.
        assert not with_transport(
            lambda opened: asyncio.sleep(0, opened.trusts(url, nobodys)), allow_hosts=("127.0.0.1",)
        )


# --- proxies


def test_a_tunnel_that_dies_is_tried_again(tmp_path: Path) -> None:
    """The proxy agrees to every tunnel, and closes it when TLS begins."""
    tunnels: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        writer.close()

    async def act() -> SprawlError:
        async with serving(answer) as port:
            proxy = f"http://user:secret@127.0.0.1:{port}"
            async with transport(environ={"HTTPS_PROXY": proxy}) as opened:
                with pytest.raises(Transient) as caught:
                    async with opened.get("https://files.example/x", {}, IndexSettings()):
                        pass
        return caught.value.error

    refusal = asyncio.run(act())
    assert refusal.code == "net.unreachable"
    assert "secret" not in str(refusal)
    (tunnel,) = tunnels
    assert tunnel.startswith(b"CONNECT files.example:443 ")
    assert b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in tunnel


# --- the user's own certificate


def test_our_certificate_is_shown_to_hosts_of_the_settings_only(tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()
    server_path, server = certificate(tmp_path)
    client_path, _ = certificate(tmp_path / "client")
    own = tmp_path / "own.pem"
    own.write_bytes(client_path.read_bytes() + (tmp_path / "client/key.pem").read_bytes())
    server.load_verify_locations(client_path)
    server.verify_mode = ssl.CERT_OPTIONAL
    shown: list[bool] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        shown.append(bool(writer.get_extra_info("peercert")))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def act() -> None:
        environ = {"SSL_CERT_FILE": str(server_path), "SSL_CLIENT_CERT": str(own)}
        async with (
            serving(answer, server) as port,
            transport(environ=environ, allow_hosts=("localhost",)) as opened,
        ):
            settings = IndexSettings(default=f"https://127.0.0.1:{port}/simple/")
            for host in ("127.0.0.1", "localhost", "127.0.0.1"):
                assert await status(opened, f"https://{host}:{port}/x", settings) == 200

    asyncio.run(act())
    assert shown == [True, False, True]


def test_a_client_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("nonsense")
    with pytest.raises(ConfigError) as caught:
        with_transport(
            lambda opened: status(opened, "https://files.example/x", IndexSettings()),
            environ={"SSL_CLIENT_CERT": str(own)},
        )
    assert caught.value.code == "config.invalid"
    assert str(own) in caught.value.message


# --- the keyring


KEYRING = """#!/bin/sh
printf '%s\\n' "$*" >> "${0%/*}/asked"
case "$2 $3" in
"PLACE me") echo "sesame" ;;
*) exit 1 ;;
esac
"""


def install_keyring(directory: Path, place: str) -> dict[str, str]:
    """Put a command `keyring` into a directory; return the environment that has it asked."""
    directory.mkdir()
    program = directory / "keyring"
    program.write_text(KEYRING.replace("PLACE", place))
    program.chmod(0o755)
    return {"PATH": f".:{directory}", "PIP_KEYRING_PROVIDER": "subprocess"}


@pytest.mark.parametrize("by", ["url", "host"])
def test_the_keyring_has_the_password_of_an_index(wheel: Path, tmp_path: Path, by: str) -> None:
    with SimpleIndex([wheel], auth=("me", "sesame")) as index:
        host = index.origin.partition("//")[2]
        environ = install_keyring(tmp_path / "bin", index.url if by == "url" else host)
        settings = IndexSettings(default=index.url.replace("://", "://me@"))

        async def act(opened: Transport) -> None:
            for _ in range(2):
                assert await status(opened, index.file_url(NAME), settings) == 200

        with_transport(act, environ=environ)
        asked = (tmp_path / "bin/asked").read_text().splitlines()
        assert asked == [f"get {place} me" for place in (index.url, host)[: 1 if by == "url" else 2]]
        # Without the wish nobody asks, and what the URL says is what is sent.
        code = with_transport(
            lambda opened: status(opened, index.file_url(NAME), settings), environ={"PATH": environ["PATH"]}
        )
        assert code == 401


def test_nothing_of_a_project_reaches_the_keyring(wheel: Path, tmp_path: Path) -> None:
    with SimpleIndex([wheel]) as index, SimpleIndex([wheel]) as other:
        environ = install_keyring(tmp_path / "bin", "nothing")
        settings = IndexSettings(default=index.url, extra=(other.url.replace("://", "://-option@"),))

        async def act(opened: Transport) -> None:
            # A user in the URL of a lock, no user at all, and a user that would be an option.
            for url in (index.file_url(NAME).replace("://", "://me@"), index.url, other.file_url(NAME)):
                await status(opened, url, settings)

        with_transport(act, environ=environ)
    assert not (tmp_path / "bin/asked").exists()


def test_a_password_may_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "KEPT_WITHOUT_SECONDS", 0.0)
    environ = install_keyring(tmp_path / "bin", "nothing")
    place = "https://corp.example/simple/"

    async def act() -> list[str | None]:
        asked = Keyring(environ)
        before = await asked.password(place, "me")
        (tmp_path / "bin/keyring").write_text(KEYRING.replace("PLACE", place))
        return [before, await asked.password(place, "me"), await asked.password(place, "me")]

    assert asyncio.run(act()) == [None, "sesame", "sesame"]
    # Twice for the URL and the host in vain, then once.
    assert len((tmp_path / "bin/asked").read_text().splitlines()) == 3


def test_a_keyring_that_does_not_work_is_as_good_as_none(tmp_path: Path) -> None:
    environ = install_keyring(tmp_path / "bin", "x")

    def ask() -> str | None:
        return asyncio.run(Keyring(environ).password("https://corp.example/simple/", "me"))

    assert ask() is None
    program = tmp_path / "bin/keyring"
    program.write_text("no program at all")
    assert ask() is None
    program.write_text("#!/bin/sh\nwhile :; do echo endless; done\n")
    assert ask() is None
    shutil.rmtree(tmp_path / "bin")
    assert ask() is None
