"""Signatures of what is sent to publishers, as other people's code verifies them."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.webhooks.signing import (
    TOLERANCE_MS,
    BadSignatureError,
    new_secret,
    signed,
    verify_paket,
    verify_standard,
)

SECRET, ROLLED, OTHER = (new_secret(bytes([byte]).__mul__) for byte in (0xFB, 0xFF, 0x01))
BODY = '{"id": "evt_1", "data": "ø"}'.encode()
NOW_MS = 1_796_000_000_123
VERIFY: list[Callable[..., None]] = [verify_paket, verify_standard]


def test_paket_signature() -> None:
    """As the contract says it: the time, one v1 a secret over time and body, keyed with the secret's text, one fake."""

    def v1(secret: str) -> str:
        return hmac.new(secret.encode(), f"{NOW_MS}.".encode() + BODY, "sha256").hexdigest()

    t, *rest, fake = signed("evt_1", BODY, [SECRET, ROLLED], NOW_MS)["Paket-Signature"].split(",")
    assert t == f"t={NOW_MS}"
    assert rest == [f"v1={v1(SECRET)}", f"v1={v1(ROLLED)}"]
    assert fake.startswith("v0=")
    assert len(fake) == len("v0=") + 64
    assert fake.removeprefix("v0=") not in {v1(SECRET), v1(ROLLED)}


@pytest.mark.parametrize("secret", [SECRET, ROLLED])
def test_the_library_of_standard_webhooks_agrees(secret: str) -> None:
    """With the secret as it is shown, the new one and the one before it, and with no other."""
    headers = signed("evt_1", BODY, [SECRET, ROLLED], time.time_ns() // 1_000_000)
    assert Webhook(secret).verify(BODY, headers) == {"id": "evt_1", "data": "ø"}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)


def test_a_secret_is_of_the_form_that_standard_webhooks_ask_for() -> None:
    """`whsec_` and base64 in the usual alphabet, of 24 to 64 bytes."""
    assert SECRET == "whsec_" + "+/v7" * 11
    assert len(SECRET) == len("whsec_") + 44


def _same(key: bytes, _count: int) -> bytes:
    return key


@given(st.binary(max_size=200), st.text(max_size=50), st.lists(st.binary(min_size=33, max_size=33), min_size=1))
def test_what_is_signed_is_good(body: bytes, event_id: str, keys: list[bytes]) -> None:
    """For the holder of any of the secrets, until five minutes later."""
    secrets = [new_secret(partial(_same, key)) for key in keys]
    headers = signed(event_id, body, secrets, NOW_MS)
    for secret in secrets:
        for now_ms in (NOW_MS, NOW_MS + TOLERANCE_MS - 1000, NOW_MS - TOLERANCE_MS + 1000):
            verify_paket(headers, body, secret, now_ms)
            verify_standard(headers, body, secret, now_ms)


@pytest.mark.parametrize("verify", VERIFY)
def test_what_was_not_signed_so_is_bad(verify: Callable[..., None]) -> None:
    """Another body, another secret, another time, and one that is over."""
    headers = signed("evt_1", BODY, [SECRET], NOW_MS)
    verify(headers, BODY, SECRET, NOW_MS)
    for body, secret, now_ms in (
        (BODY + b" ", SECRET, NOW_MS),
        (b"", SECRET, NOW_MS),
        (BODY, ROLLED, NOW_MS),
        (BODY, SECRET, NOW_MS + TOLERANCE_MS + 1000),
        (BODY, SECRET, NOW_MS - TOLERANCE_MS - 1000),
    ):
        with pytest.raises(BadSignatureError):
            verify(headers, body, secret, now_ms)


def test_the_fake_signature_is_never_good() -> None:
    """Nor is any other version, or the good one under another time."""
    header = signed("evt_1", BODY, [SECRET], NOW_MS)["Paket-Signature"]
    t, good, fake = header.split(",")
    for broken in (
        f"{t},{fake}",
        f"{t},{fake.replace('v0', 'v1')}",
        f"{t},{good.replace('v1', 'v0')}",
        f"{t},{good.replace('v1', 'v2')}",
        f"t={NOW_MS + 1},{good}",
        f"{t},{t},{good}",
        f"{t},t=1,{good}",
        f"{t},{good.upper()}",
        f"t=+{NOW_MS},{good}",
        f"t={'9' * 5_000},{good}",
        "t=,v1=",
        good,
        t,
        "",
        "ø",
        f"{t},v1=ø",
        f"{t},v1=\udcff",
    ):
        with pytest.raises(BadSignatureError):
            verify_paket({"Paket-Signature": broken}, BODY, SECRET, NOW_MS)


def test_broken_standard_headers_are_bad() -> None:
    """Each of the three must be there; the id and the time are covered too."""
    headers = signed("evt_1", BODY, [SECRET], NOW_MS)
    good = headers["webhook-signature"]
    for change in (
        {"webhook-id": "evt_2"},
        {"webhook-id": "evt_\udcff"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-timestamp": str(NOW_MS // 1000 + 1)},
        {"webhook-timestamp": "now"},
        {"webhook-signature": good.replace("v1,", "v2,")},
        {"webhook-signature": good.removeprefix("v1,")},
        {"webhook-signature": "v1"},
        {"webhook-signature": ""},
    ):
        with pytest.raises(BadSignatureError):
            verify_standard({**headers, **change}, BODY, SECRET, NOW_MS)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        with pytest.raises(BadSignatureError, match=name):
            verify_standard({key: value for key, value in headers.items() if key != name}, BODY, SECRET, NOW_MS)
    with pytest.raises(BadSignatureError, match="Paket-Signature"):
        verify_paket({}, BODY, SECRET, NOW_MS)


def test_the_secrets_of_before() -> None:
    """Secrets that were made in the other alphabet of base64 sign as their bytes do."""
    before = SECRET.replace("+", "-").replace("/", "_")
    assert before != SECRET
    old, new = (signed("evt_1", BODY, [secret], NOW_MS)["webhook-signature"] for secret in (before, SECRET))
    assert old == new
