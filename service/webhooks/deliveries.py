"""What became of the events that were to be delivered: as the owner of their partitions knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice, takewhile
from typing import NamedTuple, Protocol

import msgspec

from service.webhooks.ports import Queues
from streams.domain import webhook_rows as layout
from streams.domain.errors import LogUnavailableError, UnavailableError
from streams.domain.webhook_events import DeliveryResent, Status
from streams.domain.webhook_rows import Delivery

MOST_LISTED = 5_000
"""Deliveries that a list has, the newest ones."""
LOOKED_AT, LOOKED_AT_LEAST = 50_000, 100
"""Rows that one node looks at for a list, shared by endpoints and partitions, each of which has at least so many."""
_PIECE = 500
"""Rows that are read before others have their turn."""
_CELL_ROWS = 10
"""What looking for an endpoint's rows in a partition counts for."""
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
    """The deliveries of some partitions that a list is to have, in no order."""

    found: list[tuple[int, str]]
    """When each was planned, in epoch milliseconds, and its id."""
    since_ms: int = -1
    """All that were planned after this are there; of those before perhaps not all."""


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

    def __init__(self, queues: Queues, entropy: Callable[[int], bytes], *, looked_at: int = LOOKED_AT) -> None:
        """Take what is to be sent, randomness for the ids of events, and how many rows a list looks at."""
        self._queues, self._entropy, self._looked_at = queues, entropy, looked_at
        self._lists = asyncio.Semaphore(_LISTS_AT_ONCE)

    async def listed(self, partitions: Sequence[int], wanted: Wanted) -> Listed:
        """Return the deliveries that are *wanted*, as far as rows may be looked at."""
        cells = [(partition, endpoint) for partition in partitions for endpoint in wanted.endpoints]
        most = max(LOOKED_AT_LEAST, self._looked_at // max(len(cells), 1))
        found: list[tuple[int, str]] = []
        since_ms, unrested = -1, 0
        async with self._lists:
            for partition, endpoint in cells:
                looked_at = 0
                async for planned_ms, event, status in self._rows(partition, endpoint, wanted, min(_PIECE, most + 1)):
                    looked_at += 1
                    if looked_at > most:
                        since_ms = max(since_ms, planned_ms)
                        break
                    if wanted.status in (None, status):
                        found.append((planned_ms, DeliveryId(partition, event, _short(endpoint)).text))
                unrested += looked_at + _CELL_ROWS
                if unrested >= _PIECE:
                    unrested = 0
                    await asyncio.sleep(0)
        return Listed(found, since_ms)

    async def _rows(
        self, partition: int, endpoint: str, wanted: Wanted, at_once: int
    ) -> AsyncIterator[tuple[int, str, Status]]:
        """Yield when deliveries to an endpoint were planned, their events and what became of them, newest first."""
        prefix = layout.DELIVERY + layout.endpoint_hash(endpoint)
        start: bytes | None = layout.delivery_key(layout.endpoint_hash(endpoint), wanted.to_ms - 1, "")[:-1]
        while start is not None:
            # What is read holds only until others have their turn.
            rows = self._queues.rows(partition)
            within = takewhile(lambda row: layout.planned_ms(row[0]) >= wanted.from_ms, rows.range(prefix, start=start))
            piece = list(islice(within, at_once))
            for key, value in piece:
                delivery = layout.decode_delivery(value)
                yield layout.planned_ms(key), delivery.event, delivery.status
            start = piece[-1][0] + b"\0" if len(piece) == at_once else None
            if start is not None:
                await asyncio.sleep(0)

    async def find(self, ids: Sequence[DeliveryId]) -> list[FoundDelivery | None]:
        """Return deliveries in the order of *ids*, None for what is unknown, or forgotten."""
        return [self._find(one) for one in ids]

    def _find(self, wanted: DeliveryId) -> FoundDelivery | None:
        rows = self._queues.rows(wanted.partition)
        event = layout.read_event(rows, wanted.event)
        for endpoint in () if event is None else event.endpoints:
            if _short(endpoint) == wanted.endpoint:
                found = layout.read_delivery(rows, wanted.event, endpoint)
                return None if found is None else FoundDelivery(wanted.text, layout.planned_ms(found[0]), found[1])
        return None

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again in this order, and return once that is folded."""
        found = [(one, there) for one in ids if (there := self._find(one)) is not None]
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


def _short(endpoint: str) -> str:
    return layout.endpoint_hash(endpoint).hex()[:_HASH_CHARS]
