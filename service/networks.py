"""Addresses, and networks that they are in."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Addresses of IPv4, as sockets for both have them."""


def parse_address(text: str) -> Address | None:
    """Return the address that *text* is, None where it is none; one of IPv4 in the clothes of IPv6 is one of IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


class AllowList:
    """From where a client may call. Looking an address up takes the same for one network and for a thousand."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take the networks in CIDR notation; without a length, one is one address."""
        parsed = [_parsed(text) for text in networks]
        # Collapsed ones do not overlap, so only the last that begins no later than an address can have it.
        apart: list[Network] = [
            *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv4Network)),
            *ipaddress.collapse_addresses(one for one in parsed if isinstance(one, ipaddress.IPv6Network)),
        ]
        self._firsts = [(one.version, int(one.network_address)) for one in apart]
        self._lasts = [(one.version, int(one.broadcast_address)) for one in apart]

    def has(self, address: str | None) -> bool:
        """Say whether *address* is in one of the networks; what is no address is in none."""
        found = None if address is None else parse_address(address)
        if found is None:
            return False
        key = found.version, int(found)
        at = bisect_right(self._firsts, key) - 1
        return at >= 0 and key <= self._lasts[at]


def _parsed(text: str) -> Network:
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network(f"{mapped}/{network.prefixlen - _MAPPED.prefixlen}")
    return network
