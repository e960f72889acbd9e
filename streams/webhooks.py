"""What is to be sent to webhook endpoints, as the owner of a partition knows it, and what came of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress

from streams.codec import encode_webhook_event
from streams.domain.errors import UnavailableError, ViewUnavailableError
from streams.domain.rows import Rows
from streams.domain.webhook_events import AnyWebhookEvent
from streams.engine.table import OwnedTable
from streams.erasing import Erasing
from streams.log.port import Claim, Log
from streams.topics import WEBHOOK_EVENTS


class WebhookQueues:
    """
    The partitions of the webhooks table that are this node's.

    A node sends nothing of a partition before it knows all that others have sent of it, and nothing of a version of the
    views that is not live: another node sends that of the one that is.
    """

    def __init__(self, log: Log, table: OwnedTable, is_live: Callable[[], bool], erasing: Erasing) -> None:
        """Take the log, the table, what says whether its version of the views is live, and what is being erased."""
        self._log, self._table, self._is_live, self._erasing = log, table, is_live, erasing
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

    async def erased(self) -> AbstractSet[str]:
        """Return the ids of which nothing is to be shown any more; raise `LogUnavailableError`."""
        return await self._erasing.ids()

    async def append(self, partition: int, event: AnyWebhookEvent) -> int:
        """
        Append an event; return its offset.

        Raises:
            LogUnavailableError: The outcome is unknown.
            PoisonError: The event breaks the rules of its type; nothing was written.
        """
        value = encode_webhook_event(event)
        appended = await self._log.append(WEBHOOK_EVENTS, partition, event.id.encode(), value)
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
