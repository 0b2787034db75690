"""What the user's settings say of TLS, passwords and private hosts; never anything of a project.

    certificates to trust   SSL_CERT_FILE, SSL_CERT_DIR, else PIP_CERT, else pip's `cert`, else the system's
    our own certificate     SSL_CLIENT_CERT, else PIP_CLIENT_CERT, else pip's `client-cert`: one PEM file with
                            the certificate and its key; shown only to hosts that the user's settings name
    passwords by keyring    `keyring = true` in config.toml, PIP_KEYRING_PROVIDER or UV_KEYRING_PROVIDER, or
                            pip's or uv's `keyring-provider`, where it is not `auto` or `disabled`

TLS is never switched off: pip's `trusted-host` and uv's `allow-insecure-host` have no effect here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sprawld.errors import ConfigError

from .toolfiles import pip_settings, uv_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .urls import Origin

__all__ = ["NetworkSettings", "is_allowed", "network_settings"]

_PROVIDERS: Final = ("subprocess", "import")
"""Words of pip and uv for "do ask": this program always asks the command, for the module would run in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Files as they were named; None where nobody did."""

    authorities: str | None = None
    authorities_directory: str | None = None
    client_certificate: str | None = None
    keyring: bool = False


def network_settings(
    environ: Mapping[str, str], home: Path, *, keyring: bool = False, system: Path = Path("/etc")
) -> NetworkSettings:
    """Read the settings; blocks. ConfigError `config.invalid` for a file that does not parse or is absent."""
    pip = pip_settings(environ, home, system).values
    uv = [document for _, document in uv_documents(environ, home, system)]
    named, directory = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if not named and not directory:
        named = environ.get("PIP_CERT") or pip.get("cert")
    client = environ.get("SSL_CLIENT_CERT") or environ.get("PIP_CLIENT_CERT") or pip.get("client-cert")
    if client and not Path(client).is_file():
        raise ConfigError("config.invalid", f"the client certificate {client} is not a file")
    asked = [environ.get(f"{tool}_KEYRING_PROVIDER", "") for tool in ("PIP", "UV")]
    if not any(asked):
        asked = [pip.get("keyring-provider", ""), *(str(found.get("keyring-provider", "")) for found in uv)]
    return NetworkSettings(
        authorities=named or None,
        authorities_directory=directory or None,
        client_certificate=client or None,
        keyring=keyring or any(word in _PROVIDERS for word in asked),
    )


def is_allowed(origin: Origin, hosts: tuple[str, ...]) -> bool:
    """Tell whether the user's `allow-hosts` has the host of a URL, by itself or with the URL's port."""
    return any(host.lower() in (origin.host, f"{origin.host}:{origin.port}") for host in hosts)
