"""Who may be called: one set of rules for URLs as they are written, and for the addresses that are connected to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from service.networks import Address

_URL = re.compile(r"[\x21-\x7e]{1,2048}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label that begins like a number makes the host an address in one of the old notations: 127.1, 0x7f000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_NAMES = (
    "localhost",
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "arpa",
    "onion",
    "test",
    "invalid",
)
"""Top-level names that lead nowhere but into somebody's own network (RFC 6761, RFC 6762, RFC 8375 and custom)."""
_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out to the world (RFC 4291, 2.4)."""
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocols' own (RFC 6890); Oracle's metadata are there
            "168.63.129.16/32",  # what Azure's machines hear of themselves: as public as it looks, it is each one's own
            "192.88.99.0/24",  # stand for other addresses: 6to4 (RFC 7526)
            "2002::/16",
            "2001::/23",  # Teredo, ORCHID, benchmarks (RFC 2928)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""Beside what `is_global` knows."""


def fault_of(url: str, *, allows_loopback: bool) -> str | None:
    """
    Return what a URL would have to be in order to be called, None where it may be.

    What a name leads to is only known when it is called, and is judged then, by `may_be_called`.

    Args:
        url: As it was written.
        allows_loopback: Whether the deployment calls its own machine, also without TLS.
    """
    parts = _split(url)
    if parts is None:
        return "a URL, as https://example.com/events"
    host = (parts.hostname or "").rstrip(".")
    if allows_loopback and is_loopback(host):
        return None
    if parts.scheme != "https":
        return "an https URL"
    return None if _is_public(host) else "the URL of a public host"


def is_loopback(host: str) -> bool:
    """Say whether a host, in small letters, is this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def may_be_called(address: Address) -> bool:
    """Say whether an address is public, and not one that stands for another."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


def _is_public(host: str) -> bool:
    """Say whether a host, in small letters, may be one that all the world calls the same."""
    address = _address(host)
    if address is not None:
        return may_be_called(address)
    labels = host.split(".")
    return (
        len(labels) > 1
        and len(host) <= 253
        and all(_LABEL.fullmatch(label) for label in labels)
        and not _NUMBER.fullmatch(labels[-1])
        and labels[-1] not in _PRIVATE_NAMES
    )


def _split(text: str) -> SplitResult | None:
    """Return the parts of a URL that every reader takes apart alike, None where it is none."""
    if not _URL.fullmatch(text) or "\\" in text:
        return None
    try:
        url = urlsplit(text)
        is_good = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return url if is_good and "@" not in url.netloc and not url.fragment and "%" not in url.netloc else None


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
