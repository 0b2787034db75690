"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the daemon's environment.

The rules are those of the standard library: the lower-case name wins; NO_PROXY is a list of `*`, host names
(which cover their subdomains) and host:port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sprawld.errors import ConfigError

from .urls import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .urls import Origin

__all__ = ["proxy_for"]


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL, which may hold its credentials, or None; ConfigError for an unusable one."""
    proxy = _variable(environ, f"{origin.scheme}_proxy")
    if not proxy or _bypassed(origin, _variable(environ, "no_proxy")):
        return None
    if "://" not in proxy:
        proxy = "http://" + proxy
    if not proxy.startswith(("http://", "https://")):
        raise ConfigError("config.invalid", f"{redact(proxy)}: only http and https proxies are supported")
    return proxy


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _bypassed(origin: Origin, listed: str) -> bool:
    for item in listed.split(","):
        name = item.strip().lstrip(".").lower()
        if not name:
            continue
        if name == "*" or name in (origin.host, f"{origin.host}:{origin.port}"):
            return True
        if origin.host.endswith("." + name):
            return True
    return False
