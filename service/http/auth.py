"""Who calls: the `Authorization` header."""

from __future__ import annotations

import binascii

from service.http.problems import UnauthorizedError
from service.ports import Client, Tenants


def authenticate(tenants: Tenants, authorization: str | None) -> Client:
    """
    Return the client whose credentials *authorization* bears.

    Raises:
        UnauthorizedError: There are none, or none that are good.

    Source:
        RFC 7617.
    """
    credentials = _basic(authorization) if authorization is not None else None
    client = tenants.authenticate(*credentials) if credentials is not None else None
    # Test keys plug in here: until their answers are generated, a client that showed one is refused like any
    # unknown one. So do `Bearer` tokens (in `_basic`) and the client's list of allowed addresses (403).
    if client is None or not client.live:
        raise UnauthorizedError
    return client


def _basic(authorization: str) -> tuple[str, str] | None:
    """Return the client id and secret of a `Basic` header, None where it is no such header."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = binascii.a2b_base64(token.strip().encode("ascii"), strict_mode=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    client_id, colon, secret = pair.partition(":")
    return (client_id, secret) if colon and client_id and secret else None
