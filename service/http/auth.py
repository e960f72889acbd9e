"""Who calls: the `Authorization` header."""

from __future__ import annotations

import binascii
from hashlib import blake2b
from secrets import token_bytes

from service.http.problems import UnauthorizedError
from service.ports import Client, Tenants

_MARKS = blake2b(key=token_bytes(blake2b.MAX_KEY_SIZE), digest_size=32)
"""Of this process alone: by a mark a header is found again, and nothing else is learned from it."""


def authenticate(tenants: Tenants, authorization: str | None) -> Client:
    """
    Return the client whose credentials *authorization* bears.

    Clients send the same header each time, so what was good is known by a mark: to take it apart and hash the secret
    takes twice as long, and to remember it as it is would keep live secrets in memory.

    Raises:
        UnauthorizedError: There are none, or none that are good.

    Source:
        RFC 7617, RFC 6750.
    """
    shown = authorization or ""
    mark = _mark(shown)
    client = tenants.recall(mark)
    if client is None:
        credentials = _basic(shown)
        client = _of_token(tenants, shown) if credentials is None else tenants.authenticate(*credentials, mark)
    if client is None:
        raise UnauthorizedError
    return client


def _mark(authorization: str) -> bytes:
    marked = _MARKS.copy()
    marked.update(authorization.encode("utf-8", "surrogatepass"))
    return marked.digest()


def _of_token(tenants: Tenants, authorization: str) -> Client | None:
    scheme, _, token = authorization.partition(" ")
    return tenants.authenticate_token(token.strip()) if scheme.lower() == "bearer" else None


def _basic(authorization: str) -> tuple[str, str] | None:
    """Return the client id and secret of a `Basic` header, None where it is none, or has none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = binascii.a2b_base64(token.strip().encode("ascii"), strict_mode=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    client_id, colon, secret = pair.partition(":")
    return (client_id, secret) if colon and client_id and secret else None
