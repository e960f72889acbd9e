"""Reads of Kafka's partitions, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiokafka.errors import CorruptRecordException

from streams.domain.errors import LogUnavailableError
from streams.log.kafka_connection import HowToFetch, KafkaConnection
from streams.log.kafka_fetch import records_in
from streams.log.port import Chunk, Record

_FETCH_BYTES = 4 << 20
_SEEK_BYTES = 4 << 10
"""Of a fetch for one record; what follows it is not wanted. One that is larger comes whole."""
_LOOK_UP_MS = 500
"""How long a read waits for records before it looks whether the log is stopped."""
_AGAIN_S = 0.2
_BOUNDED = HowToFetch(0, _FETCH_BYTES, "reader")
"""What is bounded is there, or will soon be: it shares a connection, on which nothing may wait."""
_SCAN_BYTES = 128 << 10
_SCAN = HowToFetch(0, _SCAN_BYTES, "scan")
"""A connection of its own, and so little at a time that a node which serves meanwhile stands still for 15 ms at most:
what compresses well is ten times that much."""
_ONE = HowToFetch(0, _SEEK_BYTES, "reader")


class KafkaReader:
    """
    Reads partitions.

    A bounded read raises `LogUnavailableError` where the brokers answer nothing for their limit. One without an end
    outlives their absence, however long, and goes on when they are back.
    """

    def __init__(self, connection: KafkaConnection, limit_s: float) -> None:
        """Take the connection; who looks for one record, which is there, does so for at most *limit_s*."""
        self._connection, self._limit_s = connection, limit_s
        self._stopped = False

    def stop(self) -> None:
        """Have all who read get `LogUnavailableError` soon."""
        self._stopped = True

    async def read(self, topic: str, partition: int, start: int, end: int | None) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*; without one, wait for more for ever."""
        how = _BOUNDED if end is not None else HowToFetch(_LOOK_UP_MS, _FETCH_BYTES, f"follow {topic}-{partition}")
        async for chunk in self._read(topic, partition, start, end, how):
            yield chunk

    async def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*, in small pieces."""
        async for chunk in self._read(topic, partition, start, end, _SCAN):
            yield chunk

    async def _read(
        self, topic: str, partition: int, start: int, end: int | None, how: HowToFetch
    ) -> AsyncIterator[Chunk]:
        position = start
        while end is None or position < end:
            try:
                chunk = await self._fetch(topic, partition, position, how)
            except LogUnavailableError:
                if end is not None or self._stopped:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
            if chunk.next_offset > position:
                position = chunk.next_offset
                yield chunk if end is None else _up_to(chunk, end)
            elif end is not None:
                await asyncio.sleep(_AGAIN_S)

    async def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        """Yield the records at *offsets*, all below the end, in this order; what is not there any more is left out."""
        for offset in offsets:
            record = await self._record_at(topic, partition, offset)
            if record is not None:
                yield record

    async def _record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limit_s
        while loop.time() <= end:
            chunk = await self._fetch(topic, partition, offset, _ONE)
            if chunk.records:
                return chunk.records[0] if chunk.records[0].offset == offset else None
            if chunk.next_offset > offset:
                return None
            await asyncio.sleep(_AGAIN_S)
        raise LogUnavailableError(f"the record at {offset} was not read within {self._limit_s:g} s")

    async def _fetch(self, topic: str, partition: int, position: int, how: HowToFetch) -> Chunk:
        """Return what stands at *position* and beyond, and where to read next."""
        if self._stopped:
            raise LogUnavailableError("the log is stopped")
        found = await self._connection.fetch_at(topic, partition, position, how)
        if found is None:
            # What is below the start is deleted. What is beyond the end may still come.
            start = await self._connection.start_offset(topic, partition)
            if start <= position:
                await asyncio.sleep(_AGAIN_S)
            return Chunk((), max(position, start))
        try:
            return Chunk(*records_in(found, position))
        except CorruptRecordException as error:
            raise LogUnavailableError(f"the log cannot be read: {error}") from error


def _up_to(chunk: Chunk, end: int) -> Chunk:
    if chunk.next_offset <= end:
        return chunk
    return Chunk([record for record in chunk.records if record.offset < end], end)
