"""
The fence of a changelog's partition.

`InitProducerId` for the transactional id `<topic>-<partition>` raises a producer epoch; one ordinary record appended
with it makes the partition's leader refuse every later batch of an older epoch. There are no transactions, no control
records, no `read_committed`: an owner that wakes up late is refused, and nothing else changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.protocol.transaction import InitProducerIdRequest

from streams.domain.errors import FencedError, LogUnavailableError, RefusedStartError
from streams.log.kafka_appender import Appender
from streams.log.port import CLAIM_KEY, Row

CLAIM_LIMIT_S = 40.0
_TRANSACTION_LIMIT_MS = 60_000
_FENCED = (ProducerFenced,)


def check_upstream(appender: Appender) -> None:
    """
    Raise `RefusedStartError` where aiokafka's inside is not as the fence needs it.

    `BatchBuilder._set_producer_state` (`aiokafka/producer/message_accumulator.py:88` of 0.14.0) is what the sender
    gives the producer's id, epoch and sequence to when a batch goes out; the fence gives its own instead.
    """
    builder = appender.producer.create_batch()
    if not hasattr(builder, "_set_producer_state") or not hasattr(builder._builder, "set_producer_state"):  # noqa: SLF001
        raise RefusedStartError("This version of aiokafka cannot fence changelogs: install the pinned one.")


class KafkaClaim:
    """The right to append to one partition of a changelog, until another node claims it."""

    def __init__(self, appender: Appender, topic: str, partition: int) -> None:
        self._appender, self._topic, self._partition = appender, topic, partition
        self._producer_id = self._epoch = -1
        self._sequence = 0
        self._dead = False

    async def take(self) -> None:
        """Fence every earlier owner off; raises `LogUnavailableError`."""
        self._producer_id, self._epoch = await self._init_producer_id()
        now_ms = time.time_ns() // 1_000_000
        await self.append([(CLAIM_KEY, b"%d,%d,%d" % (self._producer_id, self._epoch, now_ms))])

    async def append(self, rows: Sequence[Row]) -> int:
        """
        Append *rows* as one record batch; return the offset of the first.

        Raises:
            FencedError: Another node has claimed the partition since.
            LogUnavailableError: The outcome is unknown; the claim is void, and must be taken again.
            ValueError: The rows are more than one batch holds.
        """
        where = f"{self._topic}-{self._partition}"
        if self._dead:
            raise LogUnavailableError(f"the claim of {where} is void")
        batch = self._batch(rows)
        self._dead = True  # until the broker says otherwise
        try:
            (metadata,) = await self._appender.send_batches(self._topic, self._partition, [batch], fenced=True)
        except LogUnavailableError as error:
            if isinstance(error.__cause__, _FENCED):
                raise FencedError(f"another node has claimed {where}") from error
            raise
        if metadata.offset < 0:
            raise LogUnavailableError(f"the batch is in {where}, at an offset that is not known")
        self._dead = False
        return int(metadata.offset)

    def _batch(self, rows: Sequence[Row]) -> Any:
        batch = self._appender.producer.create_batch()
        now_ms = time.time_ns() // 1_000_000
        for key, value in rows:
            if batch.append(key=key, value=value, timestamp=now_ms) is None:
                raise ValueError(f"{len(rows)} rows are more than one batch of {self._topic} holds")
        inner = batch._builder  # noqa: SLF001

        def own_state(_producer_id: int, _epoch: int, _sequence: int) -> None:
            inner.set_producer_state(self._producer_id, self._epoch, self._sequence)
            self._sequence += len(rows)

        batch._set_producer_state = own_state  # noqa: SLF001
        return batch

    async def _init_producer_id(self) -> tuple[int, int]:
        """Ask the coordinator of the partition's transactional id, and no temporary producer."""
        client = self._appender.producer.client
        name = f"{self._topic}-{self._partition}"
        why: object = "no answer"
        try:
            async with asyncio.timeout(CLAIM_LIMIT_S):
                while True:
                    try:
                        node = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
                        await client.ready(node, group=ConnectionGroup.COORDINATION)
                        request = InitProducerIdRequest(name, _TRANSACTION_LIMIT_MS)
                        answer = await client.send(node, request, group=ConnectionGroup.COORDINATION)
                        if answer.error_code == 0:
                            return answer.producer_id, answer.producer_epoch
                        why = answer.error_code
                    except KafkaError as error:
                        why = error
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise LogUnavailableError(f"{name} could not be claimed: {why!r}") from error
