"""The deliveries of the whole deployment: each node is asked for those that it has, and all must answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from service.webhooks.deliveries import (
    MOST_LISTED,
    Deliveries,
    DeliveryId,
    FoundDelivery,
    Wanted,
    parse_delivery_id,
)
from streams.domain.errors import ViewUnavailableError
from streams.domain.nodes import NodeSaid

AT_ONCE = 200
"""Deliveries that one node is asked for, or to send again, at a time."""


class Owners(Protocol):
    """Which partition of the webhooks is whose."""

    @property
    def partitions(self) -> int:
        """How many there are."""

    def is_here(self, partition: int) -> bool:
        """Say whether a partition is this node's, and can be read."""

    def owner(self, partition: int) -> NodeSaid | None:
        """Return another node that answers for a partition, None where none is known."""


class Found(NamedTuple):
    """The deliveries that a list has."""

    ids: Sequence[DeliveryId]
    """Newest first, ties by id."""
    since_ms: int | None
    """None: these are all. Else all that were planned after this are there, and no others."""


class AllDeliveries:
    """Deliveries, whoever has them. Raises what `Deliveries` does."""

    def __init__(
        self, own: Deliveries | None, owners: Owners, at: Callable[[NodeSaid], Deliveries], *, most: int = MOST_LISTED
    ) -> None:
        """Take those of this node, if any, who has which, what returns another node's, and how many a list has."""
        self._own, self._owners, self._at, self._most = own, owners, at, most

    async def listed(self, wanted: Wanted) -> Found:
        """Return the newest of the deliveries that are *wanted*."""
        asked = self._by_owner(range(self._owners.partitions))
        parts = await asyncio.gather(*[there.listed(partitions, wanted) for there, partitions in asked])
        since_ms = max(part.since_ms for part in parts)
        found = sorted(
            (-planned_ms, text) for part in parts for planned_ms, text in part.found if planned_ms > since_ms
        )
        if len(found) > self._most:
            # Of those that were planned together all are left out where one is.
            since_ms = -found[self._most][0]
            found = [one for one in found if -one[0] > since_ms]
        ids = [one for _, text in found if (one := parse_delivery_id(text)) is not None]
        return Found(ids, since_ms if since_ms >= 0 else None)

    async def find(self, ids: Sequence[DeliveryId]) -> Sequence[FoundDelivery]:
        """Return deliveries in the order of *ids*; what is unknown, or forgotten, is left out."""
        there = [one for one in ids if one.partition < self._owners.partitions]
        parts = await asyncio.gather(*[owner.find(some) for owner, some in self._parts(there)])
        found = {one.id: one for part in parts for one in part if one is not None}
        return [found[one.text] for one in ids if one.text in found]

    async def resend(self, ids: Sequence[DeliveryId]) -> int:
        """Have deliveries be sent again, those of one context in this order; return of how many that is so."""
        count = 0
        for owner, some in self._parts(ids):
            count += await owner.resend(some)
        return count

    def _parts(self, ids: Sequence[DeliveryId]) -> Iterable[tuple[Deliveries, Sequence[DeliveryId]]]:
        """Yield whom to ask for which, in pieces, each owner's in the order of *ids*."""
        for owner, partitions in self._by_owner(sorted({one.partition for one in ids})):
            theirs = [one for one in ids if one.partition in partitions]
            for start in range(0, len(theirs), AT_ONCE):
                yield owner, theirs[start : start + AT_ONCE]

    def _by_owner(self, partitions: Iterable[int]) -> list[tuple[Deliveries, list[int]]]:
        """Return whom to ask for which partitions; raise `ViewUnavailableError` where nobody is known for one."""
        here: list[int] = []
        others: dict[str, tuple[Deliveries, list[int]]] = {}
        for partition in partitions:
            if self._own is not None and self._owners.is_here(partition):
                here.append(partition)
                continue
            owner = self._owners.owner(partition)
            if owner is None:
                raise ViewUnavailableError("no node is known that has all of the deliveries now")
            others.setdefault(owner.name, (self._at(owner), []))[1].append(partition)
        return [*([(self._own, here)] if self._own is not None and here else []), *others.values()]
