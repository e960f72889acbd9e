"""
The fence of a changelog's partition.

`InitProducerId` for the transactional id `<topic>-<partition>` raises a producer epoch; one ordinary record appended
with it makes the partition's leader refuse every later batch of an older epoch. There are no transactions, no control
records, no `read_committed`: an owner that wakes up late is refused, and nothing else changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from streams.domain.errors import FencedError, LogUnavailableError
from streams.log.kafka_appender import Appender
from streams.log.kafka_connection import KafkaConnection, ProducerId
from streams.log.kafka_lane import Stamp
from streams.log.port import CLAIM_KEY, Row

RENEWED_AFTER_S = 12 * 3600.0
"""
Brokers forget an epoch that nobody has used: a partition's leader after a day (`producer.id.expiration.ms`), the
coordinator after 7 (`transactional.id.expiration.ms`), and then the next owner would get an id that fences nobody.
"""


class KafkaClaim:
    """The right to append to one partition of a changelog, until another node claims it."""

    def __init__(
        self,
        connection: KafkaConnection,
        appender: Appender,
        topic: str,
        partition: int,
        limit_s: float,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._connection, self._appender = connection, appender
        self._topic, self._partition = topic, partition
        self._name = f"{topic}-{partition}"
        self._limit_s, self._clock_s = limit_s, clock_s
        self._stamp: Stamp
        self._since_s = 0.0
        self._void: Exception | None = None

    async def take(self) -> None:
        """Fence every earlier owner off; raises `LogUnavailableError`."""
        await self._next_epoch(None)
        number, epoch = self._stamp.producer
        await self.append([(CLAIM_KEY, b"%d,%d,%d" % (number, epoch, round(self._since_s * 1000)))])

    async def append(self, rows: Sequence[Row]) -> int:
        """
        Append *rows* as one record batch; return the offset of the first.

        Raises:
            FencedError: Another node has claimed the partition since.
            LogUnavailableError: The outcome is unknown; the claim is void, and must be taken again.
            ValueError: There are no rows, or more than one batch holds.
        """
        if not rows:
            raise ValueError(f"no rows for {self._topic}")
        if self._void is not None:
            raise type(self._void)(f"the claim of {self._name} is void") from self._void
        try:
            if self._clock_s() - self._since_s > RENEWED_AFTER_S:
                await self._next_epoch(self._stamp.producer)
            appended = await self._appender.append_stamped(self._topic, self._partition, rows, self._stamp)
        except (FencedError, LogUnavailableError) as error:
            self._void = error
            raise
        return appended.offset

    async def _next_epoch(self, current: ProducerId | None) -> None:
        since_s = self._clock_s()
        self._stamp = Stamp(await self._connection.next_epoch(self._name, current, self._limit_s))
        self._since_s = since_s
