"""Appends to Kafka: what is called for while a batch is under way goes out as one batch after it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import aiokafka.codec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.domain.errors import LogUnavailableError, OverloadedError
from streams.log.port import Appended, Row

MAX_BATCH_BYTES = 1 << 20
MAX_REQUEST_BYTES = 8 << 20
MAX_WAITING_BYTES = 64 << 20
"""What may wait for the brokers before more is refused."""
_RECORD_BYTES = 70


class _Waiting(NamedTuple):
    key: bytes
    value: bytes | None
    since: float
    done: asyncio.Future[Appended]

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value or b"") + _RECORD_BYTES


def compress_fast() -> None:
    """
    Have aiokafka compress at lz4's level 1.

    It calls `lz4_encode` with its default, 9 (`aiokafka/codec.py:166`, `record/default_records.py:552` of 0.14.0), and
    has no setting: 13 µs a KiB, a quarter of a busy node, instead of 1.5 for batches that are smaller by a fifth.
    """
    aiokafka.codec.lz4_encode.__defaults__ = (1,)


class Lane:
    """One partition: at most one batch under way, so that order is that of the calls."""

    __slots__ = ("partition", "topic", "under_way", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.waiting: deque[_Waiting] = deque()
        self.under_way: list[_Waiting] | None = None


class Appender:
    """
    Gathers appends into record batches, one a partition and turn.

    An append that is not acknowledged in time fails: if its batch had gone out, it is still retried, by an idempotent
    producer, before anything later in its partition; if not, it is forgotten. Either way its outcome is unknown to
    the caller, and whole.
    """

    def __init__(self, make: Callable[[], AIOKafkaProducer], limit_s: float) -> None:
        self._make, self._limit_s = make, limit_s
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._ready: deque[Lane] = deque()
        self._wake = asyncio.Event()
        self._waiting_bytes = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self.producer: AIOKafkaProducer = make()
        self._broken = False

    async def start(self) -> None:
        """Connect; raises what aiokafka raises where no broker is there."""
        await self.producer.start()
        self._sending = asyncio.create_task(self._send(), name="kafka appender")

    async def stop(self) -> None:
        """Send what is waiting, within the limit, and close."""
        if self._sending is None:
            return
        waiting = [record.done for lane in self._lanes.values() for record in (*(lane.under_way or ()), *lane.waiting)]
        if waiting:
            await asyncio.wait(waiting, timeout=self._limit_s)
        self._sending.cancel()
        with suppress(asyncio.CancelledError):
            await self._sending
        if self._expiry is not None:
            self._expiry.cancel()
        await close_producer(self.producer)

    def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> asyncio.Future[Appended]:
        """Take one record; the result is where it stands, or `LogUnavailableError`."""
        loop = asyncio.get_running_loop()
        record = _Waiting(key, value, loop.time(), loop.create_future())
        if self._waiting_bytes + record.size > MAX_WAITING_BYTES:
            raise OverloadedError("more waits for the log than may")
        self._waiting_bytes += record.size
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition)
        lane.waiting.append(record)
        if lane.under_way is None and len(lane.waiting) == 1:
            self._ready.append(lane)
            self._wake.set()
        if self._expiry is None:
            self._expiry = loop.call_later(self._limit_s, self._expire)
        return record.done

    async def append_many(self, topic: str, partition: int, rows: list[Row] | tuple[Row, ...]) -> None:
        """Append *rows* in order, in as few batches as hold them; return when all are acknowledged."""
        batches = []
        builder = self.producer.create_batch()
        now_ms = time.time_ns() // 1_000_000
        for key, value in rows:
            if builder.append(key=key, value=value, timestamp=now_ms) is None:
                batches.append(builder)
                builder = self.producer.create_batch()
                if builder.append(key=key, value=value, timestamp=now_ms) is None:
                    raise ValueError(f"a record of {len(value or b'')} bytes is too large for {topic}")
        batches.append(builder)
        await self.send_batches(topic, partition, batches)

    async def send_batches(self, topic: str, partition: int, batches: list[Any], *, fenced: bool = False) -> list[Any]:
        """
        Send built batches in order and return their metadata; `LogUnavailableError` where that takes too long.

        *fenced* ones bear an id, epoch and sequence of their own: what the broker has against those is no fault of
        the producer's.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                sent = []
                for batch in batches:
                    batch.close()
                    sent.append(await self.producer.send_batch(batch, topic, partition=partition))
                _consume(sent)
                return [await asyncio.shield(future) for future in sent]
        except TimeoutError as error:
            raise LogUnavailableError(f"{topic}-{partition} was not acknowledged in {self._limit_s:g} s") from error
        except KafkaError as error:
            if not fenced:
                self._note(error)
            raise LogUnavailableError(f"{topic}-{partition}: {error!r}") from error

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._broken:
                await self._renew()
            while self._ready:
                lane = self._ready.popleft()
                if lane.waiting and lane.under_way is None:
                    await self._send_lane(lane)

    async def _send_lane(self, lane: Lane) -> None:
        taken: list[_Waiting] = []
        lane.under_way = taken
        builder = self.producer.create_batch()
        now_ms = time.time_ns() // 1_000_000
        waiting = lane.waiting
        while waiting and builder.append(key=waiting[0].key, value=waiting[0].value, timestamp=now_ms) is not None:
            taken.append(waiting.popleft())
        builder.close()
        if not taken:
            self._settle(lane, [waiting.popleft()], LogUnavailableError("a record is too large"))
            return
        try:
            sent = await self.producer.send_batch(builder, lane.topic, partition=lane.partition)
        except KafkaError as error:
            self._note(error)
            self._settle(lane, taken, LogUnavailableError(repr(error)))
            return
        sent.add_done_callback(lambda done: self._sent(lane, taken, done))

    def _sent(self, lane: Lane, taken: list[_Waiting], done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            self._settle(lane, taken, LogUnavailableError("the producer was stopped"))
            return
        error = done.exception()
        if error is not None:
            self._note(error)
            self._settle(lane, taken, LogUnavailableError(repr(error)))
            return
        metadata = done.result()
        if metadata.offset < 0:
            # A retry whose first try the broker had taken, and has forgotten where.
            self._settle(lane, taken, LogUnavailableError("it is in the log, at an offset that is not known"))
            return
        offset, time_ms, partition = metadata.offset, metadata.timestamp, lane.partition
        for n, record in enumerate(taken):
            self._waiting_bytes -= record.size
            if not record.done.done():
                record.done.set_result(Appended(partition, offset + n, time_ms))
        self._next(lane)

    def _settle(self, lane: Lane, taken: list[_Waiting], error: LogUnavailableError) -> None:
        for record in taken:
            self._waiting_bytes -= record.size
            if not record.done.done():
                record.done.set_exception(error)
        self._next(lane)

    def _next(self, lane: Lane) -> None:
        lane.under_way = None
        if lane.waiting:
            self._ready.append(lane)
            self._wake.set()

    def _expire(self) -> None:
        """
        Tell who has waited too long, and look again when the next may have.

        What had not gone out is forgotten; a batch under way is not taken back.
        """
        loop = asyncio.get_running_loop()
        self._expiry = None
        oldest = loop.time() - self._limit_s
        first: list[float] = []
        for lane in self._lanes.values():
            for record in lane.under_way or ():
                if record.since > oldest:
                    first.append(record.since)
                    break
                _give_up(record, self._limit_s)
            while lane.waiting and lane.waiting[0].since <= oldest:
                record = lane.waiting.popleft()
                self._waiting_bytes -= record.size
                _give_up(record, self._limit_s)
            if lane.waiting:
                first.append(lane.waiting[0].since)
        if first:
            self._expiry = loop.call_at(min(first) + self._limit_s, self._expire)

    def _note(self, error: BaseException) -> None:
        """An error that is not retried ends the producer's sequence in a partition: a new producer has a new one."""
        if isinstance(error, KafkaError) and not error.retriable:
            self._broken = True
            self._wake.set()

    async def _renew(self) -> None:
        old, self.producer = self.producer, self._make()
        await close_producer(old)
        while True:
            try:
                await self.producer.start()
            except KafkaError:
                await close_producer(self.producer)
                self.producer = self._make()
                await asyncio.sleep(0.2)
            else:
                self._broken = False
                return


def _give_up(record: _Waiting, limit_s: float) -> None:
    if not record.done.done():
        record.done.set_exception(LogUnavailableError(f"not acknowledged in {limit_s:g} s"))


def _consume(futures: list[asyncio.Future[Any]]) -> None:
    """Look at each future's exception when it comes, for nobody may be left who does."""
    for future in futures:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for what it has not sent."""
    producer._message_accumulator.fail_all(LogUnavailableError("the producer was stopped"))  # noqa: SLF001
    with suppress(TimeoutError, KafkaError, LogUnavailableError):
        async with asyncio.timeout(2):
            await producer.stop()
