"""Logs that sources are moved to: records keep the time that they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.durable import put_in_place
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaLog
from streams.log.port import Chunk, Record
from streams.moves.sources import MOVED
from streams.topics import TopicSpec

Batches = Mapping[tuple[str, int], Sequence[Record]]
"""Topic and partition → records to append, in order. Their offsets say nothing."""
_PUT_LIMIT_S = 60.0
_REQUEST_BYTES = 8 << 20


class Sink(Protocol):
    """A log that records are put into as they were. Implements `streams.log.port.Readable` too."""

    @property
    def id(self) -> str:
        """The log's own id."""

    async def begin(self, specs: Iterable[TopicSpec], *, closing: bool = False) -> None:
        """
        Make the topics of *specs*, where an earlier call has not. No node starts on them before `finish`.

        *closing* says that `finish` may have been called already, and interrupted.
        """

    async def put(self, batches: Batches) -> None:
        """Append records with the times that they have; raise `LogUnavailableError` where some may not stand there."""

    async def finish(self, specs: Iterable[TopicSpec]) -> None:
        """Have nodes start on the log from now on, which dates what they append."""

    async def close(self) -> None:
        """Let go of what was needed to append."""

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*."""


class KafkaSink:
    """
    Implements `Sink` on Kafka.

    Until it is finished, topics take the times that records bear, which no node would start on; then the log dates.
    """

    def __init__(self, log: KafkaLog) -> None:
        """Take a log that is started."""
        self._log = log
        self._producer: AIOKafkaProducer | None = None
        self.start_offset, self.end_offset, self.read = log.start_offset, log.end_offset, log.read

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._log.id

    async def begin(self, specs: Iterable[TopicSpec], *, closing: bool = False) -> None:
        """
        Make the topics, or see that those that are there take the times that records bear.

        Where the move is *closing*, some may have been altered by a `finish` that was interrupted.
        """
        specs = list(specs)
        dated = [spec._replace(log_append_time=False) if spec.name in MOVED else spec for spec in specs]
        await self._log.create_topics(dated)
        for spec, as_made in zip(specs, dated, strict=True):
            complaints = await self._log.check_topics([as_made])
            if complaints and closing:
                complaints = await self._log.check_topics([spec])
            if complaints:
                raise RefusedStartError(f"{complaints[0]} What is moved needs topics that were made by the move.")
        self._producer = AIOKafkaProducer(
            **self._log.config.client_options(),
            enable_idempotence=True,
            compression_type="lz4",
            max_request_size=_REQUEST_BYTES,
            request_timeout_ms=round(_PUT_LIMIT_S * 1000),
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            raise LogUnavailableError(f"nothing can be appended: {error!r}") from error

    async def put(self, batches: Batches) -> None:
        """Append records, each acknowledged by all replicas in sync."""
        if self._producer is None:
            raise LogUnavailableError("the move has not begun")
        try:
            async with asyncio.timeout(_PUT_LIMIT_S):
                sent = [
                    # A topic that is compacted takes no record without a key.
                    await self._producer.send(topic, one.value, one.key or b"", partition, timestamp_ms=one.time_ms)
                    for (topic, partition), records in batches.items()
                    for one in records
                ]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailableError(f"some of it may not be in the log: {error!r}. Run this again.") from error

    async def finish(self, specs: Iterable[TopicSpec]) -> None:
        """Have the brokers date what is appended from now on."""
        await self._log.alter_topics([spec for spec in specs if spec.name in MOVED])

    async def close(self) -> None:
        """Stop to append."""
        if self._producer is not None:
            await self._producer.stop()


class EmbeddedSink:
    """Implements `Sink` on an embedded log, which is in another place until it is finished, where no node looks."""

    def __init__(self, log: EmbeddedLog, directory: Path, place: Path) -> None:
        """Take a log that is started in *directory*, and the *place* that it is to be in."""
        self._log, self._directory, self._place = log, directory, place
        self._closed = False
        self.start_offset, self.end_offset, self.read = log.start_offset, log.end_offset, log.read

    @property
    def id(self) -> str:
        """The log's own id."""
        return self._log.id

    async def begin(self, specs: Iterable[TopicSpec], *, closing: bool = False) -> None:
        """Make the topics."""
        del closing
        specs = list(specs)
        await self._log.create_topics(specs)
        if complaints := await self._log.check_topics(specs):
            raise RefusedStartError(complaints[0])

    async def put(self, batches: Batches) -> None:
        """Append records; they are on the disk when this returns."""
        await asyncio.gather(*[self._log.restore(*at, records) for at, records in batches.items()])

    async def finish(self, specs: Iterable[TopicSpec]) -> None:
        """Put the log in its place. It can be used no more here."""
        del specs
        await self.close()
        await asyncio.to_thread(put_in_place, self._directory, self._place)

    async def close(self) -> None:
        """Close the log, once."""
        if not self._closed:
            self._closed = True
            await self._log.stop()
