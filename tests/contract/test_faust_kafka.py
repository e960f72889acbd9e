"""Faust's consumer on Kafka: what ours does where upstream would crash, wait, or end without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog.testing
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from faust.types import TP

from streams.engine.app import ProcessorsOnFaust
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.kafka_transport import SESSION_S, START_AGAIN_S, KafkaConsumerThread
from streams.topics import CONTEXT_EVENTS, VIEW
from tests.contract.conftest import unique
from tests.support.engine_faults import FaultyLog
from tests.support.engine_nodes import Node, die, opened_log

NOWHERE = KafkaConfig("127.0.0.1:1")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


class Coordinator:
    """What keeps a consumer in its group."""

    def __init__(self, task: asyncio.Task[None] | None = None, *, joins: bool = False) -> None:
        self._coordination_task = task
        self._performed_join_prepare = joins


class Fetcher:
    """What fetches for a consumer of aiokafka."""

    def __init__(self) -> None:
        self._fetch_task = asyncio.get_running_loop().create_future()


class Consumer:
    """A consumer of aiokafka, whose calls fail as told."""

    def __init__(self, *, failures: list[BaseException] | None = None) -> None:
        self.failures = failures or []
        self.stopped = 0
        self.committed: list[dict[tuple[str, int], int]] = []
        self._closed = False
        self._coordinator = Coordinator()
        self._fetcher = Fetcher()

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def start(self) -> None:
        self._fail()

    async def stop(self) -> None:
        self.stopped += 1

    def assignment(self) -> set[TP]:
        return {TP(CONTEXT_EVENTS, 0)}

    async def commit(self, offsets: dict[tuple[str, int], int]) -> None:
        self._fail()
        self.committed.append(offsets)


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[KafkaConsumerThread]:
    """The consumer thread of a node on a Kafka that is not there; nothing of it runs."""
    async with opened_log(tmp_path / "log") as real:
        node = Node(FaultyLog(real), tmp_path / "tables")
        faust = ProcessorsOnFaust(node.engine, view=VIEW, url="http://127.0.0.1:6066", name="test", die=die)
        faust.on_kafka(KafkaLog(NOWHERE))
        thread: KafkaConsumerThread = faust.app.consumer._thread
        own, thread.thread_loop = thread.thread_loop, asyncio.get_running_loop()
        yield thread
        own.close()


async def test_the_consumer_is_as_the_engine_needs_it(thread: KafkaConsumerThread) -> None:
    """It never commits of its own accord, waits for no fetch for long, and keeps its place in the group by its URL."""
    consumer = thread._create_worker_consumer(thread.transport)
    try:
        assert consumer._enable_auto_commit is False
        assert consumer._auto_offset_reset == "earliest"
        assert consumer._group_id == VIEW
        assert consumer._group_instance_id == "http-127.0.0.1-6066-test"
        assert consumer._session_timeout_ms == SESSION_S * 1_000
        assert consumer._max_poll_interval_ms >= 10 * 365 * 24 * 3_600_000
        assert consumer._client._bootstrap_servers == NOWHERE.bootstrap
    finally:
        await consumer.stop()


async def test_a_consumer_is_started_however_long_the_brokers_are_away(thread: KafkaConsumerThread) -> None:
    """A start that fails is tried again with a new consumer, and the old one is closed; upstream crashes."""
    made = [Consumer(failures=[KafkaConnectionError()]), Consumer(failures=[KafkaConnectionError()]), Consumer()]
    left = iter(made)
    thread._create_consumer = lambda **_: next(left)
    async with asyncio.timeout(2 * START_AGAIN_S * 5 + 5):
        await thread.on_start()
    assert [consumer.stopped for consumer in made] == [1, 1, 0]
    assert thread._consumer is made[-1]
    assert [consumer._fetcher._fetch_task.cancelled() for consumer in made] == [False, False, True]


@pytest.mark.parametrize(
    "failure", [CommitFailedError("gone"), KafkaConnectionError(), IllegalStateError("unassigned")]
)
async def test_a_commit_that_fails_is_no_crash(thread: KafkaConsumerThread, failure: Exception) -> None:
    """The group's positions are a hint to people: one that is not told is told the next time. Upstream crashes."""
    thread._consumer = Consumer(failures=[failure])
    positions = {TP(CONTEXT_EVENTS, 0): 5, TP(CONTEXT_EVENTS, 1): 7}
    assert not await thread._commit(positions)
    assert not thread.crashed
    assert await thread._commit(positions)
    assert thread._consumer.committed == [{(CONTEXT_EVENTS, 0): 5}]


async def test_who_joins_commits_nothing(thread: KafkaConsumerThread) -> None:
    """A commit that is refused meanwhile would have it join once more, and all the others with it."""
    consumer = thread._consumer = Consumer()
    consumer._coordinator = Coordinator(joins=True)
    assert not await thread._commit({TP(CONTEXT_EVENTS, 0): 5})
    assert consumer.committed == []


@pytest.mark.kafka
async def test_who_asks_stays_in_its_group(thread: KafkaConsumerThread, kafka: str) -> None:
    """Whoever asks whether it belongs to a generation that there is not hears so, and does not join anew for that."""
    spec = unique()
    log = KafkaLog(KafkaConfig(kafka))
    await log.start()
    await log.create_topics([spec])
    await log.stop()
    consumer = AIOKafkaConsumer(spec.name, bootstrap_servers=kafka, group_id=spec.name)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            while not consumer.assignment():
                await asyncio.sleep(0.05)
        thread._consumer, coordinator = consumer, consumer._coordinator
        generation = coordinator.generation
        assert await thread.is_member(generation)
        assert not await thread.is_member(generation + 1)
        coordinator.generation += 1
        assert not await thread.is_member(generation + 1)
        assert not coordinator._rejoin_needed_fut.done()
        coordinator.generation = generation
        assert await thread.is_member(generation)
    finally:
        await consumer.stop()


async def test_a_consumer_whose_coordinator_has_ended_is_dead(thread: KafkaConsumerThread) -> None:
    """Also where it ended without an error; but not one that was closed, or has not begun."""
    assert not thread.has_died
    consumer = thread._consumer = Consumer()
    assert not thread.has_died
    running = asyncio.create_task(asyncio.sleep(0))
    consumer._coordinator = Coordinator(running)
    assert not thread.has_died
    await running
    assert thread.has_died
    consumer._closed = True
    assert not thread.has_died
