"""What became of the events that were to be delivered: as the owner of their partitions knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from typing import NamedTuple, Protocol

import msgspec

from service.webhooks.deliveries_merged import Cell, Found, newest_first
from service.webhooks.ports import Queues
from streams.domain import webhook_rows as layout
from streams.domain.errors import LogUnavailableError, UnavailableError, ViewUnavailableError
from streams.domain.webhook_events import DeliveryResent, Status
from streams.domain.webhook_rows import Delivery

MOST_LISTED = 5_000
"""Deliveries that a list has, the newest ones."""
LOOKED_AT = 50_000
"""Rows that one node looks at for a list, the newest ones."""
_LISTS_AT_ONCE = 4
_FOLD_LIMIT_S = 4.5
_HASH_CHARS = 16
MOST_MS = 2**63 - 1


class DeliveryId(NamedTuple):
    """Which delivery. As text it is an object's id: `<partition>-<event>-<endpoint>`."""

    partition: int
    event: str
    """32 hexadecimal digits."""
    endpoint: str
    """The first 16 hexadecimal digits of a hash of the endpoint's id."""

    @property
    def text(self) -> str:
        """The id as callers know it."""
        return f"{self.partition}-{self.event}-{self.endpoint}"


def parse_delivery_id(text: str) -> DeliveryId | None:
    """Return the id that *text* is, None where it is none."""
    partition, _, rest = text.partition("-")
    event, _, endpoint = rest.partition("-")
    if not (partition.isascii() and partition.isdecimal() and len(partition) <= 5):
        return None
    found = DeliveryId(int(partition), event, endpoint)
    return found if found.text == text and _is_hex(event, 32) and _is_hex(endpoint, _HASH_CHARS) else None


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and not set(text) - set("0123456789abcdef")


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """Which deliveries a list is to have."""

    endpoints: list[str]
    """Ids of endpoints; each once."""
    status: Status | None = None
    """None: whatever it is."""
    from_ms: int = 0
    """Those that were planned no earlier."""
    to_ms: int = MOST_MS
    """And before; at least 1."""


class Listed(msgspec.Struct, frozen=True, array_like=True):
    """The deliveries of some partitions that a list is to have, newest first, `MOST_LISTED` at most."""

    found: list[tuple[int, str]]
    """When each was planned, in epoch milliseconds, and its id."""
    since_ms: int = -1
    """All that were planned after this are there, of others perhaps not all; -1: these are all."""


class FoundDelivery(msgspec.Struct, frozen=True, array_like=True):
    """One delivery."""

    id: str
    planned_ms: int
    delivery: Delivery


class Deliveries(Protocol):
    """
    Deliveries of some partitions.

    Raises:
        ViewUnavailableError: Nobody who is known can say now. Where something was to be sent again, nothing was done.
        LogUnavailableError: What was to be sent again may or may not be.
    """

    async def listed(self, partitions: Sequence[int], wanted: Wanted) -> Listed:
        """Return the deliveries that are *wanted*."""

    async def find(self, ids: Sequence[DeliveryId]) -> list[FoundDelivery | None]:
        """Return deliveries in the order of *ids*, None for what is unknown, or forgotten."""

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again, and return of how many that is so; those that are unknown are left out."""


class OwnDeliveries:
    """`Deliveries` of the partitions that are this node's."""

    def __init__(
        self,
        queues: Queues,
        entropy: Callable[[int], bytes],
        *,
        looked_at: int = LOOKED_AT,
        most: int = MOST_LISTED,
    ) -> None:
        """Take what is to be sent, randomness for the ids of events, how many rows a list looks at, and has."""
        self._queues, self._entropy, self._looked_at, self._most = queues, entropy, looked_at, most
        self._lists = asyncio.Semaphore(_LISTS_AT_ONCE)

    async def listed(self, partitions: Sequence[int], wanted: Wanted) -> Listed:
        """Return the newest of the deliveries that are *wanted*, as far as rows may be looked at."""
        cells = [Cell(partition, endpoint) for partition in partitions for endpoint in wanted.endpoints]
        rows = newest_first(self._queues.rows, cells, from_ms=wanted.from_ms, to_ms=wanted.to_ms)
        found: list[tuple[int, str]] = []
        looked_at, erased = 0, await self._erased()
        async with self._lists, aclosing(rows):
            async for one in rows:
                looked_at += 1
                is_wanted = wanted.status in (None, one.status) and not self._names(
                    erased, one.cell.partition, one.event
                )
                if looked_at > self._looked_at or (is_wanted and len(found) == self._most):
                    return Listed(found, one.planned_ms)
                if is_wanted:
                    found.append((one.planned_ms, _id(one).text))
        return Listed(found)

    async def find(self, ids: Sequence[DeliveryId]) -> list[FoundDelivery | None]:
        """Return deliveries in the order of *ids*, None for what is unknown, or forgotten."""
        erased = await self._erased()
        return [self._find(erased, one) for one in ids]

    async def _erased(self) -> AbstractSet[str]:
        try:
            return await self._queues.erased()
        except LogUnavailableError as error:
            raise ViewUnavailableError("it is not known what was erased") from error

    def _names(self, erased: AbstractSet[str], partition: int, event: str) -> bool:
        """Say whether apps are told something of what was erased."""
        told = layout.read_event(self._queues.rows(partition), event) if erased else None
        return told is not None and not erased.isdisjoint(layout.names_in(told))

    def _find(self, erased: AbstractSet[str], wanted: DeliveryId) -> FoundDelivery | None:
        rows = self._queues.rows(wanted.partition)
        event = layout.read_event(rows, wanted.event)
        if event is not None and not erased.isdisjoint(layout.names_in(event)):
            return None
        for endpoint in () if event is None else event.endpoints:
            if _short(endpoint) == wanted.endpoint:
                found = layout.read_delivery(rows, wanted.event, endpoint)
                return None if found is None else FoundDelivery(wanted.text, layout.planned_ms(found[0]), found[1])
        return None

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again in this order, and return once that is folded."""
        erased = await self._erased()
        found = [(one, there) for one in ids if (there := self._find(erased, one)) is not None]
        offsets = await asyncio.gather(
            *[
                self._queues.append(
                    one.partition,
                    DeliveryResent(id=self._entropy(16).hex(), event=one.event, endpoint=there.delivery.endpoint),
                )
                for one, there in found
            ]
        )
        last: dict[int, int] = {}
        for (one, _), offset in zip(found, offsets, strict=True):
            last[one.partition] = max(offset, last.get(one.partition, -1))
        try:
            for partition, offset in last.items():
                await self._queues.folded(partition, offset, limit_s=_FOLD_LIMIT_S)
        except UnavailableError as error:
            raise LogUnavailableError("what is to be sent again was not seen in time") from error
        return len(found)


def _id(found: Found) -> DeliveryId:
    return DeliveryId(found.cell.partition, found.event, _short(found.cell.endpoint))


def _short(endpoint: str) -> str:
    return layout.endpoint_hash(endpoint).hex()[:_HASH_CHARS]
