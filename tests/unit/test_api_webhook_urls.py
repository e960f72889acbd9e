"""URLs that events may be sent to, and those that could never be called or never should."""

from __future__ import annotations

import pytest

from service.api.kinds import BrokenValueError, Place
from service.api.webhook_urls import WebhookUrl
from streams.domain.registry_state import RegistryState

KIND = WebhookUrl()
PUBLIC = [
    "https://example.com",
    "https://example.com/",
    "https://example.com:8443/hooks/a?b=c&d=%20",
    "https://hooks.sub-domain.example.co.uk/",
    "https://example.com./",
    "https://EXAMPLE.com/",
    "https://xn--bcher-kva.example/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]/",
]
LOOPBACK = [
    "http://localhost/",
    "http://localhost:9000/hooks",
    "http://127.0.0.1:9000/",
    "http://127.8.9.1/",
    "http://[::1]:9000/",
    "https://localhost/",
    "https://127.0.0.1/",
    "http://LOCALHOST/",
]
NEVER = [
    # no URLs
    "", " ", "example.com", "//example.com/", "/hooks", "https://", "https:///a", "https://:80/", "mailto:a@a.example",
    "https://example.com/ a", "https://example.com/\n", "https://exa mple.com/", "https://example.com/é", "https://é.example/",
    "https://example.com:0/", "https://example.com:99999/", "https://example.com:a/", "https://[::1", "https://[nonsense]/",
    "https://" + "a" * 2_048 + ".example/", "https://a..example/", "https://-a.example/", "https://.example.com/",
    # other schemes
    "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)",
    # what readers take apart in different ways
    "https://user:password@example.com/", "https://example.com@127.0.0.1/", "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1%2f@example.com/", "https://example.com/#fragment", "https://127.0.0.1%00.example.com/",
    # private, link-local, metadata, and other networks that are nobody's
    "https://10.0.0.1/", "https://10.255.255.255/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/", "https://100.100.100.200/", "https://0.0.0.0/",
    "https://192.0.2.1/", "https://198.18.0.1/", "https://203.0.113.7/", "https://224.0.0.1/", "https://240.0.0.1/",
    "https://255.255.255.255/", "https://192.0.0.192/", "https://[fe80::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/",
    "https://[::]/", "https://[ff02::1]/", "https://[2001:db8::1]/", "https://[fe80::1%25eth0]/", "https://[fec0::1]/",
    # addresses within addresses
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:10.0.0.1]/", "https://[::ffff:a9fe:a9fe]/", "https://[64:ff9b::a00:1]/",
    "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[2001:0:1::1]/", "https://192.88.99.1/", "https://[::127.0.0.1]/",
    # addresses in old notations
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0x7f.1/", "https://127.0.0.1./x",
    "https://10.1/", "https://0/", "https://017700000001/", "https://1.2.3.0x4/", "https://a.b.8/",
    # names that lead into somebody's own network
    "https://intranet/", "https://metadata.google.internal/computeMetadata/v1/", "https://printer.local/", "https://a.localhost/",
    "https://nas.lan/", "https://router.home/", "https://1.0.0.127.in-addr.arpa/", "https://a.onion/", "https://db.corp/",
    "https://localhost./", "https://LOCALHOST/", "https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://127.8.9.1/",
]  # fmt: skip


def take(url: object, *, allows_loopback: bool) -> object:
    return KIND.read(url, Place(RegistryState(), None, None, allows_loopback))


@pytest.mark.parametrize("url", PUBLIC)
@pytest.mark.parametrize("allows_loopback", [False, True])
def test_public_urls(url: str, allows_loopback: bool) -> None:
    """An https URL of a public host is stored as it is written."""
    assert take(url, allows_loopback=allows_loopback) == url


@pytest.mark.parametrize("url", LOOPBACK)
def test_loopback_urls(url: str) -> None:
    """URLs of this machine, also in plain HTTP, are taken where the deployment allows it, and only there."""
    assert take(url, allows_loopback=True) == url
    with pytest.raises(BrokenValueError):
        take(url, allows_loopback=False)


@pytest.mark.parametrize("url", NEVER)
def test_urls_that_are_never_called(url: str) -> None:
    """Whatever is private, not https, or may be read as something else is refused."""
    with pytest.raises(BrokenValueError):
        take(url, allows_loopback=False)


@pytest.mark.parametrize(
    "url", [url for url in NEVER if not any(part in url.lower() for part in ("localhost", "127.", "[::1]"))]
)
def test_loopback_allows_nothing_else(url: str) -> None:
    """A deployment that calls this machine calls no other private one."""
    with pytest.raises(BrokenValueError):
        take(url, allows_loopback=True)
