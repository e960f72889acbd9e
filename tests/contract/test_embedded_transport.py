"""Faust itself, none of it overridden, on the embedded log's transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import faust
import pytest
from faust.types import TP

from streams.log.embedded import EmbeddedLog
from streams.log.embedded_transport import EmbeddedTransport
from streams.log.port import Record
from streams.topics import Kept, TopicSpec

PARTITIONS = 3
SPECS = [
    TopicSpec("words", PARTITIONS, Kept.FOR_EVER, log_append_time=True),
    TopicSpec("app-counts-changelog", PARTITIONS, Kept.COMPACTED, log_append_time=False),
]


def die(reason: str) -> NoReturn:
    raise AssertionError(reason)


class Counter:
    """An app that counts words in a table, and remembers what its agent was given."""

    def __init__(self, log: EmbeddedLog, datadir: Path) -> None:
        self.app = app = faust.App(
            "app",
            broker="embedded://",
            store="memory://",
            datadir=datadir,
            web_enabled=False,
            topic_partitions=PARTITIONS,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=True,
            stream_recovery_delay=0.0,
            broker_commit_interval=0.05,
        )
        app.transport = app.producer_transport = EmbeddedTransport(log, app)
        words = app.topic("words", key_serializer="raw", value_serializer="raw")
        self.counts = app.Table("counts", partitions=PARTITIONS, key_type=bytes, value_type=int, default=int)
        self.seen: list[tuple[int, int]] = []
        self.delivered = asyncio.Event()

        @app.agent(words, name="count")
        async def count(stream: Any) -> None:
            async for event in stream.events():
                self.counts[event.key] += 1
                self.seen.append((event.message.partition, event.message.offset))
                self.delivered.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.delivered.clear()
                await self.delivered.wait()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(directory, die)
    await log.start()
    try:
        await log.create_topics(SPECS)
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def running(log: EmbeddedLog, datadir: Path) -> AsyncIterator[Counter]:
    counter = Counter(log, datadir)
    app = counter.app
    await app.start()
    try:
        yield counter
    finally:
        await app.stop()


async def test_an_agent_gets_every_record_once_and_in_order(tmp_path: Path) -> None:
    """What is in the log before the app starts and what is appended while it runs is delivered once, by partition."""
    async with opened(tmp_path / "log") as log:
        await log.append_many("words", 0, [(b"w%d" % (n % 5), b"") for n in range(2_500)])
        async with running(log, tmp_path / "data") as counter:
            assert counter.app.consumer.assignment() == {TP(s.name, p) for s in SPECS for p in range(PARTITIONS)}
            for n in range(300):
                await log.append("words", n % PARTITIONS, b"k", b"")
            await counter.until(lambda: len(counter.seen) >= 2_800)
            for partition, count in enumerate((2_600, 100, 100)):
                assert [o for p, o in counter.seen if p == partition] == list(range(count))


async def test_a_restarted_app_goes_on_where_it_was_and_has_its_table_back(tmp_path: Path) -> None:
    """The committed positions and the changelog carry an app over a restart with nothing else left of it."""
    async with opened(tmp_path / "log") as log:
        async with running(log, tmp_path / "data") as counter:
            for n in range(90):
                await log.append("words", n % PARTITIONS, b"word %d" % n, b"")
            await counter.until(lambda: len(counter.seen) == 90)
        assert await log.positions("app") == {("words", p): 30 for p in range(PARTITIONS)}
    async with opened(tmp_path / "log") as log, running(log, tmp_path / "other") as counter:
        await log.append("words", 0, b"word 0", b"")
        await counter.until(lambda: len(counter.seen) == 1)
        assert counter.seen == [(0, 30)]
        assert dict(counter.counts.items()) == {b"word %d" % n: 2 if n == 0 else 1 for n in range(90)}


async def test_own_positions_count_more_than_committed_ones(tmp_path: Path) -> None:
    """Where the app says what to read next, that is what is delivered next."""
    async with opened(tmp_path / "log") as log:
        await log.append_many("words", 0, [(b"w", b"") for n in range(10)])
        await log.set_positions("app", {("words", 0): 9})
        counter = Counter(log, tmp_path / "data")
        counter.app.consumer.own_positions = lambda assigned: {tp: 4 for tp in assigned if tp == TP("words", 0)}
        await counter.app.start()
        try:
            await counter.until(lambda: len(counter.seen) >= 6)
            assert counter.seen == [(0, offset) for offset in range(4, 10)]
        finally:
            await counter.app.stop()


async def test_holes_are_passed(tmp_path: Path) -> None:
    """Records behind offsets that are no longer there are delivered."""
    async with opened(tmp_path / "log") as log:
        await log.append_many("words", 0, [(b"word %d" % n, b"") for n in range(52)])
        await log.erase("words", 0, [Record(offset, 0, None, None) for offset in range(51) if offset != 49])
    async with opened(tmp_path / "log") as log, running(log, tmp_path / "data") as counter:
        await counter.until(lambda: len(counter.seen) == 2)
        assert counter.seen == [(0, 49), (0, 51)]


async def test_a_revoked_or_paused_partition_gives_nothing(tmp_path: Path) -> None:
    """A fetch gives only what is assigned and active, and nothing while the flow is stopped."""
    async with opened(tmp_path / "log") as log, running(log, tmp_path / "data") as counter:
        consumer = counter.app.consumer
        for partition in range(PARTITIONS):
            await log.append("words", partition, b"k", b"")
        await counter.until(lambda: len(counter.seen) == PARTITIONS)
        consumer.stop_flow()
        await consumer.seek_wait({TP("words", p): 0 for p in range(PARTITIONS)})
        assert await consumer._getmany({TP("words", 0)}, timeout=0.01) == {}
        consumer.flow_active = True
        one = await consumer._getmany({TP("words", 1), TP("absent", 0)}, timeout=0.01)
        assert {tp: [r.offset for r in rs] for tp, rs in one.items()} == {TP("words", 1): [0]}
        assert await consumer._getmany({TP("words", 1)}, timeout=0.01) == {}
        assert await consumer.position(TP("words", 0)) == 0


async def test_the_producer_resolves_after_the_append(tmp_path: Path) -> None:
    """A sent message's result says where it stands, by the partition that Kafka's clients would choose."""
    async with opened(tmp_path / "log") as log, running(log, tmp_path / "data") as counter:
        producer = counter.app.producer
        sent = [await producer.send("words", b"key", b"%d" % n, None, None, None) for n in range(10)]
        where = await asyncio.gather(*sent)
        partition = producer.key_partition("words", b"key").partition
        assert [(m.partition, m.offset) for m in where] == [(partition, n) for n in range(10)]
        assert await log.end_offset("words", partition) == 10
        with pytest.raises(NotImplementedError):
            await producer.send("words", b"key", b"", None, None, {"a": b"header"})
