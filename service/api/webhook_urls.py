"""URLs that events may be sent to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from service.api.kinds import BrokenValueError, Json, Place, Plain

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

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
_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2002::/16", "2001::/23")))
"""Beside what `is_global` knows: protocols' own networks, and those whose addresses carry one of IPv4, anybody's."""


@dataclass(frozen=True)
class WebhookUrl(Plain):
    """
    An https URL of a host that the whole world calls the same.

    What a name leads to is only known when it is called, and is judged then.
    """

    def read(self, value: object, place: Place) -> object:
        """Return the URL as it is written."""
        if not isinstance(value, str):
            raise BrokenValueError("field.wrong.type", "{{field}} must be a string")
        url = _split(value)
        if url is None:
            raise _broken("a URL, as https://example.com/events")
        host = (url.hostname or "").rstrip(".")
        if place.allows_loopback and is_loopback(host):
            return value
        if url.scheme != "https":
            raise _broken("an https URL")
        if not is_public(host):
            raise _broken("the URL of a public host")
        return value

    def schema(self) -> Json:
        """Return the JSON schema."""
        return {"type": "string", "format": "uri", "maxLength": 2048}


def is_loopback(host: str) -> bool:
    """Say whether a host, in small letters, is this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_public(host: str) -> bool:
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


def may_be_called(address: Address) -> bool:
    """Say whether an address is public, and not one that stands for another."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


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


def _broken(what: str) -> BrokenValueError:
    return BrokenValueError("field.format", "{{field}} must be {{what}}", what=what)
