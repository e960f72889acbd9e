"""Who calls: the `Authorization` header."""

from __future__ import annotations

import binascii
from functools import lru_cache

from service.http.problems import UnauthorizedError
from service.ports import Client, Tenants

_MAX_CHARS = 512
"""Of a header with an id and a secret that were made here, and more: what is longer is not remembered."""


def authenticate(tenants: Tenants, authorization: str | None) -> Client:
    """
    Return the client whose credentials *authorization* bears.

    Raises:
        UnauthorizedError: There are none, or none that are good.

    Source:
        RFC 7617, RFC 6750.
    """
    shown = authorization or ""
    credentials = _basic(shown)
    client = _of_token(tenants, shown) if credentials is None else tenants.authenticate(*credentials)
    if client is None:
        raise UnauthorizedError
    return client


def shown_secret(authorization: str) -> bytes | None:
    """Return the secret of credentials that are good; None where they are a token."""
    credentials = _basic(authorization)
    return None if credentials is None else credentials[1].encode()


def _of_token(tenants: Tenants, authorization: str) -> Client | None:
    scheme, _, token = authorization.partition(" ")
    return tenants.authenticate_token(token.strip()) if scheme.lower() == "bearer" else None


def _basic(authorization: str) -> tuple[str, str] | None:
    """Return the client id and secret of a `Basic` header, None where it is none, or has none."""
    return _read_short(authorization) if len(authorization) <= _MAX_CHARS else _read(authorization)


def _read(authorization: str) -> tuple[str, str] | None:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = binascii.a2b_base64(token.strip().encode("ascii"), strict_mode=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    client_id, colon, secret = pair.partition(":")
    return (client_id, secret) if colon and client_id and secret else None


# Clients send the same header each time, and to take it apart takes longer than to look whether it is good, which is
# done each time. How long it takes says nothing of secrets: texts are found by a hash with a random key.
_read_short = lru_cache(maxsize=4096)(_read)
