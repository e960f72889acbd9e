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
        RFC 7617, RFC 6750.
    """
    client = _client(tenants, authorization or "")
    if client is None:
        raise UnauthorizedError
    return client


def shown_secret(authorization: str) -> bytes | None:
    """Return the secret of credentials that are good; None where they are a token."""
    scheme, _, token = authorization.partition(" ")
    return binascii.a2b_base64(token).partition(b":")[2] if scheme.lower() == "basic" else None


def _client(tenants: Tenants, authorization: str) -> Client | None:
    scheme, _, token = authorization.partition(" ")
    match scheme.lower():
        case "basic":
            credentials = _basic(token)
            return None if credentials is None else tenants.authenticate(*credentials)
        case "bearer":
            return tenants.authenticate_token(token.strip())
        case _:
            return None


def _basic(token: str) -> tuple[str, str] | None:
    """Return the client id and secret of a `Basic` header, None where it has none."""
    try:
        pair = binascii.a2b_base64(token.strip().encode("ascii"), strict_mode=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    client_id, colon, secret = pair.partition(":")
    return (client_id, secret) if colon and client_id and secret else None
