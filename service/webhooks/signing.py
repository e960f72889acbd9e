"""
Signatures of what is sent: made here, and verified as a receiver would.

One secret serves both forms. It reads `whsec_` and the base64 of its bytes: `Paket-Signature` is keyed with the text as
it stands, the Standard Webhooks one with the bytes.

Source:
    docs/webhooks.md, "Signatures"; Standard Webhooks 1.0.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with is no secret
TOLERANCE_MS: Final = 300_000
"""By so much what a sender says of the time may differ from the receiver's clock."""

_SIGNATURE = "Paket-Signature"
_ID, _TIMESTAMP, _STANDARD = "webhook-id", "webhook-timestamp", "webhook-signature"
_FAKE_KEY = b"not the secret"


class BadSignatureError(ValueError):
    """What was received is not what was signed, or not lately; the message says how."""


def new_secret(entropy: Callable[[int], bytes]) -> str:
    """Return a new secret. Its bytes are so many that base64 has no padding."""
    return SECRET_PREFIX + base64.b64encode(entropy(33)).decode("ascii")


def is_secret(text: str) -> bool:
    """Say whether *text* is of the form that secrets have."""
    try:
        return text.startswith(SECRET_PREFIX) and len(_key(text)) > 0
    except ValueError:
        return False


def signed(event_id: str, body: bytes, secrets: Sequence[str], now_ms: int) -> dict[str, str]:
    """
    Return the headers that an attempt is signed with.

    Args:
        event_id: The same in each attempt.
        body: As it is sent.
        secrets: The endpoint's, and for a day after a roll the one before it.
        now_ms: When the attempt is made.
    """
    now_s = str(now_ms // 1000)
    hexes = [_paket(secret.encode(), str(now_ms), body) for secret in secrets]
    # The last one is there so that who takes any signature for a good one finds out.
    fake = _paket(_FAKE_KEY, str(now_ms), body)
    return {
        _SIGNATURE: ",".join([f"t={now_ms}", *(f"v1={one}" for one in hexes), f"v0={fake}"]),
        _ID: event_id,
        _TIMESTAMP: now_s,
        _STANDARD: " ".join(f"v1,{_standard(secret, event_id, now_s, body)}" for secret in secrets),
    }


def verify_paket(headers: Mapping[str, str], body: bytes, secret: str, now_ms: int) -> None:
    """Raise `BadSignatureError` unless `Paket-Signature` in *headers* is good for *body*."""
    pairs = [part.partition("=") for part in _header(headers, _SIGNATURE).split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise BadSignatureError(f"{_SIGNATURE} does not say once when it was made")
    _check_time(_SIGNATURE, times[0], 1, now_ms)
    _check_any(_SIGNATURE, (value for name, _, value in pairs if name == "v1"), _paket(secret.encode(), times[0], body))


def verify_standard(headers: Mapping[str, str], body: bytes, secret: str, now_ms: int) -> None:
    """Raise `BadSignatureError` unless the Standard Webhooks headers are good for *body*."""
    event_id, time_s = _header(headers, _ID), _header(headers, _TIMESTAMP)
    _check_time(_TIMESTAMP, time_s, 1000, now_ms)
    pairs = [part.partition(",") for part in _header(headers, _STANDARD).split(" ")]
    _check_any(
        _STANDARD,
        (value for version, _, value in pairs if version == "v1"),
        _standard(secret, event_id, time_s, body),
    )


def _paket(key: bytes, time_ms: str, body: bytes) -> str:
    return hmac.digest(key, _raw(time_ms) + b"." + body, "sha256").hex()


def _standard(secret: str, event_id: str, time_s: str, body: bytes) -> str:
    mac = hmac.digest(_key(secret), _raw(f"{event_id}.{time_s}.") + body, "sha256")
    return base64.b64encode(mac).decode("ascii")


def _key(secret: str) -> bytes:
    # Secrets that were made before this form was sent are in the other alphabet of base64.
    text = secret.removeprefix(SECRET_PREFIX).translate(str.maketrans("-_", "+/"))
    return base64.b64decode(text, validate=True)


def _header(headers: Mapping[str, str], name: str) -> str:
    if name not in headers:
        raise BadSignatureError(f"there is no {name}")
    return headers[name]


def _raw(text: str) -> bytes:
    """Return a header's bytes as they came: servers decode them so that none is refused."""
    return text.encode("utf-8", "surrogateescape")


def _check_time(name: str, text: str, unit_ms: int, now_ms: int) -> None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise BadSignatureError(f"{name} has no time")
    if abs(int(text) * unit_ms - now_ms) > TOLERANCE_MS:
        raise BadSignatureError(f"{name} is not of the last five minutes")


def _check_any(name: str, given: Iterable[str], expected: str) -> None:
    if not any(hmac.compare_digest(_raw(one), _raw(expected)) for one in given):
        raise BadSignatureError(f"{name} is not made with this secret, or of something else")
