"""The log on Apache Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.log.kafka_appender import MAX_BATCH_BYTES, MAX_REQUEST_BYTES, Appender, compress_fast
from streams.log.kafka_claim import KafkaClaim, check_upstream
from streams.log.kafka_config import KafkaConfig
from streams.log.kafka_topics import KafkaTopics
from streams.log.port import Appended, Chunk, Claim, Record, Row
from streams.topics import TopicSpec

__all__ = ["KafkaConfig", "KafkaLog"]

_PING_LIMIT_S = 2.0
_FETCH_BYTES = 4 << 20
_AGAIN_S = 0.2


class KafkaLog:
    """`streams.log.port.Log` on Kafka, with a producer of its own: idempotent, acks=all, lz4, no linger."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._id = ""
        self._options = config.client_options()
        self._topics = KafkaTopics(self._options, config.replication)
        self._appender: Appender | None = None

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._id

    async def start(self) -> None:
        """Connect, waiting for the brokers as long as the configuration says, then raise `RefusedStartError`."""
        compress_fast()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._config.start_limit_s
        while True:
            appender = Appender(self._producer, self._config.append_limit_s)
            try:
                self._id = await self._topics.cluster_id()
                await appender.start()
            except (KafkaError, OSError) as error:
                await appender.stop()
                if loop.time() > end:
                    raise RefusedStartError(
                        f"Kafka cannot be reached at {self._config.bootstrap}: {error}. Start it, or say where it is."
                    ) from error
                await asyncio.sleep(_AGAIN_S)
            else:
                check_upstream(appender)
                self._appender = appender
                return

    async def stop(self) -> None:
        """Send what is waiting, and close."""
        if self._appender is not None:
            await self._appender.stop()

    @property
    def _appends(self) -> Appender:
        if self._appender is None:
            raise LogUnavailableError("the log is not started")
        return self._appender

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._options,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            compression_type="lz4",
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=round(self._config.append_limit_s * 1000),
        )

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        """Append one record. What is called for while another append is under way goes out together."""
        return await self._appends.append(topic, partition, key, value)

    async def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> None:
        """Append *rows* in order, in as few record batches as hold them."""
        if rows:
            await self._appends.append_many(topic, partition, list(rows))

    async def claim(self, topic: str, partition: int) -> Claim:
        """Fence every earlier owner of the partition off and return the right to append to it."""
        claim = KafkaClaim(self._appends, topic, partition)
        await claim.take()
        return claim

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""
        async with self._reader() as consumer:
            tp = TopicPartition(topic, partition)
            return int((await consumer.beginning_offsets([tp]))[tp])

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""
        async with self._reader() as consumer:
            tp = TopicPartition(topic, partition)
            return int((await consumer.end_offsets([tp]))[tp])

    async def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*; without one, wait for more for ever."""
        if end is not None and start >= end:
            return
        tp = TopicPartition(topic, partition)
        async with self._reader() as consumer:
            consumer.assign([tp])
            consumer.seek(tp, start)
            position = start
            while end is None or position < end:
                fetched = await consumer.getmany(tp, timeout_ms=500, max_records=5_000)
                before, position = position, await consumer.position(tp)
                records = [
                    Record(r.offset, r.timestamp, r.key, r.value)
                    for r in fetched.get(tp, ())
                    if end is None or r.offset < end
                ]
                if records or position > before:
                    yield Chunk(records, position if end is None else min(position, end))

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records below *offset*."""
        try:
            await self._topics.delete_before(topic, partition, offset)
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"{topic}-{partition} could not be trimmed: {error!r}") from error

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing, with their settings; return their names."""
        return await self._topics.create(specs)

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""
        return await self._topics.check(specs)

    async def ping(self) -> None:
        """Return when a broker has answered; raise `LogUnavailableError` where none does within 2 s."""
        try:
            async with asyncio.timeout(_PING_LIMIT_S):
                answered = await self._appends.producer.client.force_metadata_update()
        except (TimeoutError, KafkaError) as error:
            raise LogUnavailableError(f"no broker answered: {error!r}") from error
        if not answered:
            raise LogUnavailableError("no broker answered")

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer without a group, for as long as it is needed."""
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=250,
        )
        try:
            await consumer.start()
            yield consumer
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"the log cannot be read: {error!r}") from error
        finally:
            await consumer.stop()
