"""Which addresses a URL of a lockfile or of an index page may lead to.

A daemon fetches what a cloned lockfile names. Without this guard a clone could have it send requests to
services that only this machine or its network can reach. So hosts that the user's own configuration does not
name must resolve to public addresses; the check is made on the very addresses that are then connected to,
so that a name which changes its answer gains nothing.

Synthetic ranges that proxies and VPN clients put in front of public hosts (198.18.0.0/15, 100.64.0.0/10,
240.0.0.0/4, documentation networks) are left alone: nothing private lives there by design.
"""

from __future__ import annotations

import ipaddress
from typing import Final

__all__ = ["PrivateAddressError", "is_private", "literal_address"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        # Metadata services outside link-local space.
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddressError(OSError):
    """A host resolves to an address that only configured hosts may have."""


def is_private(text: str) -> bool:
    """Tell whether an IP address belongs to this machine, its network or a metadata service."""
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return True
    return any(address in network for network in _PRIVATE) or any(
        is_private(str(inner)) for inner in _embedded(address)
    )


def literal_address(host: str) -> str | None:
    """Return the address a URL's host spells out; None for a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def _embedded(address: _Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that packets to this IPv6 address end up at."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner = [address.ipv4_mapped, address.sixtofour]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(address.packed[-4:]))
    return [found for found in inner if found is not None]
