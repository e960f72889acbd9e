"""People as logging in sees them: users of the registry, and what only they and the service may know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from service.api.auth import Role
from service.api.messages import MessagesError, error
from service.api.ports import Registry
from service.api.resource import Entropy
from service.api.tokens import stamp_of
from streams.domain.registry import Applied, judge
from streams.domain.registry_events import ObjectWrite, Transaction, UniqueValue
from streams.domain.registry_state import RegistryState, StoredObject

USERS = "users"
CREDENTIALS = "credentials"
"""A type of the registry that `/api/v1` does not show: one object for each user who needs one, with the user's id."""
MIN_PASSWORD_CHARS = 12
MAX_PASSWORD_CHARS = 1_024
_ATTEMPTS = 5


class Cause(NamedTuple):
    """Who asks for a write, and in which request."""

    user: str
    request_id: str


class Credentials(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored of a user beside what readers may see."""

    generation: int = 0
    """One more with every time that all the user's tokens were revoked."""
    secret: str | None = None
    """Of the second factor that is on, encrypted."""
    pending: str | None = None
    """Of one that is not confirmed yet, encrypted."""
    step: int = 0
    """The newest time step whose code was used: no code is good twice, on any node."""


class Person(NamedTuple):
    """A user, and what is stored beside it."""

    user: StoredObject
    credentials: Credentials
    version: int
    """Of the stored credentials; 0 where there are none yet."""

    @property
    def is_active(self) -> bool:
        """Whether the user may log in, and the tokens hold."""
        return self.user.state == "ACTIVE"

    @property
    def password_hash(self) -> str | None:
        """What is stored of the password, None where there is none."""
        return self.user.fields.get("passwordHash")

    @property
    def stamp(self) -> bytes:
        """What the user's tokens are bound to."""
        return stamp_of(self.password_hash or "", str(self.credentials.generation))


class People:
    """The users of a node's registry."""

    def __init__(self, registry: Registry, entropy: Entropy) -> None:
        """Take the registry, and randomness for the ids of transactions."""
        self._registry, self._entropy = registry, entropy

    def find(self, user_id: str) -> Person | None:
        """Return a user, of whatever state; None where there is none."""
        return self._person(self._registry.state.find(USERS, user_id))

    def named(self, username: str) -> Person | None:
        """Return the user of this name, of whatever state; None where there is none."""
        return self._person(self._registry.state.holder(USERS, UniqueValue("username", username.lower())))

    async def change(self, person: Person, credentials: Credentials, cause: Cause, **fields: Any) -> bool:
        """
        Store a user's credentials, and *fields* of the user; say whether nobody else was faster.

        Raises:
            LogUnavailableError: They may or may not have been stored.
        """
        user = person.user
        stored: Mapping[str, Any] = msgspec.to_builtins(credentials)
        written = [ObjectWrite(type=CREDENTIALS, id=user.id, version=person.version, fields=dict(stored))]
        if any(user.fields.get(name) != value for name, value in fields.items()):
            written.append(rewritten(user, fields))
        transaction = Transaction(
            id=self._entropy(16).hex(), user=cause.user, request=cause.request_id, objects=tuple(written)
        )
        if judge(self._registry.state, transaction):
            return False
        return isinstance(await self._registry.transact(transaction), Applied)

    async def revoke(self, user_id: str, cause: Cause) -> None:
        """
        End the validity of all tokens that a user was given until now, on every node.

        Raises:
            LogUnavailableError: They may or may not have been revoked.
            MessagesError: 409, others change the same user all the time.
        """
        for _ in range(_ATTEMPTS):
            person = self.find(user_id)
            if person is None:
                return
            newer = msgspec.structs.replace(person.credentials, generation=person.credentials.generation + 1)
            if await self.change(person, newer, cause):
                return
        raise MessagesError(409, [error("object.changed", "Others change the same objects: try again")])

    def _person(self, user: StoredObject | None) -> Person | None:
        if user is None:
            return None
        stored = self._registry.state.find(CREDENTIALS, user.id)
        if stored is None:
            return Person(user, Credentials(), 0)
        return Person(user, msgspec.convert(stored.fields, Credentials), stored.version)


def roles_of(user: StoredObject, state: RegistryState) -> dict[str, Role]:
    """Return a user's role in each company that is not HIDDEN."""
    return {company: role for company, role in granted(user.fields) if _is_visible(state, company)}


def granted(fields: Mapping[str, Any]) -> Iterable[tuple[str, Role]]:
    """Return the companies and roles that a user's fields name."""
    for given in fields.get("roles", ()):
        company = given["company"]
        yield company["id"] if isinstance(company, dict) else company, Role[given["role"]]


def _is_visible(state: RegistryState, company: str) -> bool:
    found = state.find("companies", company)
    return found is not None and found.state != "HIDDEN"


def rewritten(before: StoredObject, fields: Mapping[str, Any]) -> ObjectWrite:
    """Return the write that changes *fields* of an object, none of them a reference or unique, and nothing else."""
    return ObjectWrite(
        type=before.type,
        id=before.id,
        version=before.version,
        company=before.company,
        partners=before.partners,
        name=before.name,
        state=before.state,
        fields={**before.fields, **fields},
        unique=before.unique,
    )
