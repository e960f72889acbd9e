"""What the OpenAPI document says of signed requests: the headers that a request may bear."""

from __future__ import annotations

from typing import Any

from service.http.signatures import OF_BODY, TIMESTAMP
from service.http.signatures_plain import INPUT, SIGNATURE

Json = dict[str, Any]

BASIC = (
    "A client's id and its secret key, live or test. A client that must sign its requests does so with this key, "
    f"by {TIMESTAMP} and {OF_BODY}, or by {INPUT} and {SIGNATURE}; what others sign is checked too. With a test key "
    "everything is checked as with a live one, nothing is recorded, and lists are always of the same three items; ids "
    "that it makes are good with test keys only."
)


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": str(name), "in": "header", "description": description, "schema": {"type": "string", **schema}}


PARAMETERS = {
    parameter["name"]: parameter
    for parameter in (
        _parameter(
            TIMESTAMP, "When the request was signed: Unix time in milliseconds, to 5 minutes.", {"pattern": "^[0-9]+$"}
        ),
        _parameter(
            OF_BODY,
            "HMAC-SHA256, keyed with the secret key, of the timestamp, a full stop and the bytes of the body.",
            {"pattern": "^sha256=[0-9a-f]{64}$"},
        ),
        _parameter(
            INPUT,
            "What is signed (RFC 9421): one signature over @method, over @target-uri or @authority, @path, and @query "
            "where there is one, and over the content-digest of a body; with `created`, to 5 minutes, `keyid`, the "
            "client's id, and perhaps `alg`, `expires`, and a `nonce`, which is good once.",
            {},
        ),
        _parameter(SIGNATURE, "The signature: hmac-sha256 (RFC 9421, 3.3.3), keyed with the secret key.", {}),
        _parameter("Content-Digest", "The digest of a body that is signed (RFC 9530).", {}),
    )
}
