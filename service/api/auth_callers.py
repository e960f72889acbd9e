"""From an `Authorization` header to the user who calls."""

from __future__ import annotations

import hmac

from service.api.auth import SUPER_USER, Caller, unauthorized
from service.api.auth_keys import PREFIX, ApiKeys
from service.api.messages import MessagesError, error
from service.api.people import USERS, People, Person, roles_of
from service.api.ports import Registry
from service.api.rate_limits import RateLimits
from service.api.tokens import Bearer, Purpose, Tokens
from service.scopes import limits


class Callers:
    """Knows who calls."""

    def __init__(
        self,
        admin_token: str,
        registry: Registry,
        people: People,
        tokens: Tokens,
        keys: ApiKeys,
        limits: RateLimits,
    ) -> None:
        """Take the super user's token, what the others' are known by, and how often each may be shown."""
        self._admin_token = admin_token.encode()
        self._registry, self._people, self._tokens, self._keys = registry, people, tokens, keys
        self._limits = limits

    async def caller(self, authorization: str | None) -> Caller:
        """
        Return the caller whose token or API key *authorization* bears.

        Raises:
            MessagesError: 401, there is no good one; 403, it is a tenant's.

        Source:
            RFC 6750.
        """
        scheme, token = _split(authorization)
        if scheme != "bearer":
            raise unauthorized(is_bearer=False)
        if hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._admin_token):
            return Caller(SUPER_USER, is_super=True)
        found = self._of_token(token)
        if found is None and token.startswith(PREFIX):
            found = await self._keys.caller(token)
        if found is None:
            raise unauthorized(is_bearer=True)
        return found

    async def surely(self, authorization: str | None) -> Caller:
        """
        Return the caller of a request, also where another node has just written what this one misses.

        Raises:
            MessagesError: 401, 403, as for `caller`; 429, there were too many with this token.
        """
        try:
            caller = await self.caller(authorization)
        except MessagesError as failure:
            if not failure.may_be_news:
                raise
            await self._registry.catch_up()
            caller = await self.caller(authorization)
        # The token alone: a header can be written in many ways.
        self._limits.count(_split(authorization)[1])
        return caller

    def ensure_fresh(self) -> None:
        """Raise `RegistryBehindError` where too much is missing to say who may call."""
        self._registry.ensure_fresh()

    def person(self, bearer: Bearer | None) -> Person | None:
        """Return the ACTIVE user whom what was signed stands for; None where it holds no more."""
        person = None if bearer is None or bearer.type != USERS else self._people.find(bearer.id)
        if bearer is None or person is None or not person.is_active:
            return None
        return person if hmac.compare_digest(person.stamp, bearer.stamp) else None

    def _of_token(self, token: str) -> Caller | None:
        bearer = self._tokens.read(Purpose.ACCESS, token)
        if bearer is None:
            return None
        if bearer.type != USERS:
            text = "A tenant's token is for /v1; users' tokens and API keys are for this"
            raise MessagesError(403, [error("tenant.forbidden", text)])
        person = self.person(bearer)
        if person is None:
            # It was signed: what it was signed for may have been written on another node just now.
            raise unauthorized(is_bearer=True, may_be_news=True)
        roles = roles_of(person.user, self._registry.state)
        return Caller(person.user.id, is_super=False, roles=roles, scopes=limits(bearer.scope.split()))


def _split(authorization: str | None) -> tuple[str, str]:
    """Return the scheme, in small letters, and what follows it."""
    scheme, _, token = (authorization or "").partition(" ")
    return scheme.lower(), token.strip()
