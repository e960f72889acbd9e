"""Requests as clients sign them: over time and body, or over the whole message by another hand than the service's."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

PARTS = ("@method", "@authority", "@path", "@query")


class Signable(NamedTuple):
    """A request as the library signs it."""

    method: str
    url: str
    headers: dict[str, str]


def digest_of(body: bytes) -> str:
    """Return the `Content-Digest` of a body."""
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


def over_body(secret: str, body: bytes = b"", time_ms: int | None = None) -> dict[str, str]:
    """Return the headers of a signature over time and body."""
    timestamp = str(time.time_ns() // 1_000_000 if time_ms is None else time_ms)
    signed = hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()
    return {"X-Paket-Timestamp": timestamp, "X-Paket-Signature": f"sha256={signed}"}


def over_message(
    client_id: str,
    secret: str,
    method: str,
    url: str,
    body: bytes = b"",
    *,
    covers: Sequence[str] = PARTS,
    created_s: float | None = None,
    expires_s: float | None = None,
    headers: Mapping[str, str] = {},
    **more: Any,
) -> dict[str, str]:
    """Return *headers* and those of a signature over the message; *more* is for the library's signer."""
    message = Signable(method, url, dict(headers))
    keys = MappingKeyResolver(public_keys={}, private_keys={client_id: secret.encode()})
    HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys).sign(
        message,
        key_id=client_id,
        covered_component_ids=covers,
        body=body or None,
        created=datetime.fromtimestamp(time.time() if created_s is None else created_s, UTC),
        expires=None if expires_s is None else datetime.fromtimestamp(expires_s, UTC),
        **more,
    )
    return message.headers
