"""Where requests come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from service.networks import Network, parse_address

_IPV6_SITE_BITS = 64
"""One customer has at least so large a network, and all its addresses."""


def client_address(remote: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str | None:
    """
    Return the address that a request comes from.

    What a header says of it counts only where a proxy that is trusted has written it, and no further back than the
    first that is not: everything before that is the client's own word.

    Args:
        remote: The connection's other end.
        forwarded: The lines of `X-Forwarded-For`.
        proxies: Whose word is taken.
    """
    address = remote
    said = [part.strip() for line in forwarded for part in line.split(",")]
    while said and _is_in(address, proxies):
        earlier = parse_address(said.pop())
        if earlier is None:
            break
        address = str(earlier)
    return address


def client_scheme(scheme: str, remote: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str:
    """
    Return the scheme that a client called with, `http` or `https`.

    Args:
        scheme: The connection's.
        remote: The connection's other end.
        forwarded: The lines of `X-Forwarded-Proto`.
        proxies: Whose word is taken.
    """
    said = forwarded[-1].strip().lower() if forwarded else ""
    return said if said in ("http", "https") and _is_in(remote, proxies) else scheme


def _is_in(address: str | None, networks: Sequence[Network]) -> bool:
    found = parse_address(address or "")
    return found is not None and any(found in network for network in networks)


def site_of(address: str | None) -> str:
    """Return what an address is counted by: itself, or the network of 64 bits that an IPv6 address is in."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), _IPV6_SITE_BITS)))
