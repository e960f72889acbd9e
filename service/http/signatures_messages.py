"""
The stronger signature: of method, target and body, as RFC 9421 has it, with the client's secret.

Source:
    RFC 9421 (HTTP Message Signatures), RFC 9530 (Content-Digest).
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature, algorithms
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from service.http.problems import SignatureError
from service.http.signatures_nonces import Nonces
from service.http.signatures_plain import DIGEST, INPUT, SIGNATURE, TOLERANCE_S, Message, Signed, is_now, read_plain
from service.macs import Mac

MAX_CHARS = 8_192
"""Of all that is sent about a signature: to read many times as much would hold up other requests."""

_METHOD, _TARGET, _QUERY = '"@method"', '"@target-uri"', '"@query"'
_PARTS = frozenset({'"@authority"', '"@path"'})


class MessageSignatures:
    """Checks `Signature` and `Signature-Input`."""

    def __init__(self, nonces: Nonces | None = None) -> None:
        """Take what remembers nonces."""
        self._nonces = nonces or Nonces(TOLERANCE_S)

    def check(self, message: Message, client_id: str, mac: Mac, now_s: int) -> None:
        """
        Return where the one signature of *message* is good for all that the service does with it.

        Raises:
            SignatureError: It is broken, of something else, too old, of too little, or was seen before.
        """
        signed = read_plain(message, client_id, mac, now_s) or read_any(message, client_id, mac, now_s)
        if not _covers_enough(signed, message.url):
            raise SignatureError(
                "A signature covers @method, and @target-uri or @authority, @path, and @query where there is one."
            )
        if signed.nonce is not None and not self._nonces.take(client_id, signed.nonce, signed.created_s, now_s):
            raise SignatureError("The signature's nonce may have been used before.")


def read_any(message: Message, client_id: str, mac: Mac, now_s: int) -> Signed:
    """Return what the signature of *message*, of whatever form, says; raise `SignatureError` where it is not good."""
    shown = (value for name in (INPUT, SIGNATURE, DIGEST) for value in message.headers.getall(name, ()))
    if sum(map(len, shown)) > MAX_CHARS:
        raise SignatureError(f"Signatures are no longer than {MAX_CHARS} characters.")
    try:
        (result,) = _Verifier(_Key(client_id, mac), now_s).verify(message, body=message.body)
    except HTTPMessageSignaturesException as error:
        raise SignatureError(
            "Signature and Signature-Input are not those of this request, made with this secret and key id in the "
            "last 5 minutes; they cover @method, the target, and the Content-Digest of a body."
        ) from error
    return Signed(result.covered_components, int(result.parameters["created"]), result.nonce)


def _covers_enough(signed: Signed, url: str) -> bool:
    covered = signed.covered
    if _METHOD not in covered:
        return False
    return _TARGET in covered or (_PARTS.issubset(covered) and (_QUERY in covered or "?" not in url))


class _Key(HTTPSignatureKeyResolver):
    """The one key that a request may be signed with."""

    def __init__(self, client_id: str, mac: Mac) -> None:
        self._client_id, self._mac = client_id, mac

    def resolve_public_key(self, key_id: str) -> Mac | None:
        return self._mac if key_id == self._client_id else None


class _Begun(algorithms.HMAC_SHA256):
    """HMAC-SHA256 whose "secret" is begun already."""

    shared_secret: Mac

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raise `InvalidSignature` where it is another one."""
        if not compare_digest(self.shared_secret.of(message), signature):
            raise InvalidSignature


class _Verifier(HTTPMessageVerifier):
    """Checks times against the node's clock, both ways."""

    def __init__(self, key: _Key, now_s: int) -> None:
        super().__init__(signature_algorithm=_Begun, key_resolver=key)
        self._now_s = now_s

    def validate_created_and_expires(self, sig_input: Any, max_age: object = None) -> None:  # noqa: ARG002
        """Raise `InvalidSignature` where it is not of this time. Both parameters are integers, where they are there."""
        if not is_now(sig_input.params.get("created"), sig_input.params.get("expires"), self._now_s):
            raise InvalidSignature
