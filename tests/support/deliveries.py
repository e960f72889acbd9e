"""Webhook deliveries without a log: the real folds over rows in memory, and owners that tests move about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from service.webhooks.deliveries import LOOKED_AT, MOST_LISTED, Deliveries, OwnDeliveries
from service.webhooks.deliveries_everywhere import AllDeliveries
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.ids import Kind, id_text
from streams.domain.memory_rows import MemoryRows
from streams.domain.nodes import NodeSaid
from streams.domain.rows import Rows
from streams.domain.webhook_events import (
    AnyWebhookEvent,
    DeliveriesPlanned,
    DeliveryAttempted,
    Planned,
    Status,
    Target,
)
from streams.domain.webhooks import fold_webhook_event

NOW_MS = 1_796_000_000_000
CONTEXT = id_text(Kind.CONTEXT, bytes(17))


@dataclass
class QueuesFake:
    """`service.webhooks.ports.Queues`: what is appended is folded at once."""

    partitions: dict[int, MemoryRows]
    now_ms: int = NOW_MS
    log_is_away: bool = False
    is_folding: bool = True
    offset: int = 0
    appended: list[AnyWebhookEvent] = field(default_factory=list)
    being_erased: set[str] = field(default_factory=set)

    async def changed(self, limit_s: float) -> None:
        raise NotImplementedError

    def wake(self) -> None:
        raise NotImplementedError

    async def ready(self) -> list[int]:
        return sorted(self.partitions)

    def rows(self, partition: int) -> Rows:
        if partition not in self.partitions:
            raise ViewUnavailableError
        return self.partitions[partition]

    async def erased(self) -> set[str]:
        return self.being_erased

    async def append(self, partition: int, event: AnyWebhookEvent) -> int:
        if self.log_is_away:
            raise LogUnavailableError
        self.offset += 1
        self.appended.append(event)
        fold_webhook_event(self.partitions[partition], event, offset=self.offset, time_ms=self.now_ms)
        return self.offset

    async def folded(self, partition: int, offset: int, *, limit_s: float) -> None:
        _ = partition, offset, limit_s
        if not self.is_folding:
            raise ViewUnavailableError


class OwnersFake:
    """`service.webhooks.deliveries_everywhere.Owners`: partition → the name of a node, "" this one."""

    def __init__(self, owners: dict[int, str]) -> None:
        self.owners, self._partitions = owners, len(owners)

    @property
    def partitions(self) -> int:
        return self._partitions

    def is_here(self, partition: int) -> bool:
        return self.owners.get(partition) == ""

    def owner(self, partition: int) -> NodeSaid | None:
        name = self.owners.get(partition)
        return NodeSaid(name=name, url=f"http://{name}", roles=("streams",), view="v1") if name else None


class DeliveriesWorld:
    """Nodes that have some partitions each: what was planned, and what came of it."""

    def __init__(self, *nodes: Sequence[int], looked_at: int = LOOKED_AT, most: int = MOST_LISTED) -> None:
        self.nodes = [QueuesFake({partition: MemoryRows() for partition in partitions}) for partitions in nodes]
        self.own = [OwnDeliveries(queues, os.urandom, looked_at=looked_at, most=most) for queues in self.nodes]
        names = ["", *(str(number) for number in range(1, len(nodes)))]
        self.owners = OwnersFake({at: name for name, some in zip(names, nodes, strict=True) for at in some})
        self.all = AllDeliveries(self.own[0], self.owners, self.at, most=most)

    def at(self, node: NodeSaid) -> Deliveries:
        return self.own[int(node.name)]

    def queues(self, partition: int) -> QueuesFake:
        return next(queues for queues in self.nodes if partition in queues.partitions)

    async def plan(
        self,
        partition: int,
        *endpoints: str,
        at_ms: int = NOW_MS,
        event: str | None = None,
        ordered: bool = False,
        data: bytes = b"{}",
    ) -> str:
        """Have an event be planned for endpoints; return its id."""
        queues, event = self.queues(partition), event or os.urandom(16).hex()
        queues.now_ms = at_ms
        planned = Planned(
            id=event,
            source="session-events-0",
            offset=queues.offset,
            number=0,
            context=CONTEXT,
            type="context.list.item_hidden",
            created=at_ms,
            data=msgspec.Raw(data),
            targets=[Target(endpoint=endpoint, version="2024-02-16", ordered=ordered) for endpoint in endpoints],
        )
        until = {"session-events-0": (queues.offset, 0)}
        await queues.append(partition, DeliveriesPlanned(id=os.urandom(16).hex(), until=until, events=[planned]))
        return event

    async def attempt(self, partition: int, event: str, endpoint: str, outcome: Status, number: int = 1) -> None:
        """Have an attempt be noted."""
        queues = self.queues(partition)
        await queues.append(
            partition,
            DeliveryAttempted(
                id=os.urandom(16).hex(),
                event=event,
                endpoint=endpoint,
                attempt=number,
                at=queues.now_ms + 10,
                status=204 if outcome == "DELIVERED" else 503,
                duration_ms=12,
                outcome=outcome,
                again_at=queues.now_ms + 5_000 if outcome == "PENDING" else 0,
            ),
        )
