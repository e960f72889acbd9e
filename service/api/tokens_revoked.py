"""Tokens that were revoked alone: what is kept of them, for as long as they would have been good."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from service.api.messages import MessagesError, error
from service.api.ports import Registry
from service.api.rate_limits import RateLimits
from service.api.resource import Entropy
from service.api.tokens import ACCESS_S, Claims, Purpose, Tokens
from streams.domain.errors import OverloadedError
from streams.domain.registry import Applied, judge
from streams.domain.registry_events import ObjectWrite, Transaction
from streams.domain.registry_state import StoredObject

MOST_KEPT = 500
"""Of one user or client: all are written with each."""
_MARK_BYTES = 16
_MOST_REMEMBERED = 1_000
_ATTEMPTS = 5
_WAIT_S = 5.0


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one token, or of one login, beside its mark."""

    login_s: int
    expires_s: int


class Revocations(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of a user or a client of whose tokens some were revoked."""

    since_s: int = -1
    """All tokens of logins until then, Unix time, are revoked."""
    marks: Mapping[str, Kept] = {}
    """By `mark_of` a token's nonce, or a login."""

    def holds(self, claims: Claims) -> bool:
        """Say whether a token is revoked."""
        is_old = claims.login_s <= self.since_s
        return is_old or mark_of(claims.nonce) in self.marks or mark_of(claims.login) in self.marks

    def with_one(self, mark: str, kept: Kept, now_s: int) -> Revocations:
        """Return these and one more, without those that have expired."""
        marks = {name: other for name, other in self.marks.items() if other.expires_s > now_s} | {mark: kept}
        if len(marks) <= MOST_KEPT:
            return Revocations(self.since_s, marks)
        # A revoked token must not come back to life: others of its age end with it.
        since_s = sorted(one.login_s for one in marks.values())[len(marks) // 2]
        return Revocations(since_s, {name: one for name, one in marks.items() if one.login_s > since_s})


_NONE = Revocations()


class _Asked(NamedTuple):
    claims: Claims
    mark: str
    kept: Kept


class RevokedTokens:
    """The revoked tokens that a node's registry has. They are read once, and remembered until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        """Take the registry."""
        self._registry = registry
        self._revision = -1
        self._known: dict[tuple[str, str], Revocations] = {}

    def holds(self, claims: Claims) -> bool:
        """Say whether a token was revoked alone, or with its login."""
        state = self._registry.state
        if state.revision != self._revision or len(self._known) > _MOST_REMEMBERED:
            self._revision = state.revision
            self._known.clear()
        known = self._known.get((claims.type, claims.id))
        if known is None:
            stored = state.find(type_of(claims), claims.id)
            if stored is None:
                return False
            known = self._known[claims.type, claims.id] = _read(stored)
        return known.holds(claims)


class Revoker:
    """
    Revokes tokens one by one, for whoever holds them.

    Source:
        RFC 7009.
    """

    def __init__(
        self, registry: Registry, tokens: Tokens, revoked: RevokedTokens, limits: RateLimits, entropy: Entropy
    ) -> None:
        """Take the registry, what reads tokens, those revoked, how often one may, and randomness for transactions."""
        self._registry, self._tokens, self._revoked = registry, tokens, revoked
        self._limits, self._entropy = limits, entropy
        # Two writes to one object at once would refuse each other.
        self._turn = asyncio.Lock()

    async def revoke(self, token: str, request_id: str) -> None:
        """
        End a token's validity on every node, and with a refresh token that of all tokens of its login.

        What is no token, or none any more, is left alone.

        Raises:
            LogUnavailableError: It may or may not have been revoked.
            MessagesError: 409, others change the same object all the time; 429, too many of one bearer were revoked.
            OverloadedError: Too many wait.
        """
        asked = self._asked(token)
        if asked is None or self._revoked.holds(asked.claims):
            return
        self._limits.count(f"{asked.claims.type}/{asked.claims.id}")
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise OverloadedError from None
        try:
            await self._write(asked, request_id)
        finally:
            self._turn.release()

    def _asked(self, token: str) -> _Asked | None:
        claims = self._tokens.claims(Purpose.ACCESS, token)
        if claims is not None:
            return _Asked(claims, mark_of(claims.nonce), Kept(claims.login_s, claims.expires_s))
        claims = self._tokens.claims(Purpose.REFRESH, token)
        if claims is None:
            return None
        # The last access token of a login may be made in its last second.
        return _Asked(claims, mark_of(claims.login), Kept(claims.login_s, claims.expires_s + ACCESS_S))

    async def _write(self, asked: _Asked, request_id: str) -> None:
        for _ in range(_ATTEMPTS):
            if self._revoked.holds(asked.claims):
                return
            transaction = Transaction(
                id=self._entropy(16).hex(),
                user=asked.claims.id,
                request=request_id,
                objects=(self._object(asked),),
            )
            if not judge(self._registry.state, transaction) and isinstance(
                await self._registry.transact(transaction), Applied
            ):
                return
        raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])

    def _object(self, asked: _Asked) -> ObjectWrite:
        claims, mark, kept = asked
        before = self._registry.state.find(type_of(claims), claims.id)
        known = _NONE if before is None else _read(before)
        return ObjectWrite(
            type=type_of(claims),
            id=claims.id,
            version=0 if before is None else before.version,
            fields=msgspec.to_builtins(known.with_one(mark, kept, self._tokens.now_s())),
            keeps_past=False,
        )


def type_of(claims: Claims) -> str:
    """Return the type, which `/api/v1` does not show, of what is kept of a user's or a client's revoked tokens."""
    return f"revoked{claims.type}"


def mark_of(secret: bytes) -> str:
    """Return what is kept of a token's nonce, or of a login: nothing that a token could be made or found with."""
    return sha256(secret).digest()[:_MARK_BYTES].hex()


def _read(stored: StoredObject) -> Revocations:
    return msgspec.convert(stored.fields, Revocations)
