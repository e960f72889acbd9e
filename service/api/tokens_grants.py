"""Grants: what tokens are given for."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple, Protocol

from service.api.auth_callers import Callers
from service.api.auth_throttle import Throttle
from service.api.kinds import Json
from service.api.messages import MessagesError, error, invalid
from service.api.people import MAX_PASSWORD_CHARS, USERS, Cause, People, Person
from service.api.people_totp import SecondFactors
from service.api.ports import Passwords, Registry
from service.api.tokens import ACCESS_S, TWO_FACTOR_S, Bearer, Purpose, Tokens, key_stamp
from service.ports import Client
from service.scopes import limits
from streams.domain.errors import LogUnavailableError
from streams.domain.registry_events import UniqueValue

CLIENTS = "clients"
TWO_FACTOR_SCOPE = "TWO_FACTOR_AUTH"
MAX_FIELD_CHARS = 2_048
_MAX_SCOPE_CHARS = 255
_MAX_NAME_CHARS = 255


class ClientKeys(Protocol):
    """Clients by their keys. `service.adapters.tenants` provides it."""

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """Return the ACTIVE client of an ACTIVE tenant whose key this is, else None."""

    def key_holder(self, client_id: str, stamp: bytes) -> Client | None:
        """Return the ACTIVE client that has a usable key whose SHA-256 begins like this, else None."""


class Asked(NamedTuple):
    """A request for a token."""

    fields: Mapping[str, str]
    authorization: str | None
    address: str | None
    """Where it comes from."""
    request_id: str

    def required(self, name: str) -> str:
        """Return a field; raise `MessagesError` (400) where it is not given."""
        value = self.fields.get(name, "")
        if not value:
            raise MessagesError(400, [invalid("field.required", "{{field}} is required", field=name)])
        return value


class Grants:
    """Gives tokens to those who show what they are given for."""

    def __init__(
        self,
        registry: Registry,
        people: People,
        callers: Callers,
        tokens: Tokens,
        client_keys: ClientKeys,
        passwords: Passwords,
        factors: SecondFactors,
        guesses: Throttle,
        codes: Throttle,
    ) -> None:
        """Take what credentials are checked with, and what slows down those who guess passwords and codes."""
        self._registry, self._people, self._callers, self._tokens = registry, people, callers, tokens
        self._client_keys, self._passwords, self._factors = client_keys, passwords, factors
        self._guesses, self._codes = guesses, codes

    async def grant(self, asked: Asked) -> Json:
        """
        Return the tokens that are asked for.

        Raises:
            MessagesError: 400, the request is broken; 401, the credentials are; 429, too many were.
            OverloadedError: Too many passwords are being checked.
        """
        # A user, a password or a key that was changed on another node a moment ago counts; without the log, what is
        # known here does. All are waited for alike, so that the time does not tell who is known.
        with suppress(LogUnavailableError):
            await self._registry.catch_up()
        match asked.required("grant_type"):
            case "password":
                return await self._password(asked)
            case "client_credentials":
                return self._client(asked)
            case "refresh_token":
                return self._refresh(asked)
            case other:
                text = "{{grantType}} must be password, client_credentials or refresh_token"
                raise MessagesError(400, [invalid("grant.type", text, grantType=other[:64])])

    async def second_factor(self, asked: Asked) -> Json:
        """Return the tokens of a user who has shown the password before, and shows a code now."""
        scheme, _, token = (asked.authorization or "").partition(" ")
        bearer = self._tokens.read(Purpose.TWO_FACTOR, token.strip()) if scheme.lower() == "bearer" else None
        person = self._callers.person(bearer)
        code = asked.required("code")
        if bearer is None or person is None:
            raise refused()
        await self._use_code(person, code, asked)
        return self._user_tokens(person, bearer.scope)

    async def _password(self, asked: Asked) -> Json:
        name, password = asked.required("username").strip().lower(), asked.required("password")
        scope = _scope(asked.fields)
        attempt = self._guesses.begin(name[:_MAX_NAME_CHARS], asked.address)
        person = self._people.named(name) if len(name) <= _MAX_NAME_CHARS else None
        stored = person.password_hash if person is not None and person.is_active else None
        # The work is the same for users who are not there.
        is_right = await self._passwords.verify(stored, password[:MAX_PASSWORD_CHARS])
        if not is_right or person is None or len(password) > MAX_PASSWORD_CHARS:
            raise refused()
        if person.credentials.secret is not None:
            if "otp" not in asked.fields:
                attempt.succeeded()
                return self._first_factor(person, scope)
            await self._use_code(person, asked.fields["otp"], asked)
        attempt.succeeded()
        return self._user_tokens(person, scope)

    async def _use_code(self, person: Person, code: str, asked: Asked) -> None:
        attempt = self._codes.begin(person.user.id, asked.address)
        credentials = self._factors.use(person, code.strip())
        if credentials is None:
            raise refused()
        if not await self._people.change(person, credentials, Cause(person.user.id, asked.request_id)):
            # Somebody used it at the same time.
            raise refused()
        attempt.succeeded()

    def _client(self, asked: Asked) -> Json:
        client_id, secret = _client_credentials(asked)
        client = self._client_keys.authenticate(client_id, secret)
        if client is None:
            raise refused()
        allowed = self._client_field(client_id, "grantTypes")
        if allowed and "client_credentials" not in allowed:
            raise MessagesError(400, [error("grant.type.forbidden", "This client may not use this grant")])
        stamp = key_stamp(sha256(secret.encode("utf-8", "surrogatepass")).digest())
        bearer = self._tokens.log_in(CLIENTS, client_id, stamp, self._client_scope(client_id, asked.fields))
        return self._answer(bearer, refreshes=not allowed or "refresh_token" in allowed)

    def _refresh(self, asked: Asked) -> Json:
        bearer = self._tokens.read(Purpose.REFRESH, asked.required("refresh_token"))
        if bearer is None:
            raise refused()
        if bearer.type == USERS:
            is_good = self._callers.person(bearer) is not None
        else:
            is_good = self._client_keys.key_holder(bearer.id, bearer.stamp) is not None
            allowed = self._client_field(bearer.id, "grantTypes")
            is_good = is_good and (not allowed or "refresh_token" in allowed)
        if not is_good:
            raise refused()
        return self._answer(_narrowed(bearer, _scope(asked.fields)))

    def _first_factor(self, person: Person, scope: str) -> Json:
        bearer = self._tokens.log_in(USERS, person.user.id, person.stamp, scope)
        return {
            "access_token": self._tokens.make(Purpose.TWO_FACTOR, bearer),
            "token_type": "Bearer",
            "expires_in": TWO_FACTOR_S,
            "scope": TWO_FACTOR_SCOPE,
        }

    def _user_tokens(self, person: Person, scope: str) -> Json:
        return self._answer(self._tokens.log_in(USERS, person.user.id, person.stamp, scope))

    def _answer(self, bearer: Bearer, *, refreshes: bool = True) -> Json:
        return {
            "access_token": self._tokens.make(Purpose.ACCESS, bearer),
            **({"refresh_token": self._tokens.make(Purpose.REFRESH, bearer)} if refreshes else {}),
            "token_type": "Bearer",
            "expires_in": ACCESS_S,
            "scope": bearer.scope,
        }

    def _client_field(self, client_id: str, name: str) -> list[str]:
        found = self._registry.state.holder(CLIENTS, UniqueValue("clientId", client_id))
        return [] if found is None else list(found.fields.get(name, ()))

    def _client_scope(self, client_id: str, fields: Mapping[str, str]) -> str:
        """Return the scope that is asked for, all that the client may have where none is; 400 where it is more."""
        allowed, scope = self._client_field(client_id, "scopes"), _scope(fields)
        if allowed and not set(scope.split()) <= set(allowed):
            raise _scope_refused()
        return scope or " ".join(allowed)


def refused() -> MessagesError:
    """Return the one refusal of whatever credentials are not good."""
    message = error("invalid.credentials", "The credentials are not valid")
    return MessagesError(401, [message], headers={"WWW-Authenticate": 'Bearer realm="upnext"'})


def _scope(fields: Mapping[str, str]) -> str:
    scope = " ".join(fields.get("scope", "").split())
    if len(scope) > _MAX_SCOPE_CHARS or TWO_FACTOR_SCOPE in scope or not scope.isprintable() or not scope.isascii():
        raise _scope_refused()
    return scope


def _scope_refused() -> MessagesError:
    return MessagesError(400, [invalid("scope", "{{field}} is not one that can be given", field="scope")])


def _narrowed(bearer: Bearer, scope: str) -> Bearer:
    """Return the bearer of a refreshed token, whose scope is what it was or less (RFC 6749, 6)."""
    if not scope:
        return bearer
    if bearer.scope and not set(scope.split()) <= set(bearer.scope.split()):
        raise _scope_refused()
    if limits(bearer.scope.split()) is not None and limits(scope.split()) is None:
        # Words that say nothing here limit nothing: alone they would be more, not less.
        raise _scope_refused()
    return bearer._replace(scope=scope)


def _client_credentials(asked: Asked) -> tuple[str, str]:
    """Return the client's id and secret, from a `Basic` header or from fields (RFC 6749, 2.3.1)."""
    scheme, _, encoded = (asked.authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return asked.required("client_id"), asked.required("client_secret")
    try:
        pair = binascii.a2b_base64(encoded.strip().encode("ascii"), strict_mode=True).decode()
    except (binascii.Error, UnicodeError):
        raise refused() from None
    client_id, _, secret = pair.partition(":")
    return client_id, secret
