"""What is to be sent to webhook endpoints, as the owner of a partition knows it, and what came of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from streams.codec import encode_event
from streams.domain import webhook_rows as layout
from streams.domain.errors import AbsentError, UnavailableError, ViewUnavailableError
from streams.domain.rows import Rows
from streams.domain.webhook_events import AnyWebhookEvent, DeliveryResent, Status
from streams.domain.webhook_ids import delivery_id, endpoint_digits, parse_delivery_id
from streams.domain.webhook_rows import Delivery
from streams.engine.table import OwnedTable
from streams.log.port import Claim, Log
from streams.topics import WEBHOOK_EVENTS

MOST_LOOKED_AT = 10_000
"""Deliveries that one page looks at, however few of them it returns."""
RESEND_LIMIT_S = 4.5


class After(NamedTuple):
    """Behind which delivery to an endpoint a page begins."""

    planned_ms: int
    event: str


class Listed(NamedTuple):
    """A delivery as people see it."""

    id: str
    planned_ms: int
    delivery: Delivery


class Found(NamedTuple):
    """A page of deliveries, and behind which one the next begins; None: there are no more."""

    deliveries: list[Listed]
    after: After | None


class WebhookQueues:
    """
    The partitions of the webhooks table that are this node's.

    A node sends nothing of a partition before it knows all that others have sent of it, and nothing of a version of the
    views that is not live: another node sends that of the one that is.
    """

    def __init__(self, log: Log, table: OwnedTable, is_live: Callable[[], bool]) -> None:
        """Take the log, the table, and what says whether its version of the views is the one that is live."""
        self._log, self._table, self._is_live = log, table, is_live
        self._known: dict[int, tuple[Claim, int]] = {}
        """Partition → the claim that it is this node's by, and where its events ended then."""
        self._changed = asyncio.Event()
        table.on_committed = self._changed.set

    def take(self, other: WebhookQueues) -> None:
        """Be about the partitions of another version of the views from now on."""
        if self._table is not other._table:
            changed = self._changed
            self._table, self._is_live, self._known = other._table, other._is_live, {}
            # What its partitions tell when rows are written: they are there already.
            self._changed = other._changed
            changed.set()

    async def changed(self, limit_s: float) -> None:
        """Return once rows were written, or somebody wakes; after *limit_s* at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Have `changed` return."""
        self._changed.set()

    async def ready(self) -> list[int]:
        """
        Return the partitions that are this node's to send, in order.

        One is left out of which the log does not say where its events end.
        """
        if not self._is_live():
            # What another version's node has sent until this one is live is to be known first.
            self._known.clear()
            return []
        return [number for number in sorted(self._table.partitions) if await self._is_ready(number)]

    async def _is_ready(self, number: int) -> bool:
        owned = self._table.owned(number)
        if owned is None or owned.claim is None:
            return False
        known = self._known.get(number)
        if known is None or known[0] is not owned.claim:
            try:
                known = self._known[number] = owned.claim, await self._log.end_offset(WEBHOOK_EVENTS, number)
            except UnavailableError:
                return False
        try:
            return self._table.position(WEBHOOK_EVENTS, number) >= known[1] - 1
        except ViewUnavailableError:
            return False

    def rows(self, partition: int) -> Rows:
        """Return a partition's rows, good until the caller waits; raise `ViewUnavailableError` where it is not here."""
        return self._table.rows(partition)

    async def append(self, partition: int, event: AnyWebhookEvent) -> int:
        """Append an event; return its offset. Raises `LogUnavailableError` where the outcome is unknown."""
        appended = await self._log.append(WEBHOOK_EVENTS, partition, event.id.encode(), encode_event(event))
        return appended.offset

    async def folded(self, partition: int, offset: int, *, limit_s: float) -> None:
        """
        Return once the event at an offset is folded here.

        Raises:
            ViewBehindError: It is not within *limit_s*.
            ViewUnavailableError: The partition went away.
        """
        await self._table.until(
            partition, b"", lambda: self._table.position(WEBHOOK_EVENTS, partition) >= offset, limit_s=limit_s
        )

    # What people ask for

    def partitions(self) -> list[int]:
        """Return the partitions of which this node can be asked, in order."""
        return [number for number, owned in sorted(self._table.partitions.items()) if owned.served]

    def deliveries(
        self, partition: int, endpoint: str, *, status: Status | None = None, after: After | None = None, limit: int
    ) -> Found:
        """
        Return deliveries of a partition to an endpoint, newest first.

        Args:
            partition: Which.
            endpoint: The endpoint's id.
            status: Only those; None: all.
            after: Those behind this one alone.
            limit: How many at most; fewer where many are looked at.

        Raises:
            ViewUnavailableError: The partition is not here, or not yet.
        """
        hashed = layout.endpoint_hash(endpoint)
        start = None if after is None else layout.delivery_key(hashed, *after) + b"\0"
        rows = self._table.rows(partition).range(layout.DELIVERY + hashed, start=start)
        found: list[Listed] = []
        last: After | None = None
        for count, (key, value) in enumerate(rows):
            if len(found) == limit or count == MOST_LOOKED_AT:
                return Found(found, last)
            delivery, planned_ms = layout.decode_delivery(value), layout.planned_ms(key)
            last = After(planned_ms, delivery.event)
            if status in (None, delivery.status):
                found.append(Listed(delivery_id(partition, delivery.event, endpoint), planned_ms, delivery))
        return Found(found, None)

    def delivery(self, id_: str) -> Listed:
        """
        Return a delivery.

        Raises:
            AbsentError: There is none, or it is forgotten.
            ViewUnavailableError: Its partition is not here, or not yet.
        """
        place = parse_delivery_id(id_)
        if place is None:
            raise AbsentError
        rows = self._table.rows(place.partition)
        told = layout.read_event(rows, place.event)
        endpoints = () if told is None else (e for e in told.endpoints if endpoint_digits(e) == place.endpoint)
        for endpoint in endpoints:
            found = layout.read_delivery(rows, place.event, endpoint)
            if found is not None:
                return Listed(id_, layout.planned_ms(found[0]), found[1])
        raise AbsentError

    async def resend(self, id_: str, event_id: str) -> Listed:
        """
        Have a delivery begin anew, and return it as it is then.

        Args:
            id_: The delivery's.
            event_id: Of the event that says so, 32 hexadecimal digits.

        Raises:
            AbsentError: There is none, or it is forgotten.
            ViewUnavailableError, LogUnavailableError, ViewBehindError: It may or may not be sent again.
        """
        found = self.delivery(id_)
        place = parse_delivery_id(id_)
        if place is None:
            raise AbsentError
        resent = DeliveryResent(id=event_id, event=place.event, endpoint=found.delivery.endpoint)
        offset = await self.append(place.partition, resent)
        await self.folded(place.partition, offset, limit_s=RESEND_LIMIT_S)
        return self.delivery(id_)
