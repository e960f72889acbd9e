"""Signed requests: whether what was sent is what the client signed, with its secret, just now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import compare_digest

from aiohttp import web
from aiohttp.hdrs import HOST
from multidict import istr

from service.http.addresses import client_scheme
from service.http.problems import SignatureError
from service.http.signatures_messages import MessageSignatures
from service.http.signatures_plain import INPUT, SIGNATURE, TOLERANCE_S, Message
from service.macs import Mac
from service.networks import Network
from service.ports import Client

TIMESTAMP, OF_BODY = istr("X-Paket-Timestamp"), istr("X-Paket-Signature")

_SCHEME = "sha256="
_MAX_DIGITS = 15


class Signatures:
    """Checks what a request is signed with: over time and body, or over the whole message, or both."""

    def __init__(self, now_ms: Callable[[], int], proxies: Sequence[Network] = ()) -> None:
        """Take Unix time, and whose word is taken on how requests came in."""
        self._now_ms, self._proxies = now_ms, proxies
        self._messages = MessageSignatures()

    def check(self, request: web.BaseRequest, client: Client, body: bytes) -> None:
        """
        Return where a request need not be signed and is not, or is, and all its signatures are good.

        Raises:
            SignatureError: A signature is broken, or there is none and must be one.
        """
        headers = request.headers
        timestamps, of_body = headers.getall(TIMESTAMP, ()), headers.getall(OF_BODY, ())
        of_message = SIGNATURE in headers or INPUT in headers
        if not (of_body or timestamps or of_message):
            if client.must_sign:
                raise SignatureError("This client's requests must be signed.")
            return
        if client.mac is None:
            raise SignatureError("Signatures go with Basic credentials: the secret is what they are made with.")
        now_ms = self._now_ms()
        if of_body or timestamps:
            check_of_body(timestamps, of_body, body, client.mac, now_ms)
        if of_message:
            message = Message(request.method, self._url(request), headers, body)
            self._messages.check(message, client.client_id, client.mac, now_ms // 1000)

    def _url(self, request: web.BaseRequest) -> str:
        """Return the URL that the client called, with the target as it was sent, to the byte."""
        if not request.raw_path.startswith("/"):
            return request.raw_path  # with its scheme and host (RFC 9112, 3.2.2)
        scheme = request.scheme
        if self._proxies:
            said = request.headers.getall("X-Forwarded-Proto", ())
            scheme = client_scheme(scheme, request.remote, said, self._proxies)
        return f"{scheme}://{request.headers.get(HOST, '')}{request.raw_path}"


def check_of_body(timestamps: Sequence[str], signatures: Sequence[str], body: bytes, mac: Mac, now_ms: int) -> None:
    """
    Raise `SignatureError` where the one signature is not of the one time and the body, made with the secret just now.

    Args:
        timestamps: The lines of `X-Paket-Timestamp`.
        signatures: The lines of `X-Paket-Signature`.
        body: As it was sent.
        mac: Of the client's secret.
        now_ms: Unix time.
    """
    if len(timestamps) != 1 or len(signatures) != 1:
        raise SignatureError(f"{TIMESTAMP} and {OF_BODY} go together, each once.")
    timestamp, signature = timestamps[0], signatures[0]
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MAX_DIGITS):
        raise SignatureError(f"{TIMESTAMP} is Unix time in milliseconds.")
    signed = f"{_SCHEME}{mac.of(timestamp.encode() + b'.' + body).hex()}"
    if not (signature.isascii() and compare_digest(signed, signature)):
        raise SignatureError(f"{OF_BODY} is not sha256= and the HMAC of {TIMESTAMP}, a full stop and the body.")
    if abs(now_ms - int(timestamp)) > TOLERANCE_S * 1000:
        raise SignatureError(f"{TIMESTAMP} is more than 5 minutes away from the time here.")
