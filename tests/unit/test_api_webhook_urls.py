"""URLs that events may be sent to, and those that could never be called or never should."""

from __future__ import annotations

import json
from pathlib import Path

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
CORPUS = json.loads((Path(__file__).parent / "data" / "evil_urls.json").read_text(encoding="utf-8"))
NEVER = [url for urls in CORPUS["written"].values() for url in urls]


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
