"""Tokens: signed, so that every node knows them and none keeps them, but for what was revoked."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from typing import NamedTuple

import msgspec

from service.api.resource import Entropy

ACCESS_S = 3_600
REFRESH_S = 30 * 24 * 3_600
"""From the login on: refreshing does not make it longer."""
TWO_FACTOR_S = 300
STAMP_BYTES = 8

_NONCE_BYTES = 16
_MAC_BYTES = 32
_MAX_CHARS = 2_048


class Purpose(Enum):
    """What a token is good for: its first characters, which are signed too."""

    ACCESS = "at_"
    REFRESH = "rt_"
    TWO_FACTOR = "tf_"


_LIFE_S = {Purpose.ACCESS: ACCESS_S, Purpose.REFRESH: REFRESH_S, Purpose.TWO_FACTOR: TWO_FACTOR_S}


class Bearer(NamedTuple):
    """Whom a token stands for."""

    type: str
    """Of the registry's object: `users` or `clients`."""
    id: str
    """Of a user, or a client's `clientId`."""
    stamp: bytes
    """What the token was given for, in 8 bytes: where that is no more (a password, a key), neither is the token."""
    scope: str
    """As it was asked for."""
    login_s: int
    """When it was logged in, Unix time."""
    login: bytes
    """Random: the same in all tokens of one login, those that refreshing gave too."""


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says. Fields are only ever added, with defaults: tokens outlive the version that made them."""

    type: str
    id: str
    stamp: bytes
    scope: str
    login_s: int
    expires_s: int
    nonce: bytes
    """Random: no other token's."""
    login: bytes = b""


_CLAIMS = msgspec.msgpack.Decoder(Claims)


class Tokens:
    """Makes tokens and reads them again."""

    def __init__(
        self, key: bytes, now_s: Callable[[], int], entropy: Entropy, is_revoked: Callable[[Claims], bool]
    ) -> None:
        """
        Take what tokens are made of and judged by.

        Args:
            key: The deployment's for tokens (`MasterKey.derive(b"tokens")`).
            now_s: Unix time.
            entropy: Randomness.
            is_revoked: Says whether a token was revoked alone, or its login.
        """
        self._key, self.now_s, self._entropy, self._is_revoked = key, now_s, entropy, is_revoked

    def log_in(self, type_name: str, object_id: str, stamp: bytes, scope: str) -> Bearer:
        """Return the bearer of a new login's tokens."""
        return Bearer(type_name, object_id, stamp, scope, self.now_s(), self._entropy(_NONCE_BYTES))

    def make(self, purpose: Purpose, bearer: Bearer) -> str:
        """Return a new token, different from every other."""
        claims = Claims(
            bearer.type,
            bearer.id,
            bearer.stamp,
            bearer.scope,
            bearer.login_s,
            self._expires_s(purpose, bearer),
            self._entropy(_NONCE_BYTES),
            bearer.login,
        )
        payload = msgspec.msgpack.encode(claims)
        return purpose.value + base64.urlsafe_b64encode(payload + self._mac(purpose, payload)).decode("ascii")

    def read(self, purpose: Purpose, token: str) -> Bearer | None:
        """Return whom a token of this purpose stands for; None where it is none, too old or revoked."""
        claims = self.claims(purpose, token)
        if claims is None or self._is_revoked(claims):
            return None
        return Bearer(claims.type, claims.id, claims.stamp, claims.scope, claims.login_s, claims.login)

    def claims(self, purpose: Purpose, token: str) -> Claims | None:
        """Return what a token of this purpose says, also a revoked one; None where it is none, or too old."""
        if len(token) > _MAX_CHARS or not token.startswith(purpose.value):
            return None
        try:
            text = token.removeprefix(purpose.value).encode("ascii")
            signed = base64.b64decode(text, altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeError):
            return None
        if base64.urlsafe_b64encode(signed) != text:
            return None  # spelled in another way than it was given: what is counted by token would count it anew
        payload, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(purpose, payload)):
            return None
        claims = _CLAIMS.decode(payload)
        if claims.expires_s <= self.now_s():
            return None
        # A token from before logins were told apart begins one, for those that it is refreshed to.
        return claims if claims.login else msgspec.structs.replace(claims, login=claims.nonce)

    def _expires_s(self, purpose: Purpose, bearer: Bearer) -> int:
        since_s = bearer.login_s if purpose is Purpose.REFRESH else self.now_s()
        return since_s + _LIFE_S[purpose]

    def _mac(self, purpose: Purpose, payload: bytes) -> bytes:
        return hmac.digest(self._key, purpose.value.encode() + payload, "sha256")


def stamp_of(*parts: str) -> bytes:
    """Return 8 bytes that differ wherever one of *parts* does."""
    return sha256("\0".join(parts).encode()).digest()[:STAMP_BYTES]


def key_stamp(digest: bytes) -> bytes:
    """Return the stamp of a client's key with this SHA-256."""
    return digest[:STAMP_BYTES]
