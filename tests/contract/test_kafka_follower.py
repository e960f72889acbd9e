"""Many partitions of Kafka followed at once: what comes, in what order, and over which bad days."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Self

import pytest
import structlog.testing
from aiokafka.errors import CorruptRecordException

from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.kafka_connection import HowToFetch
from streams.log.kafka_fetch import NO_SESSION, Fetch, FetchResponseV11, FetchSession, Found, Partition, records_in
from streams.log.kafka_follower import KafkaFollower
from streams.topics import TopicSpec
from tests.contract.conftest import unique
from tests.support.kafka import Broker, Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

SILENT_S = 4.0


@pytest.fixture
async def log(kafka: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(KafkaConfig(kafka))
    await log.start()
    yield log
    await log.stop()


class Following:
    """A follower of partitions, and what it has given of each: the values, in order."""

    def __init__(self, log: KafkaLog, partitions: Iterable[Partition]) -> None:
        self.follower: KafkaFollower = log.follower()
        self.wanted = set(partitions)
        self.given: dict[Partition, list[bytes]] = {at: [] for at in self.wanted}
        self.follower.seek(dict.fromkeys(self.wanted, 0))

    async def __aenter__(self) -> Self:
        self.follower.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.follower.stop()

    async def until(self, expected: dict[Partition, list[bytes]], limit_s: float = 30.0) -> None:
        async with asyncio.timeout(limit_s):
            while any(self.given[at] != values for at, values in expected.items()):
                for at, records in (await self.follower.fetched(self.wanted, 0.5)).items():
                    self.given[at] += [record.value or b"" for record in records]


async def made(log: KafkaLog, *, topics: int = 2, partitions: int = 3) -> list[TopicSpec]:
    specs = [unique(partitions=partitions) for _ in range(topics)]
    await log.create_topics(specs)
    return specs


def all_of(specs: Iterable[TopicSpec]) -> list[Partition]:
    return [(spec.name, number) for spec in specs for number in range(spec.partitions)]


async def append(log: KafkaLog, at: Partition, *values: bytes) -> None:
    await log.append_many(*at, [(b"k", value) for value in values])


async def test_what_is_there_and_what_comes_is_given_once_in_order(log: KafkaLog) -> None:
    """Of every partition; and a fetch names only what has changed since the last one."""
    partitions = all_of(await made(log))
    expected = {at: [b"%d %d" % (number, n) for n in range(4)] for number, at in enumerate(partitions)}
    for at, values in expected.items():
        await append(log, at, *values[:2])
    async with Following(log, partitions) as following:
        await following.until({at: values[:2] for at, values in expected.items()})
        for at, values in expected.items():
            await append(log, at, values[2])
            await append(log, at, values[3])
        await following.until(expected)
        assert {following.follower.end_offset(at) for at in partitions} == {4}


async def test_a_session_names_only_what_has_changed() -> None:
    """The first fetch names everything, later ones what is new, moved or forgotten; after a refusal it begins anew."""
    session = FetchSession()
    offsets = {("a", 0): 1, ("a", 1): 2, ("b", 0): 3}

    def sent(offsets: dict[Partition, int]) -> bytes:
        return session.next_fetch(offsets, wait_ms=100, most_bytes=1_000)._encoded

    def expected(offsets: dict[Partition, int], at: tuple[int, int], *forgotten: Partition) -> bytes:
        return Fetch(offsets, wait_ms=100, most_bytes=1_000, session=at, forgotten=forgotten)._encoded

    assert sent(offsets) == expected(offsets, (0, 0))
    answer = FetchResponseV11()
    answer.error_code, answer.session, answer.found = 0, 77, []
    session.answered(answer)
    assert sent(offsets) == expected({}, (77, 1))
    session.answered(answer)
    moved = {("a", 1): 9, ("c", 0): 0}
    assert sent(moved) == expected(moved, (77, 2), ("a", 0), ("b", 0))
    answer.error_code = 70  # the broker remembers no such session
    session.answered(answer)
    assert sent(moved) == expected(moved, (77, 0))
    answer.error_code, answer.session = 0, 78
    session.answered(answer)
    assert sent(moved) == expected({}, (78, 1))
    session.broken()
    assert sent(moved) == expected(moved, (78, 0))
    answer.session = 0  # the broker has no place for another one
    session.answered(answer)
    assert sent(moved) == expected(moved, (0, 0))
    assert session.closing() is None
    answer.session = 79
    session.answered(answer)
    closing = session.closing()
    assert closing is not None
    assert closing._encoded == Fetch({}, wait_ms=0, most_bytes=0, session=(79, -1))._encoded
    assert sent(moved) == expected(moved, (0, 0))
    assert Fetch({}, wait_ms=100, most_bytes=1_000)._encoded == expected({}, NO_SESSION)


async def test_what_is_sought_is_read_again_and_what_was_fetched_is_not_given(log: KafkaLog) -> None:
    """A seek wins over a fetch under way, in both directions."""
    partitions = all_of(await made(log, topics=1, partitions=2))
    first = partitions[0]
    for at in partitions:
        await append(log, at, b"0", b"1", b"2")
    async with Following(log, partitions) as following:
        await following.until({at: [b"0", b"1", b"2"] for at in partitions})
        following.follower.seek({first: 1})
        await following.until({first: [b"0", b"1", b"2", b"1", b"2"]})
        following.follower.seek({first: 5})
        await append(log, first, b"3", b"4", b"5")
        await following.until({first: [b"0", b"1", b"2", b"1", b"2", b"5"]})


async def test_what_was_known_of_an_end_is_not_known_after_a_seek(log: KafkaLog) -> None:
    """It may be from long ago: whoever was not following meanwhile must not take itself for being at the end."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    await append(log, at, b"0", b"1")
    async with Following(log, [at]) as following:
        await following.until({at: [b"0", b"1"]})
        assert following.follower.end_offset(at) == 2
        following.follower.seek({at: 2})
        assert following.follower.end_offset(at) is None
        await append(log, at, b"2")
        await following.until({at: [b"0", b"1", b"2"]})
        assert following.follower.end_offset(at) == 3


async def test_the_end_is_told_anew_after_a_seek_to_it(log: KafkaLog) -> None:
    """Also where nothing is appended any more; and what is known of the others, and the session, stays what it is."""
    sought, other = all_of(await made(log, topics=1, partitions=2))
    for at in (sought, other):
        await append(log, at, b"0", b"1")
    async with Following(log, [sought, other]) as following:
        follower = following.follower
        await following.until({at: [b"0", b"1"] for at in (sought, other)})
        for offset in (2, 1, 2):
            follower.seek({sought: offset})
            assert (follower.end_offset(sought), follower.end_offset(other)) == (None, 2)
            async with asyncio.timeout(10):
                while follower.end_offset(sought) is None:
                    await follower.fetched(following.wanted, 0.1)
            assert (follower.end_offset(sought), follower.end_offset(other)) == (2, 2)
        (session,) = follower._sessions.values()
        session_id, epoch = session._id, session._epoch
        async with asyncio.timeout(10):
            while session._epoch < epoch + 3:
                await follower.fetched(following.wanted, 0.1)
        assert session._id == session_id


async def test_what_is_given_up_is_closed_at_the_broker(log: KafkaLog) -> None:
    """It has places for a thousand sessions, and would keep this one for minutes."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    async with Following(log, [at]) as following:
        await append(log, at, b"0")
        await following.until({at: [b"0"]})
        ((source, session),) = following.follower._sessions.items()
        again = Fetch({}, wait_ms=0, most_bytes=0, session=(session._id, session._epoch))
    assert session.closing() is None
    answer = await log._connection.fetch(source[0], again, "test")
    assert answer.error_code == 70


async def test_a_seek_of_what_was_not_taken_stops_nothing(log: KafkaLog) -> None:
    """While something fetched is not taken, nothing is fetched; what a seek forgets needs no taking."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    await append(log, at, b"0")
    async with Following(log, [at]) as following:
        follower = following.follower
        await follower.fetched(set(), 0.01)
        follower._wanted = frozenset([at])
        follower._changed.set()
        async with asyncio.timeout(20):
            while not follower._fetched:
                await asyncio.sleep(0.01)
        follower.seek({at: 0})
        began = asyncio.get_running_loop().time()
        assert await follower.fetched([at], 10.0)
        assert asyncio.get_running_loop().time() - began < 5


async def test_what_is_not_wanted_now_is_given_when_it_is(log: KafkaLog) -> None:
    """A partition that is left out is forgotten by the session, and read on from where it was."""
    first, second = all_of(await made(log, topics=1, partitions=2))
    async with Following(log, [first, second]) as following:
        await append(log, first, b"0")
        await following.until({first: [b"0"]})
        following.wanted = {second}
        await following.follower.fetched(following.wanted, 0.3)
        await append(log, first, b"1")
        await append(log, second, b"0")
        await following.until({first: [b"0"], second: [b"0"]})
        following.wanted = {first, second}
        await following.until({first: [b"0", b"1"], second: [b"0"]})


async def test_what_is_deleted_is_passed(log: KafkaLog) -> None:
    """Below the start of a partition nothing will ever be: it is read on from there."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    await append(log, at, b"0", b"1", b"2")
    await log.delete_before(*at, 2)
    with structlog.testing.capture_logs():
        async with Following(log, [at]) as following:
            await following.until({at: [b"2"]})


async def test_a_start_is_told_that_moves(log: KafkaLog) -> None:
    """Also where nothing else happens to the partition, and where it has no record left."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    await append(log, at, b"0", b"1", b"2")
    async with Following(log, [at]) as following:
        follower = following.follower
        assert follower.start_offset(at) == 0
        await following.until({at: [b"0", b"1", b"2"]})
        for start in (2, 3):
            await log.delete_before(*at, start)
            async with asyncio.timeout(10):
                while follower.start_offset(at) < start:
                    await follower.fetched(following.wanted, 0.1)
            assert (follower.start_offset(at), follower.end_offset(at)) == (start, 3)


async def test_much_at_once_comes_in_bounded_answers(log: KafkaLog) -> None:
    """Records of several megabytes, in partitions that all have some, are all given."""
    partitions = all_of(await made(log, topics=1, partitions=3))
    values = [b"%d" % n + bytes(200_000) for n in range(12)]
    for at in partitions:
        for value in values:
            await append(log, at, value)
    async with Following(log, partitions) as following:
        await following.until(dict.fromkeys(partitions, values))


async def test_a_broker_that_remembers_nobody_is_asked_for_everything_each_time(tmp_path: Path) -> None:
    """Without a place in its cache there is no session, and still every record comes, once; until it is gone itself."""
    broker = Broker(tmp_path / "broker", settings={"max.incremental.fetch.session.cache.slots": 0})
    broker.start()
    log = KafkaLog(KafkaConfig(broker.bootstrap))
    try:
        await log.start()
        partitions = all_of(await made(log))
        async with Following(log, partitions) as following:
            for n in range(3):
                for at in partitions:
                    await append(log, at, b"%d" % n)
            await following.until({at: [b"0", b"1", b"2"] for at in partitions})
            follower = following.follower
            assert follower.silent_s(("unknown", 0)) == math.inf
            assert max(follower.silent_s(at) for at in partitions) < SILENT_S / 2
            broker.kill()
            with structlog.testing.capture_logs():
                async with asyncio.timeout(20):
                    while min(follower.silent_s(at) for at in partitions) < SILENT_S:
                        await follower.fetched(following.wanted, 0.1)
            assert all(follower.end_offset(at) == 3 for at in partitions)
    finally:
        await log.stop()
        broker.stop()


async def test_brokers_that_end_and_come_back_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """A leader that is killed has successors, a broker that is new no sessions: every record comes, once."""
    cluster = Cluster(tmp_path / "cluster")
    cluster.start()
    log = KafkaLog(KafkaConfig(cluster.bootstrap, append_limit_s=20))
    try:
        await log.start()
        partitions = all_of(await made(log))
        expected: dict[Partition, list[bytes]] = {at: [] for at in partitions}
        with structlog.testing.capture_logs():
            async with Following(log, partitions) as following:
                for broker in cluster.brokers[:2]:
                    for n in range(5):
                        if n == 2:
                            broker.kill()
                        for at, values in expected.items():
                            values.append(b"%d" % len(values))
                            await append(log, at, values[-1])
                    await following.until(expected, 60)
                    broker.spawn()
                    broker.wait_ready()
    finally:
        await log.stop()
        cluster.stop()


async def test_a_batch_that_is_damaged_is_an_error(log: KafkaLog) -> None:
    """What was written is not what comes back: nothing of it is given, and whoever reads is told."""
    (at,) = all_of(await made(log, topics=1, partitions=1))
    await append(log, at, b"value")
    found = await log._connection.fetch_at(*at, 0, HowToFetch(0, 1_000, "test"))
    assert found is not None
    records, following = records_in(found, 0)
    assert ([record.value for record in records], following) == ([b"value"], 1)
    damaged = bytearray(found.batches)
    damaged[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        records_in(Found(at, 0, 0, 1, bytes(damaged)), 0)
