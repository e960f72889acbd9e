"""What is to be sent to webhook endpoints, as the owner of a partition knows it, and what came of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

from streams.codec import encode_event
from streams.domain import webhook_rows as layout
from streams.domain.errors import AbsentError, ViewUnavailableError
from streams.domain.rows import Rows
from streams.domain.webhook_events import AnyWebhookEvent
from streams.domain.webhook_rows import Delivery, Event
from streams.engine.table import OwnedTable
from streams.log.port import Claim, Log
from streams.topics import WEBHOOK_EVENTS


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

        Raises:
            LogUnavailableError: The log did not say where its events end.
        """
        numbers = sorted(self._table.partitions) if self._is_live() else []
        return [number for number in numbers if await self._is_ready(number)]

    async def _is_ready(self, number: int) -> bool:
        owned = self._table.owned(number)
        if owned is None or owned.claim is None:
            return False
        known = self._known.get(number)
        if known is None or known[0] is not owned.claim:
            known = self._known[number] = owned.claim, await self._log.end_offset(WEBHOOK_EVENTS, number)
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

    def deliveries(
        self, partition: int, endpoint: str, *, after: tuple[int, str] | None = None, limit: int
    ) -> list[tuple[int, Delivery]]:
        """
        Return deliveries of a partition to an endpoint, newest first, each with when it was planned (epoch ms).

        Args:
            partition: Which.
            endpoint: The endpoint's id.
            after: Those behind this one alone: when it was planned, and its event's id.
            limit: How many at most.

        Raises:
            ViewUnavailableError: The partition is not here, or not yet.
        """
        hashed = layout.endpoint_hash(endpoint)
        start = None if after is None else layout.delivery_key(hashed, *after) + b"\0"
        rows = self._table.rows(partition).range(layout.DELIVERY + hashed, start=start)
        return [(layout.planned_ms(key), layout.decode_delivery(value)) for key, value in islice(rows, limit)]

    def delivery(self, partition: int, event: str, endpoint: str) -> tuple[Event, Delivery]:
        """
        Return a delivery, and what is delivered.

        Raises:
            AbsentError: There is none, or it is forgotten.
            ViewUnavailableError: The partition is not here, or not yet.
        """
        rows = self._table.rows(partition)
        known, found = layout.read_event(rows, event), layout.read_delivery(rows, event, endpoint)
        if known is None or found is None:
            raise AbsentError
        return known, found[1]

    def partitions(self) -> Iterator[int]:
        """Yield the partitions of which this node can be asked."""
        return (number for number, owned in sorted(self._table.partitions.items()) if owned.served)
