"""Lists of webhook deliveries: of however many endpoints in however many partitions, no more is read than they need."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from service.webhooks.deliveries import MOST_LISTED, MOST_MS, DeliveryId, Wanted
from streams.domain.memory_rows import MemoryRows
from streams.domain.webhook_rows import endpoint_hash
from tests.support.deliveries import NOW_MS, DeliveriesWorld


class CountedRows(MemoryRows):
    """Knows how many rows were read."""

    read = 0

    def range(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        for row in super().range(prefix, start=start, reverse=reverse):
            self.read += 1
            yield row


async def test_what_is_older_than_a_list_is_not_read() -> None:
    """Of each endpoint one row at most, whose time says that all behind it is older."""
    world = DeliveriesWorld(range(4))
    rows = world.nodes[0].partitions[0] = CountedRows()
    for number in range(30):
        await world.plan(0, "a", "b", at_ms=NOW_MS + number)
    rows.read = 0
    assert len((await world.all.listed(Wanted(["a", "b"], from_ms=NOW_MS + 28))).ids) == 4
    assert rows.read == 6


async def test_a_list_of_many_endpoints_in_many_partitions_is_bounded() -> None:
    """It is as long as any other, however many there are, is what is newest of all, and little more of them is read."""
    partitions, endpoints = range(48), [f"endpoint-{number:03}" for number in range(100)]
    world = DeliveriesWorld(partitions)
    counted = {partition: CountedRows() for partition in partitions}
    world.nodes[0].partitions.update(counted)
    planned = []
    for number in range(3):
        for partition in partitions:
            at_ms = NOW_MS + number * len(partitions) + partition
            planned.append((at_ms, partition, await world.plan(partition, *endpoints, at_ms=at_ms)))
    for rows in counted.values():
        rows.read = 0
    listed = await world.own[0].listed(partitions, Wanted(endpoints))
    newest = planned[-(MOST_LISTED // len(endpoints)) :]
    assert listed.since_ms == planned[-(MOST_LISTED // len(endpoints)) - 1][0]
    assert sorted(listed.found) == sorted(
        (at_ms, DeliveryId(partition, event, endpoint_hash(endpoint).hex()[:16]).text)
        for at_ms, partition, event in newest
        for endpoint in endpoints
    )
    assert len(msgspec.msgpack.encode(listed)) < 1 << 20
    assert sum(rows.read for rows in counted.values()) <= len(partitions) * len(endpoints) * 4 + 4 * MOST_LISTED


async def test_what_is_planned_together_is_listed_as_a_whole() -> None:
    """Of endpoints whose deliveries interleave, each comes in the order of its own, whatever the pages."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = DeliveriesWorld([0, 2], [1, 3], most=200)
    planned = []
    for _ in range(400):
        partition, endpoint, at_ms = chance.randrange(4), chance.choice("abc"), NOW_MS + chance.randrange(300)
        planned.append((at_ms, await world.plan(partition, endpoint, at_ms=at_ms)))
    seen: list[str] = []
    to_ms = MOST_MS
    while to_ms > 0:
        found = await world.all.listed(Wanted(["a", "b", "c"], to_ms=to_ms))
        seen += [one.event for one in found.ids]
        to_ms = 0 if found.since_ms is None else found.since_ms + 1
    assert sorted(seen) == sorted(event for _, event in planned)
    times = {event: at_ms for at_ms, event in planned}
    assert [times[event] for event in seen] == sorted(times.values(), reverse=True)
