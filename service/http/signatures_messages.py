"""
The stronger signature: of method, target and body, as RFC 9421 has it, with the client's secret.

Source:
    RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerifyResult,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from multidict import MultiMapping

from service.http.problems import SignatureError
from service.http.signatures_nonces import Nonces

TOLERANCE_S = 300
"""By so much what a client says of the time may differ from the node's clock."""

INPUT, SIGNATURE = "Signature-Input", "Signature"

_METHOD = '"@method"'
_TARGET = '"@target-uri"'
_PARTS = frozenset({'"@authority"', '"@path"'})
_QUERY = '"@query"'


class Message(NamedTuple):
    """A request as its client has signed it."""

    method: str
    url: str
    """Absolute, with its query."""
    headers: MultiMapping[str]


class _Key(HTTPSignatureKeyResolver):
    """The one key that a request may be signed with."""

    def __init__(self, client_id: str, secret: bytes) -> None:
        self._client_id, self._secret = client_id, secret

    def resolve_public_key(self, key_id: str) -> bytes | None:
        return self._secret if key_id == self._client_id else None


class _Verifier(HTTPMessageVerifier):
    """Checks times against the node's clock, both ways."""

    def __init__(self, key: _Key, now_s: int) -> None:
        super().__init__(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=key)
        self._now_s = now_s

    def validate_created_and_expires(self, sig_input: Any, max_age: object = None) -> None:  # noqa: ARG002
        """Raise `InvalidSignature` where it was made too long ago, or will be, or has ended. Both are integers."""
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if created is None or abs(self._now_s - created) > TOLERANCE_S:
            raise InvalidSignature
        if expires is not None and expires < self._now_s:
            raise InvalidSignature


class MessageSignatures:
    """Checks `Signature` and `Signature-Input`."""

    def __init__(self, nonces: Nonces | None = None) -> None:
        """Take what remembers nonces."""
        self._nonces = nonces or Nonces(TOLERANCE_S)

    def check(self, message: Message, body: bytes, client_id: str, secret: bytes, now_s: int) -> None:
        """
        Return where the one signature of *message* is good for all that the service does with it.

        Raises:
            SignatureError: It is broken, of something else, too old, of too little, or was seen before.
        """
        try:
            verifier = _Verifier(_Key(client_id, secret), now_s)
            (signed,) = verifier.verify(message, body=body)
        except HTTPMessageSignaturesException as error:
            raise SignatureError(
                "Signature and Signature-Input are not those of this request, made with this secret and key id in the "
                "last 5 minutes; they cover @method, the target, and the Content-Digest of a body."
            ) from error
        if not _covers_enough(signed, message.url):
            raise SignatureError(
                "A signature covers @method, and @target-uri or @authority, @path, and @query where there is one."
            )
        created = signed.parameters["created"]
        if signed.nonce is not None and not self._nonces.take(client_id, signed.nonce, int(created), now_s):
            raise SignatureError("The signature's nonce may have been used before.")


def _covers_enough(signed: VerifyResult, url: str) -> bool:
    covered = signed.covered_components.keys()
    if _METHOD not in covered:
        return False
    return _TARGET in covered or (covered >= _PARTS and (_QUERY in covered or "?" not in url))
