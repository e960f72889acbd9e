"""Callers that append all the time, and what they know of each record afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.domain.errors import LogUnavailableError
from streams.log.port import CLAIM_KEY, Appended, Log, Record

BOUND_S = 60.0


class Callers:
    """
    Each appends to one partition, one record after another, without a pause, whatever becomes of them.

    A record's key is its caller, its value a number that grows.
    """

    def __init__(self, log: Log, topic: str, *, count: int = 12, partitions: int = 2) -> None:
        self._log, self._topic, self._partitions = log, topic, partitions
        self._count = count
        self.acknowledged: dict[tuple[bytes, int], Appended] = {}
        self.unknown: set[tuple[bytes, int]] = set()
        self.slowest_s = 0.0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def appending(self) -> AsyncIterator[None]:
        """Append, until the end of the block; what is called for by then is waited for."""
        ending = asyncio.Event()
        calling = [asyncio.create_task(self._call(caller, ending)) for caller in range(self._count)]
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*calling)

    async def _call(self, caller: int, ending: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        key, number = b"caller %d" % caller, 0
        while not ending.is_set():
            number += 1
            began = loop.time()
            try:
                where = await self._log.append(self._topic, caller % self._partitions, key, b"%d" % number)
            except LogUnavailableError:
                self.unknown.add((key, number))
            else:
                self.acknowledged[key, number] = where
            self.slowest_s = max(self.slowest_s, loop.time() - began)
            self._changed.set()

    async def each_acknowledged(self, count: int) -> None:
        """Return when each caller has had *count* more records acknowledged."""
        wanted = {key: number + count for key, number in self._counts().items()}
        await self._until(lambda: all(self._counts()[key] >= number for key, number in wanted.items()))

    async def each_unknown(self) -> None:
        """Return when each caller has had a record more of which it does not know what became."""
        before = set(self.unknown)
        await self._until(lambda: len({key for key, _ in self.unknown - before}) == self._count)

    async def _until(self, condition) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        async with asyncio.timeout(BOUND_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _counts(self) -> dict[bytes, int]:
        counts = {b"caller %d" % caller: 0 for caller in range(self._count)}
        for key, _ in self.acknowledged:
            counts[key] += 1
        return counts

    async def check(self) -> None:
        """Nothing acknowledged is lost or elsewhere, nothing is there twice, each caller's records are in its order."""
        there: dict[tuple[bytes, int], tuple[int, int]] = {}
        for partition in range(self._partitions):
            last: dict[bytes, int] = {}
            for record in await records(self._log, self._topic, partition):
                assert record.key is not None
                assert record.value is not None
                number = int(record.value)
                assert number > last.get(record.key, 0), f"{record} after {last[record.key]}"
                last[record.key] = number
                there[record.key, number] = partition, record.offset
        assert {
            one: (where.partition, where.offset) for one, where in self.acknowledged.items()
        }.items() <= there.items()
        assert there.keys() <= self.acknowledged.keys() | self.unknown


async def records(log: Log, topic: str, partition: int = 0, start: int = 0) -> list[Record]:
    """Read what is there; the record that a claim leaves on Kafka is nobody's."""
    end = await log.end_offset(topic, partition)
    return [
        record
        async for chunk in log.read(topic, partition, start, end)
        for record in chunk.records
        if record.key != CLAIM_KEY
    ]
