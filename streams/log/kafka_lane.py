"""A partition's queue of appends, and the record batches that they become."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import aiokafka.codec
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.domain.errors import FencedError, LogUnavailableError
from streams.log.kafka_connection import ProducerId
from streams.log.port import MAX_BATCH_BYTES, Appended, Row

LAST_EPOCH = 32_767
_LZ4 = 3
_UNBOUNDED = 1 << 30


def compress_fast() -> None:
    """
    Have aiokafka compress at lz4's level 1.

    It calls `lz4_encode` with its default, 9 (`aiokafka/codec.py:166`, `record/default_records.py:552` of 0.14.0), and
    has no setting: 13 µs a KiB, a quarter of a busy node, instead of 1.5 for batches that are smaller by a fifth.
    """
    aiokafka.codec.lz4_encode.__defaults__ = (1,)


class Stamp:
    """By which a partition's leader knows a producer's batches: refused, taken already, or the next one."""

    __slots__ = ("producer", "sequence")

    def __init__(self, producer: ProducerId) -> None:
        self.producer = producer
        self.sequence = 0


class Waiting:
    """Rows that go out together, and who waits for them. A part of many shares its future with the other parts."""

    __slots__ = ("done", "ends", "rows", "since", "size", "stamp")

    def __init__(
        self,
        rows: Sequence[Row],
        size: int,
        since: float,
        done: asyncio.Future[Appended],
        *,
        ends: bool = True,
        stamp: Stamp | None = None,
    ) -> None:
        self.rows, self.size, self.since, self.done = rows, size, since, done
        self.ends = ends
        """Whether who waits has it all when this part is acknowledged."""
        self.stamp = stamp
        """Of its own, for a batch of its own."""

    def give_up(self, reason: str) -> None:
        """Tell who waits that the outcome is unknown."""
        if not self.done.done():
            self.done.set_exception(LogUnavailableError(reason))


class Batch:
    """One record batch, the same bytes however often it is sent."""

    __slots__ = ("content", "parts", "size", "stamp", "time_ms")

    def __init__(self, parts: list[Waiting], size: int, stamp: Stamp, time_ms: int) -> None:
        self.parts, self.size, self.stamp, self.time_ms = parts, size, stamp, time_ms
        builder = DefaultRecordBatchBuilder(
            2,
            _LZ4,
            is_transactional=0,
            producer_id=stamp.producer.id,
            producer_epoch=stamp.producer.epoch,
            base_sequence=stamp.sequence,
            batch_size=_UNBOUNDED,
        )
        count = 0
        for part in parts:
            for key, value in part.rows:
                builder.append(count, time_ms, key, value, [])
                count += 1
        # Kafka's sequences are 31 bits and begin again at 0.
        stamp.sequence = (stamp.sequence + count) & 0x7FFFFFFF
        self.content = builder.build()

    def acknowledge(self, partition: int, offset: int, time_ms: int) -> None:
        """Tell all who wait where the first of their rows stands."""
        if time_ms < 0:
            time_ms = self.time_ms  # the topic keeps the producer's times
        for part in self.parts:
            if part.ends and not part.done.done():
                part.done.set_result(Appended(partition, offset, time_ms))
            offset += len(part.rows)

    def give_up(self, reason: str) -> None:
        """Tell all who wait that the outcome is unknown."""
        for part in self.parts:
            part.give_up(reason)

    def fence(self, error: FencedError) -> None:
        """Tell who waits that there is a later owner, where the batch has a stamp of its own."""
        for part in self.parts:
            if part.stamp is not None and not part.done.done():
                part.done.set_exception(error)

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody waits for it any more."""
        return all(part.done.done() for part in self.parts)


class Lane:
    """One partition: at most one batch under way, so that order is that of the calls."""

    __slots__ = ("at", "stamp", "under_way", "waiting")

    def __init__(self, at: TopicPartition, producer: ProducerId) -> None:
        self.at = at
        self.stamp = Stamp(producer)
        self.waiting: deque[Waiting] = deque()
        self.under_way: Batch | None = None

    def __str__(self) -> str:
        return f"{self.at.topic}-{self.at.partition}"

    def load(self, time_ms: int) -> tuple[Batch | None, int]:
        """
        Put what waits into the batch that is under way, if none is, as much as one holds.

        Returns:
            The batch under way, None where nothing waits, and the bytes that were dropped as nobody waits for them.
        """
        dropped = 0
        if self.under_way is not None:
            return self.under_way, 0
        parts: list[Waiting] = []
        size = 0
        waiting = self.waiting
        while waiting:
            part = waiting[0]
            if part.done.done():
                dropped += waiting.popleft().size
                continue
            if parts and (size + part.size > MAX_BATCH_BYTES or part.stamp is not parts[0].stamp):
                break
            parts.append(waiting.popleft())
            size += part.size
            if part.stamp is not None:
                break
        if parts:
            self.under_way = Batch(parts, size, parts[0].stamp or self.stamp, time_ms)
        return self.under_way, dropped

    def next_epoch(self) -> None:
        """Begin a new epoch, so that what is given up and still on its way is refused if it comes late."""
        number, epoch = self.stamp.producer
        self.stamp = Stamp(ProducerId(number, epoch + 1))

    @property
    def is_exhausted(self) -> bool:
        """Whether the producer's id has no further epoch."""
        return self.stamp.producer.epoch > LAST_EPOCH
