"""The log on Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence

from aiokafka.errors import KafkaError

from streams.domain.errors import LogUnavailableError, RefusedStartError
from streams.log.kafka_appender import Appender
from streams.log.kafka_claim import KafkaClaim
from streams.log.kafka_config import KafkaConfig
from streams.log.kafka_connection import KafkaConnection, NoRightError
from streams.log.kafka_follower import KafkaFollower
from streams.log.kafka_lane import compress_fast
from streams.log.kafka_reader import KafkaReader
from streams.log.kafka_sockets import mend_connections
from streams.log.kafka_topics import KafkaTopics
from streams.log.port import COMPACT_KEY, Appended, Chunk, Claim, Record, Row
from streams.topics import TopicSpec

__all__ = ["KafkaConfig", "KafkaLog"]

_PING_LIMIT_S = 2.0
_AGAIN_S = 0.2
_SURELY_KEPT = 0.75
"""Of the time for which tombstones are kept: brokers' clocks may differ from this node's, and to read takes a while."""


class KafkaLog:
    """`streams.log.port.Log` on Kafka, with a producer of its own: idempotent, acks=all, lz4, no linger."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self._id = ""
        options = config.client_options()
        self._topics = KafkaTopics(options, config)
        self._connection = KafkaConnection(options, config.append_limit_s)
        self._appender = Appender(self._connection, config.append_limit_s)
        self._reader = KafkaReader(self._connection, config.append_limit_s)
        self._started = False

    @property
    def id(self) -> str:
        """The cluster's id."""
        return self._id

    async def start(self) -> None:
        """Connect, waiting for the brokers as long as the configuration says, then raise `RefusedStartError`."""
        compress_fast()
        mend_connections()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.config.start_limit_s
        while True:
            try:
                await self._connect()
            except NoRightError as error:
                raise RefusedStartError(
                    f"Kafka at {self.config.bootstrap} lets this node in and not do what it must: {error}. "
                    "Give it the rights that docs/operations.md names."
                ) from error
            except (KafkaError, OSError, LogUnavailableError) as error:
                if loop.time() > end:
                    config = self.config
                    raise RefusedStartError(
                        f"Kafka cannot be reached at {config.bootstrap} by {config.security_protocol}: "
                        f"{str(error) or repr(error)}. Start it, or say where it is and how to log in."
                    ) from error
                await asyncio.sleep(_AGAIN_S)
            else:
                self._started = True
                return

    async def _connect(self) -> None:
        try:
            await self._connection.start()
            self._id = await self._topics.cluster_id()
            await self._appender.start()
        except BaseException:
            await self._connection.stop()
            raise

    async def stop(self) -> None:
        """Send what is waiting, and close; who follows a partition gets `LogUnavailableError`."""
        if self._started:
            self._started = False
            self._reader.stop()
            await self._appender.stop()
            await self._connection.stop()

    def _check_started(self) -> None:
        if not self._started:
            raise LogUnavailableError("the log is not started, or stopped")

    async def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> Appended:
        """Append one record. What is called for while another append is under way goes out together."""
        self._check_started()
        return await self._appender.append(topic, partition, key, value)

    async def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> None:
        """Append *rows* in order, in as few record batches as hold them."""
        self._check_started()
        if rows:
            await self._appender.append_many(topic, partition, rows)

    async def claim(self, topic: str, partition: int) -> Claim:
        """Fence every earlier owner of the partition off and return the right to append to it."""
        self._check_started()
        claim = KafkaClaim(self._connection, self._appender, topic, partition, self.config.claim_limit_s)
        await claim.take()
        return claim

    async def start_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the first record that is still there."""
        self._check_started()
        return await self._connection.start_offset(topic, partition)

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""
        self._check_started()
        return await self._connection.end_offset(topic, partition)

    def mark(self, topic: str, partition: int) -> float:  # noqa: ARG002 - it is the same for all
        """Return the time, by a clock that is never set."""
        return time.monotonic()

    async def has_forgotten(self, topic: str, partition: int, since: int, mark: float | None) -> bool:
        """
        Say whether a tombstone from *since* on may be older than they are kept for. See `Log`.

        What was read after the mark was not compacted yet then, and brokers keep a tombstone from the time on when they
        first remove what it deletes (KIP-534).
        """
        self._check_started()
        surely_s = _SURELY_KEPT * self.config.tombstones_kept_s
        if mark is not None and time.monotonic() - mark < surely_s:
            return False
        since_ms = round((time.time() - surely_s) * 1000)
        return since < await self._connection.first_since(topic, partition, since_ms)

    def read(self, topic: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        """
        Yield the records from *start* up to, not including, *end*; without one, wait for more for ever.

        A read without an end outlives the absence of the brokers; a bounded one raises `LogUnavailableError`.
        """
        return self._reader.read(topic, partition, start, end)

    def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield the records from *start* up to, not including, *end*, in pieces so small that nothing else waits."""
        return self._reader.scan(topic, partition, start, end)

    def read_at(self, topic: str, partition: int, offsets: Sequence[int]) -> AsyncIterator[Record]:
        """Yield the records at *offsets*, all below the end, in this order; what is not there any more is left out."""
        return self._reader.read_at(topic, partition, offsets)

    def follower(self) -> KafkaFollower:
        """Return what reads many partitions at once, as they grow; it is the caller's to start and to stop."""
        return KafkaFollower(self._connection)

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records below *offset*."""
        self._check_started()
        await self._connection.delete_before(topic, partition, offset)

    async def erase(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Append tombstones for the records' keys; brokers remove both when they compact, see `KafkaConfig`."""
        await self.append_many(topic, partition, [(record.key, None) for record in records if record.key is not None])

    async def compact(self, topic: str, partition: int) -> None:
        """Have the last segment be closed if it is old enough, so that it is compacted."""
        await self.append(topic, partition, COMPACT_KEY, None)

    async def create_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Create those that are missing, with their settings; return their names."""
        return await self._topics.create(specs)

    async def delete_topics(self, names: Iterable[str]) -> list[str]:
        """Delete those of *names* that are there, with all that they hold; return them. Nobody may be using them."""
        return await self._topics.delete(names)

    async def alter_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Give topics that are there the settings of *specs*."""
        await self._topics.alter(specs)

    async def members(self, group: str) -> list[str]:
        """Return what the members of a consumer group call themselves; nothing where there is no such group."""
        return await self._topics.members(group)

    async def delete_group(self, group: str) -> None:
        """Delete a consumer group that has no members, where there is one."""
        await self._topics.delete_group(group)

    async def check_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Return a sentence for each topic that is missing or not as it should be, saying what to do."""
        return await self._topics.check(specs)

    async def ping(self) -> None:
        """Return when a broker has answered; raise `LogUnavailableError` where none does within 2 s."""
        self._check_started()
        await self._connection.ping(_PING_LIMIT_S)
