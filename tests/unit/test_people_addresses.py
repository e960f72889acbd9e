"""Where requests come from: what a header says counts only where a trusted proxy has written it."""

from __future__ import annotations

import ipaddress

import pytest

from service.http.addresses import client_address

PROXIES = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32")))


@pytest.mark.parametrize(
    ("remote", "lines", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("10.0.0.1", ["10.1.2.3"], "10.1.2.3"),
        ("10.0.0.1", ["203.0.113.9, nonsense, 10.1.2.3"], "10.1.2.3"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", ["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    ],
)
def test_addresses(remote: str, lines: list[str], expected: str) -> None:
    """The last address that no trusted proxy has, or the last one that is an address."""
    assert client_address(remote, lines, PROXIES) == expected
    assert client_address(remote, lines, ()) == remote
