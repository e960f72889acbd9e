"""In which hour each key of a client was last used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import suppress

import structlog
from aiohttp import web

from service.api.ports import Registry
from service.api.resource import Entropy
from streams.domain.errors import LogUnavailableError
from streams.domain.registry import Applied, judge
from streams.domain.registry_events import ObjectWrite, Transaction, UniqueValue
from streams.domain.registry_state import StoredObject
from streams.domain.times import iso_ms

KEY_USES = "keyuses"
"""A type of the registry that `/api/v1` does not show: one object for each client that called, with the client's id."""
_HOUR_S = 3_600
_EVERY_S = 60.0
_AT_ONCE = 200
"""Clients in one transaction."""

Use = tuple[str, bytes]
"""A client's `clientId`, and the SHA-256 of the key that it showed."""


def use_name(key_hash: str) -> str:
    """Return the field that has the last use of a key with this SHA-256, in hexadecimal digits."""
    return key_hash[:16]


class KeyUses:
    """
    Notes the uses of keys, and once a minute writes down those that are the first of their hour.

    Whichever node sees a use writes it. What another has written for the same hour is not written again, and where both
    do at once, one of them is refused. Not in the client itself: its version and its history are of what people change.
    """

    def __init__(self, registry: Registry, now_s: Callable[[], float], entropy: Entropy) -> None:
        """Take the registry, Unix time, and randomness for the ids of transactions."""
        self._registry, self._now_s, self._entropy = registry, now_s, entropy
        self._hour_s = 0
        # Both are bounded by the keys that are good.
        self._new: set[Use] = set()
        self._known: set[Use] = set()
        """Those of this hour that are written down."""

    def note(self, use: Use) -> None:
        """Note that a key was used just now."""
        self._new.add(use)

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Write down what is noted, once a minute, while the application runs."""
        task = asyncio.create_task(self._run(), name="uses of keys")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def write(self) -> None:
        """Write down what is noted and is not known of this hour yet; what cannot be now, next time."""
        hour_s = int(self._now_s()) // _HOUR_S * _HOUR_S
        if hour_s != self._hour_s:
            self._hour_s = hour_s
            self._known.clear()
        noted, self._new = self._new - self._known, set()
        by_client: dict[str, set[Use]] = {}
        for use in noted:
            by_client.setdefault(use[0], set()).add(use)
        clients = list(by_client)
        for start in range(0, len(clients), _AT_ONCE):
            await self._write_some([by_client[client] for client in clients[start : start + _AT_ONCE]])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.write()
            except Exception:  # noqa: BLE001 - when a key was last used is no reason to stop serving
                structlog.get_logger(__name__).exception("key_uses_failed")

    async def _write_some(self, clients: Collection[set[Use]]) -> None:
        uses = set[Use]().union(*clients)
        writes = tuple(self._writes(clients))
        if writes:
            event = Transaction(id=self._entropy(16).hex(), user="service", objects=writes)
            try:
                is_done = not judge(self._registry.state, event) and isinstance(
                    await self._registry.transact(event), Applied
                )
            except LogUnavailableError:
                is_done = False
            if not is_done:
                self._new |= uses
                return
        self._known |= uses

    def _writes(self, clients: Collection[set[Use]]) -> Iterator[ObjectWrite]:
        hour = iso_ms(self._hour_s * 1_000)
        for uses in clients:
            client_id, _ = next(iter(uses))
            client = self._registry.state.holder("clients", UniqueValue("clientId", client_id))
            if client is None:
                continue
            before = self._registry.state.find(KEY_USES, client.id)
            known = {} if before is None else before.fields
            # Uses of keys that the client no longer has are forgotten.
            names = [use_name(key["hash"]) for key in client.fields["keys"]]
            seen = {use_name(digest.hex()) for _, digest in uses}.intersection(names)
            if any(known.get(name, "") < hour for name in seen):
                now = {**known, **dict.fromkeys(seen, hour)}
                fields = {name: now[name] for name in names if name in now}
                yield _write(client, before, fields)


def _write(client: StoredObject, before: StoredObject | None, fields: dict[str, str]) -> ObjectWrite:
    return ObjectWrite(
        type=KEY_USES,
        id=client.id,
        version=0 if before is None else before.version,
        company=client.company,
        fields=fields,
        keeps_past=False,
    )
