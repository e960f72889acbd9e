"""API keys: made once in the portal, and good in a token's place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from service.api.auth import Caller
from service.api.people import People, rewritten, roles_of
from service.api.ports import Registry
from service.api.resource import Entropy
from streams.domain.errors import LogUnavailableError
from streams.domain.registry import judge
from streams.domain.registry_events import Transaction, UniqueValue
from streams.domain.registry_state import StoredObject
from streams.domain.times import iso_ms

API_KEYS = "apikeys"
PREFIX = "ak_"
_DAY_CHARS = len("2024-02-16")


class ApiKeys:
    """Knows whose key a key is, and notes once a day that it was used."""

    def __init__(self, registry: Registry, people: People, now_s: Callable[[], int], entropy: Entropy) -> None:
        """Take the registry, its people, Unix time, and randomness for the ids of transactions."""
        self._registry, self._people, self._now_s, self._entropy = registry, people, now_s, entropy
        # At most one attempt a day for each key, also where its use could not be written down.
        self._noted: dict[str, str] = {}

    async def caller(self, key: str) -> Caller | None:
        """Return whom an API key stands for; None where it is none, or no longer."""
        stored = self._find(key)
        person = None if stored is None else self._people.find(stored.fields["user"]["id"])
        if stored is None or person is None or not person.is_active:
            return None
        roles = roles_of(person.user, self._registry.state)
        if stored.company is not None:
            # A key is good in the company that it was made in, whatever else its user may be.
            roles = {company: role for company, role in roles.items() if company == stored.company}
        scopes = stored.fields.get("scopes")
        await self._note_use(stored)
        limits = frozenset(scopes) if scopes else None
        return Caller(person.user.id, is_super=False, roles=roles, scopes=limits, is_key=True)

    def _find(self, key: str) -> StoredObject | None:
        # A fast hash is right: nobody can guess 264 random bits. Nor does the time of a look-up by hash say anything.
        digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        stored = self._registry.state.holder(API_KEYS, UniqueValue("hash", digest))
        if stored is None or stored.state != "ACTIVE":
            return None
        expires = stored.fields.get("expires")
        return None if expires is not None and expires <= iso_ms(self._now_s() * 1_000) else stored

    async def _note_use(self, stored: StoredObject) -> None:
        now = iso_ms(self._now_s() * 1_000)
        day = now[:_DAY_CHARS]
        if day in (self._noted.get(stored.id), str(stored.fields.get("lastUsed"))[:_DAY_CHARS]):
            return
        self._noted[stored.id] = day
        transaction = Transaction(
            id=self._entropy(16).hex(), user=stored.updated_by, objects=(rewritten(stored, {"lastUsed": now}),)
        )
        if not judge(self._registry.state, transaction):
            with suppress(LogUnavailableError):
                await self._registry.transact(transaction)
