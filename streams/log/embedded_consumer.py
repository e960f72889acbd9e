"""Faust's consumer on the embedded log: a group of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.partitioner import DefaultPartitioner
from faust.transport.consumer import Consumer
from faust.types import TP, ConsumerMessage

from streams.domain.errors import LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.embedded_partition import Partition
from streams.log.port import Chunk, Record
from streams.topics import Kept, TopicSpec

_MEMBER = "embedded"
LOG_APPEND_TIME = 1
"""The type of every record's time, as Kafka numbers it."""

OwnPositions = Callable[[set[TP]], Mapping[TP, int]]
"""Assignment → the offset to read from next, for those partitions whose reader knows it better than the group."""


class EmbeddedConsumer(Consumer):  # type: ignore[misc]
    """
    Reads the embedded log for one Faust app, which is assigned every partition of its topics.

    Set `own_positions` to have it start from the tables' own positions instead of the group's committed ones.

    Source:
        faust.transport.consumer.Consumer, faust.transport.drivers.aiokafka.Consumer.
    """

    consumer_stopped_errors: ClassVar[tuple[type[BaseException], ...]] = (LogUnavailableError,)
    own_positions: OwnPositions | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log: EmbeddedLog = self.transport.log
        self._sources: dict[TP, Partition] = {}
        """The assigned partitions."""
        self._positions: dict[TP, int] = {}
        self._watched: set[TP] = set()
        self._changed = asyncio.Event()
        self._subscribed: set[str] = set()
        self._rebalancing = asyncio.Lock()
        self._generation = 0

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Begin to rebalance where the topics are others than before; the caller must not wait for its callbacks."""
        if set(topics) != self._subscribed:
            self._subscribed = set(topics)
            self.add_future(self._rebalance(self._subscribed))

    async def _rebalance(self, topics: set[str]) -> None:
        async with self._rebalancing:
            self.app.on_rebalance_start()
            await self.on_partitions_revoked(self.assignment())
            assigned = {
                TP(topic, partition)
                for topic, partitions in _assign(self.app.assignor, _Cluster(self._log), topics)
                for partition in partitions
            }
            self._unwatch(self._watched - assigned)
            self._sources = {tp: self._log.partition(*tp) for tp in assigned}
            self._positions = {tp: self._positions.get(tp, self._sources[tp].start_offset) for tp in assigned}
            self._generation += 1
            self.app.consumer_generation_id = self._generation
            await self.on_partitions_assigned(set(assigned), self._generation)

    def assignment(self) -> set[TP]:
        """Return the assigned partitions."""
        return set(self._sources)

    def stop_flow(self) -> None:
        """Deliver nothing more, and end the fetch that is under way."""
        super().stop_flow()
        self._changed.set()

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Record]]:  # noqa: ASYNC109
        active = self.assignment() if active_partitions is None else active_partitions
        self._watch(active)
        self._changed.clear()
        fetched = await self._fetch(active)
        if not fetched:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
            fetched = await self._fetch(active)
        return fetched

    async def _fetch(self, active: set[TP]) -> dict[TP, list[Record]]:
        chunks: dict[TP, tuple[int, Chunk]] = {}
        room = self.app.conf.broker_max_poll_records or 1
        for tp in list(active):
            source, start = self._sources.get(tp), self._positions.get(tp)
            if source is None or start is None or start >= source.end_offset:
                continue
            chunk = await self._log.fetch(source, start)
            if chunk is not None:
                chunks[tp] = start, chunk
                room -= len(chunk.records)
            if room <= 0:
                break
        return {
            tp: records for tp, (start, chunk) in chunks.items() if (records := self._take(tp, active, start, chunk))
        }

    def _take(self, tp: TP, active: set[TP], start: int, chunk: Chunk) -> list[Record]:
        # Reading from disk takes a while, in which the partition may be sought elsewhere, paused or revoked.
        if not self.flow_active or tp not in active or self._positions.get(tp) != start:
            return []
        self._positions[tp] = chunk.next_offset
        if not chunk.records:
            self._changed.set()  # only holes: there may be records behind them
        return list(chunk.records)

    def _watch(self, active: set[TP]) -> None:
        if self._watched == active:
            return
        self._unwatch(self._watched - active)
        for tp in active - self._watched:
            if tp in self._sources:
                self._sources[tp].watch(self._changed)
                self._watched.add(tp)

    def _unwatch(self, partitions: Iterable[TP]) -> None:
        for tp in list(partitions):
            self._sources[tp].unwatch(self._changed)
            self._watched.discard(tp)

    def _to_message(self, tp: TP, record: Record) -> ConsumerMessage:
        key, value = record.key, record.value
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.time_ms / 1000.0,
            LOG_APPEND_TIME,
            (),
            key,
            value,
            None,
            len(key) if key else 0,
            len(value) if value else 0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the own positions where the app has such, else to the group's, else to the beginning."""
        if self.own_positions is not None:
            positions = dict(self.own_positions(self.assignment()))
        else:
            committed = await self._log.positions(self.app.conf.id)
            positions = {
                tp: committed.get(tp, source.start_offset)
                for tp, source in self._sources.items()
                if not self._is_changelog_tp(tp)
            }
        await self.seek_wait(positions)
        return positions

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek partitions to offsets, and have what is read from there delivered."""
        for tp, offset in partitions.items():
            await self._seek(tp, offset)
            if offset > 0:
                self._read_offset[tp] = offset
            else:
                self._read_offset.pop(tp, None)

    async def _seek(self, partition: TP, offset: int) -> None:
        if partition in self._sources:
            self._positions[partition] = offset
            self._changed.set()

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        mine = {tuple(tp): offset for tp, offset in offsets.items() if tp in self._sources}
        await self._log.set_positions(self.app.conf.id, mine)
        return True

    async def position(self, tp: TP) -> int | None:
        """Return the offset that is read next."""
        return self._positions.get(tp)

    def start_offset(self, tp: TP) -> int:
        """Return the offset of the first record that is still there."""
        return self._log.partition(tp.topic, tp.partition).start_offset

    def highwater(self, tp: TP) -> int:
        """Return the offset that the next record will get."""
        return self._log.partition(tp.topic, tp.partition).end_offset

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the offsets that the next records will get."""
        return {tp: self.highwater(tp) for tp in partitions}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the offsets of the first records that are still there."""
        return {tp: self.start_offset(tp) for tp in partitions}

    def topic_partitions(self, topic: str) -> int | None:
        """Return how many partitions a topic has, None where there is no such topic."""
        return self._log.partition_count(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Return *partition*, or else where *key* belongs; None where there is no such topic."""
        count = self._log.partition_count(topic)
        if count is None:
            return None
        return partition_for(key, count) if partition is None else partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:  # noqa: ARG002
        """Create a topic that is missing, where the app may declare topics."""
        if self.app.conf.topic_allow_declare:
            await declare(self._log, topic, partitions, compacting=options.get("compacting"))

    async def on_stop(self) -> None:
        """Finish what was begun; see `close`."""
        await super().on_stop()
        self.close()

    def close(self) -> None:
        """Let go of the log."""
        self._unwatch(self._watched)
        self._changed.set()


class _Cluster(NamedTuple):
    """What Faust's assignor asks of Kafka's metadata."""

    log: EmbeddedLog

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        count = self.log.partition_count(topic)
        return None if count is None else set(range(count))


def _assign(assignor: Any, cluster: _Cluster, topics: set[str]) -> Iterable[tuple[str, Iterable[int]]]:
    """Have Faust's own assignor assign everything to its only member: tables and recovery ask it what is theirs."""
    metadata = assignor.metadata(topics)
    mine: ConsumerProtocolMemberMetadata = assignor.assign(cluster, {_MEMBER: metadata})[_MEMBER]
    assignor.on_assignment(mine)
    return list(mine.assignment)


def partition_for(key: bytes | None, count: int) -> int:
    """Return where a key of Faust's own messages belongs, as Kafka's clients would."""
    partitions = list(range(count))
    return int(DefaultPartitioner()(key, partitions, partitions))


async def declare(log: EmbeddedLog, topic: str, partitions: int, *, compacting: bool | None) -> None:
    """Create a topic that Faust asks for, where it is missing."""
    kept = Kept.COMPACTED if compacting else Kept.FOR_EVER
    await log.create_topics([TopicSpec(topic, partitions, kept, log_append_time=True)])
