"""Appends to Kafka: what is called for while a batch is under way goes out as one batch after it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import DuplicateSequenceNumber, KafkaError
from aiokafka.protocol.produce import ProduceRequest

from streams.domain.errors import FencedError, LogUnavailableError, OverloadedError
from streams.log.kafka_connection import KafkaConnection, ProducerId, error_of, is_fenced
from streams.log.kafka_lane import Batch, Lane, Stamp, Waiting
from streams.log.port import MAX_BATCH_BYTES, MAX_CLAIMED_BYTES, Appended, Row, row_bytes

MAX_REQUEST_BYTES = 8 << 20
MAX_WAITING_BYTES = 64 << 20
"""What may wait for the brokers before more is refused."""
_AGAIN_S = 0.1
_EXPIRE_EVERY_S = 0.02
_ALL_IN_SYNC = -1
_LEADERS_SHARE = 0.8
"""How much of the limit a leader may wait for its followers: its answer comes before the connection is given up."""


class _Answer(NamedTuple):
    code: int
    offset: int
    time_ms: int


class Appender:
    """
    Gathers appends into record batches, one a partition and turn, and sends those of one leader as one request.

    The producer is idempotent: a batch is sent again until the leader has it, once. One that nobody waits for any
    more, as its time is over, is not sent again, and the partition's next batch begins a new epoch: from then on the
    leader refuses the old one, should it still be on its way.
    """

    def __init__(self, connection: KafkaConnection, limit_s: float) -> None:
        self._connection, self._limit_s = connection, limit_s
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._ready: dict[Lane, None] = {}
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refreshing = self._turning = self._stopped = self._closed = False
        self._waiting_bytes = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._producer: ProducerId

    async def start(self) -> None:
        """Get ready; raises `LogUnavailableError` where no broker is there."""
        self._loop = asyncio.get_running_loop()
        self._producer = await self._connection.new_producer_id()

    async def stop(self) -> None:
        """Send what is waiting, within the limit, and give the rest up."""
        if self._stopped:
            return
        self._stopped = True
        waiting = {part.done for part in self._all_waiting()}
        if waiting:
            await asyncio.wait(waiting, timeout=self._limit_s)
        self._closed = True
        for part in self._all_waiting():
            part.give_up("the log is stopped")
        if self._expiry is not None:
            self._expiry.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _all_waiting(self) -> list[Waiting]:
        return [
            part
            for lane in self._lanes.values()
            for part in (*(lane.under_way.parts if lane.under_way else ()), *lane.waiting)
        ]

    def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[Appended]:
        """Take one record; the result is where it stands, or `LogUnavailableError`."""
        row = (key, value)
        size = row_bytes(row)
        self._check(topic, size, size)
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._take(topic, partition, (Waiting((row,), size, self._loop.time(), future),))
        return future

    def append_many(self, topic: str, partition: int, rows: Sequence[Row]) -> asyncio.Future[Appended]:
        """Take *rows* in order, in as few batches as hold them; the result is there when all are acknowledged."""
        sizes = list(map(row_bytes, rows))
        self._check(topic, max(sizes), sum(sizes))
        future: asyncio.Future[Appended] = self._loop.create_future()
        since = self._loop.time()
        parts: list[Waiting] = []
        first = size = 0
        for at, row_size in enumerate(sizes):
            if size + row_size > MAX_BATCH_BYTES:
                parts.append(Waiting(rows[first:at], size, since, future, ends=False))
                first, size = at, 0
            size += row_size
        parts.append(Waiting(rows[first:], size, since, future))
        self._take(topic, partition, parts)
        return future

    def append_stamped(self, topic: str, partition: int, rows: Sequence[Row], stamp: Stamp) -> asyncio.Future[Appended]:
        """Take *rows* as one batch of another producer; the result may also be a `FencedError`."""
        sizes = list(map(row_bytes, rows))
        size = sum(sizes)
        if size > MAX_CLAIMED_BYTES:
            raise ValueError(f"{size} bytes are more than one batch of {topic} holds")
        self._check(topic, max(sizes), size)
        future: asyncio.Future[Appended] = self._loop.create_future()
        self._take(topic, partition, (Waiting(rows, size, self._loop.time(), future, stamp=stamp),))
        return future

    def _check(self, topic: str, largest: int, size: int) -> None:
        if self._stopped:
            raise LogUnavailableError("the log is stopped")
        if largest > MAX_BATCH_BYTES:
            raise ValueError(f"{largest} bytes are more than one batch of {topic} holds")
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise OverloadedError("more waits for the log than may")

    def _take(self, topic: str, partition: int, parts: Iterable[Waiting]) -> None:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(TopicPartition(topic, partition), self._producer)
        for part in parts:
            lane.waiting.append(part)
            self._waiting_bytes += part.size
        if lane.under_way is None:
            self._ready[lane] = None
            self._turn_soon()
        if self._expiry is None:
            self._expiry = self._loop.call_later(self._limit_s, self._expire)

    # Sending

    def _turn_soon(self) -> None:
        # Behind the callers that have just been woken, so that what they append next goes along.
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Send what is ready to every leader that has nothing to answer yet."""
        self._turning = False
        if self._closed:
            return
        lanes: dict[int, list[Lane]] = defaultdict(list)
        sizes: dict[int, int] = defaultdict(int)
        time_ms = time.time_ns() // 1_000_000
        for lane in list(self._ready):
            leader = self._connection.leader(lane.at)
            if leader is None:
                self._refresh_soon()
            elif leader not in self._busy and sizes[leader] < MAX_REQUEST_BYTES:
                del self._ready[lane]
                batch = self._load(lane, time_ms)
                if batch is not None:
                    lanes[leader].append(lane)
                    sizes[leader] += batch.size
        for leader, of_leader in lanes.items():
            self._busy.add(leader)
            self._own(self._send(leader, of_leader))

    def _load(self, lane: Lane, time_ms: int) -> Batch | None:
        """Return the batch that a lane is to send, None where it has none, or may not send yet."""
        if lane.under_way is not None and lane.under_way.is_forgotten:
            self._give_up(lane, lane.under_way, self._late)
            self._ready.pop(lane, None)
        if lane.is_exhausted:
            self._own(self._renew(lane))
            return None
        batch, dropped = lane.load(time_ms)
        self._waiting_bytes -= dropped
        return batch

    async def _renew(self, lane: Lane) -> None:
        """Have a lane begin again with a new producer id, its epochs being used up."""
        try:
            lane.stamp = Stamp(await self._connection.new_producer_id())
        except LogUnavailableError:
            await asyncio.sleep(_AGAIN_S)
        self._ready[lane] = None
        self._turn_soon()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refresh_soon(self) -> None:
        if not self._refreshing:
            self._refreshing = True
            self._own(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self._connection.refresh()
            if any(self._connection.leader(lane.at) is None for lane in self._ready):
                await asyncio.sleep(_AGAIN_S)
        finally:
            self._refreshing = False
            self._turn_soon()

    async def _send(self, leader: int, lanes: list[Lane]) -> None:
        """Send what is under way in *lanes* as one request, and see to each of them by the answer."""
        answers: dict[tuple[str, int], _Answer] = {}
        error: KafkaError | None = None
        try:
            answers = await self._produce(leader, lanes)
        except KafkaError as failed:
            error = failed
        finally:
            # Whatever has happened, no lane stands still.
            self._busy.discard(leader)
            again = [lane for lane in lanes if not self._settle(lane, answers.get(lane.at), error)]
            self._turn_soon()
        if again:
            self._connection.client.force_metadata_update()
            await asyncio.sleep(_AGAIN_S)
            self._ready.update(dict.fromkeys(again))
            self._turn_soon()

    async def _produce(self, leader: int, lanes: list[Lane]) -> dict[tuple[str, int], _Answer]:
        topics: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for lane in lanes:
            if lane.under_way is not None:
                topics[lane.at.topic].append((lane.at.partition, lane.under_way.content))
        request = ProduceRequest(None, _ALL_IN_SYNC, round(self._limit_s * _LEADERS_SHARE * 1000), list(topics.items()))
        response = await self._connection.client.send(leader, request)
        return {
            (topic, partition): _Answer(code, offset, time_ms)
            for topic, partitions in response.topics
            for partition, code, offset, time_ms, *_ in partitions
        }

    def _settle(self, lane: Lane, answer: _Answer | None, error: KafkaError | None) -> bool:
        """Pass an answer on to who waits; say whether the lane is done with its batch, or must send it again."""
        batch = lane.under_way
        if batch is None:
            return True
        if answer is not None:
            error = error_of(answer.code)
            if error is None and answer.offset >= 0:
                batch.acknowledge(lane.at.partition, answer.offset, answer.time_ms)
                self._leave(lane, batch)
                return True
            if is_fenced(answer.code):
                batch.fence(FencedError(f"another node has claimed {lane}"))
        if not batch.is_forgotten and error is not None and error.retriable:
            return False
        known = isinstance(error, DuplicateSequenceNumber)
        self._give_up(lane, batch, f"it is in {lane}, at an unknown offset" if known else f"{lane}: {error!r}")
        return True

    def _give_up(self, lane: Lane, batch: Batch, reason: str) -> None:
        batch.give_up(reason)
        if batch.stamp is lane.stamp:
            lane.next_epoch()
        self._leave(lane, batch)

    def _leave(self, lane: Lane, batch: Batch) -> None:
        self._waiting_bytes -= batch.size
        lane.under_way = None
        if lane.waiting:
            self._ready[lane] = None

    # Time limits

    def _expire(self) -> None:
        """
        Tell who has waited too long, and look again when the next may have.

        What had not gone out is forgotten; what is under way may still be acknowledged by the leader, to nobody.
        """
        self._expiry = None
        now = self._loop.time()
        oldest = now - self._limit_s
        first: list[float] = []
        for lane in self._lanes.values():
            for part in lane.under_way.parts if lane.under_way else ():
                if part.since > oldest:
                    first.append(part.since)
                    break
                part.give_up(self._late)
            while lane.waiting and lane.waiting[0].since <= oldest:
                part = lane.waiting.popleft()
                part.give_up(self._late)
                self._waiting_bytes -= part.size
            if lane.waiting:
                first.append(lane.waiting[0].since)
        if first:
            self._expiry = self._loop.call_at(max(now + _EXPIRE_EVERY_S, min(first) + self._limit_s), self._expire)

    @property
    def _late(self) -> str:
        return f"not acknowledged in {self._limit_s:g} s"
