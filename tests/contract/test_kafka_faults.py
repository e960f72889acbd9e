"""Bad days of the log on Kafka: brokers killed, frozen, too few, and what a caller sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from streams.domain.errors import LogUnavailableError, OverloadedError, RefusedStartError
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.topics import Kept, TopicSpec
from tests.contract.appending import Callers, records
from tests.contract.conftest import unique
from tests.support.kafka import Broker, Cluster

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

LIMIT_S = 1.5
LATEST_S = 5 * LIMIT_S
"""A bound on waiting, with room for a busy machine."""


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("faults") / "broker") as broker:
        yield broker


@pytest.fixture
def broker(shared_broker: Broker) -> Iterator[Broker]:
    """A broker that a test may kill and freeze, well at first."""
    if not shared_broker.is_running:
        shared_broker.start()
    yield shared_broker
    shared_broker.resume()


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Three brokers that a test may kill, well at first."""
    for broker in shared_cluster.brokers:
        if not broker.is_running:
            broker.spawn()
    for broker in shared_cluster.brokers:
        broker.wait_ready()
    return shared_cluster


@asynccontextmanager
async def opened(bootstrap: str, limit_s: float = LIMIT_S) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(KafkaConfig(bootstrap, append_limit_s=limit_s))
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def made(log: KafkaLog, kept: Kept = Kept.FOR_EVER) -> TopicSpec:
    spec = unique(kept)
    await log.create_topics([spec])
    return spec


async def started(broker: Broker) -> None:
    await asyncio.to_thread(broker.start)


async def test_topics_that_one_broker_does_not_know_yet(cluster: Cluster) -> None:
    """They are made once every broker knows them: the next question may be that one's."""
    bootstrap = ",".join(broker.bootstrap for broker in cluster.brokers)
    async with opened(bootstrap, 10) as log:
        late = cluster.brokers[-1]
        late.pause()
        try:
            making = asyncio.create_task(log.create_topics([unique()]))
            done, _ = await asyncio.wait({making}, timeout=1)
        finally:
            late.resume()
        assert not done
        await making


async def test_a_killed_broker_comes_back(broker: Broker) -> None:
    """Every append ends in time; when the broker is back they go on by themselves, and nothing is lost or twice."""
    async with opened(broker.bootstrap) as log:
        callers = Callers(log, (await made(log)).name)
        async with callers.appending():
            for _ in range(2):
                await callers.each_acknowledged(20)
                broker.kill()
                await callers.each_unknown()
                await started(broker)
            await callers.each_acknowledged(20)
        await callers.check()
        assert callers.slowest_s < LATEST_S


async def test_a_frozen_broker_goes_on(broker: Broker) -> None:
    """What was given up while it stood still is before what came later, or nowhere."""
    async with opened(broker.bootstrap) as log:
        callers = Callers(log, (await made(log)).name)
        async with callers.appending():
            for _ in range(3):
                await callers.each_acknowledged(20)
                broker.pause()
                await callers.each_unknown()
                broker.resume()
            await callers.each_acknowledged(20)
        await callers.check()
        assert callers.slowest_s < LATEST_S


async def test_claims_over_an_absence(broker: Broker) -> None:
    """A claim whose append is unknown is void; it can be taken again, and nothing of the old one comes after that."""
    async with opened(broker.bootstrap) as log:
        topic = (await made(log, Kept.COMPACTED)).name
        claim = await log.claim(topic, 0)
        await claim.append([(b"k", b"1")])
        for turn, (away, back) in enumerate([(broker.kill, broker.start), (broker.pause, broker.resume)] * 2):
            away()
            with pytest.raises(LogUnavailableError):
                await claim.append([(b"k", b"unknown %d" % turn)])
            with pytest.raises(LogUnavailableError, match="void"):
                await claim.append([(b"k", b"unknown %d" % turn)])
            taking = asyncio.create_task(log.claim(topic, 0))
            await asyncio.to_thread(back)
            claim = await taking
            end = await log.end_offset(topic, 0)
            assert await claim.append([(b"k", b"%d" % turn)]) == end
            assert [r.value for r in await records(log, topic, start=end)] == [b"%d" % turn]
        values = [r.value for r in await records(log, topic)]
        assert [v for v in values if v is not None and not v.startswith(b"unknown")] == [b"1", b"0", b"1", b"2", b"3"]


async def test_an_owner_that_wakes_up_late_is_refused(broker: Broker) -> None:
    """A batch that was on its way when another node took the partition is not in the log behind the claim."""
    async with opened(broker.bootstrap) as log, opened(broker.bootstrap) as other:
        topic = (await made(log, Kept.COMPACTED)).name
        claim = await log.claim(topic, 0)
        broker.pause()
        late = asyncio.create_task(claim.append([(b"k", b"late")]))
        taking = asyncio.create_task(other.claim(topic, 0))
        await asyncio.wait([late], timeout=LATEST_S)
        broker.resume()
        await taking
        end = await other.end_offset(topic, 0)
        assert isinstance(late.exception(), LogUnavailableError)
        assert await records(log, topic, start=end) == []


async def test_questions_end_in_time(broker: Broker) -> None:
    """While nobody answers, whatever is asked ends with `LogUnavailableError`, and is answered again afterwards."""
    async with opened(broker.bootstrap) as log:
        spec = await made(log)
        await log.append_many(spec.name, 0, [(b"k", b"v")] * 10)
        for away, back in ((broker.kill, broker.start), (broker.pause, broker.resume)):
            away()
            calls = [
                log.ping(),
                log.end_offset(spec.name, 0),
                log.start_offset(spec.name, 0),
                log.delete_before(spec.name, 0, 1),
                log.append_many(spec.name, 0, [(b"k", b"v")]),
                log.check_topics([spec]),
                log.create_topics([spec]),
                anext(log.read(spec.name, 0, 0, 5)),
            ]
            async with asyncio.timeout(3 * LATEST_S):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [LogUnavailableError] * len(calls)
            await asyncio.to_thread(back)
            async with asyncio.timeout(60):
                while not await answers(log):
                    pass
            assert await log.end_offset(spec.name, 0) >= 10
            assert await log.check_topics([spec]) == []


async def answers(log: KafkaLog) -> bool:
    try:
        await log.ping()
    except LogUnavailableError:
        return False
    return True


async def test_a_bounded_read_gives_up_and_a_follower_goes_on(broker: Broker) -> None:
    """A read that is under way ends with `LogUnavailableError` where it has an end, and outlives the absence else."""
    async with opened(broker.bootstrap) as log:
        topic = (await made(log)).name
        await log.append(topic, 0, b"k", b"0")
        followed: list[int] = []
        changed = asyncio.Event()

        async def follow() -> None:
            async for chunk in log.read(topic, 0, 0):
                followed.extend(r.offset for r in chunk.records)
                changed.set()

        async def read_to(end: int) -> None:
            async for _ in log.read(topic, 0, 0, end):
                pass

        following = asyncio.create_task(follow())
        bounded = asyncio.create_task(read_to(1_000_000))
        await asyncio.wait([bounded], timeout=3 * LIMIT_S)
        assert not bounded.done(), "what is not there yet is waited for while the broker answers"
        broker.kill()
        async with asyncio.timeout(3 * LATEST_S):
            with pytest.raises(LogUnavailableError):
                await bounded
        await started(broker)
        offset = -1
        async with asyncio.timeout(60):
            while offset < 0:
                try:
                    offset = (await log.append(topic, 0, b"k", b"1")).offset
                except LogUnavailableError:
                    continue
            while not followed or followed[-1] < offset:
                changed.clear()
                await changed.wait()
        assert followed == list(range(offset + 1))
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following


async def test_more_than_may_wait_is_refused(broker: Broker) -> None:
    """Memory is bounded: behind 64 MiB that wait, appends are refused before they are taken; those are not lost."""
    async with opened(broker.bootstrap, limit_s=60) as log:
        topic = (await made(log)).name
        await log.append(topic, 0, b"k", b"")
        broker.pause()
        value = bytes(1_000_000)
        waiting = [asyncio.create_task(log.append(topic, n % 2, b"k", value)) for n in range(67)]
        await asyncio.wait(waiting, timeout=0.1)
        with pytest.raises(OverloadedError):
            await log.append(topic, 0, b"k", value)
        with pytest.raises(OverloadedError):
            await log.append_many(topic, 1, [(b"k", value)] * 2)
        broker.resume()
        results = await asyncio.gather(*waiting)
        assert [result.offset for result in results[1::2]] == list(range(33))
        await log.append(topic, 0, b"k", value)


async def test_stopping_waits_for_what_is_under_way(broker: Broker) -> None:
    """With a broker that answers, all that was called for before `stop` is acknowledged."""
    async with opened(broker.bootstrap) as log:
        topic = (await made(log)).name
        waiting = [asyncio.create_task(log.append(topic, n % 2, b"k", b"%d" % n)) for n in range(100)]
        await asyncio.wait(waiting, timeout=0)
        await log.stop()
        assert len({await one for one in waiting}) == 100


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_stopping_ends_without_a_broker(broker: Broker, fault: str) -> None:
    """With one that does not, `stop` ends in time, whoever waits is told, and no task is left."""
    before = asyncio.all_tasks()
    async with opened(broker.bootstrap) as log:
        topic = (await made(log)).name
        await log.append(topic, 0, b"k", b"v")
        getattr(broker, fault)()
        waiting = [asyncio.create_task(log.append(topic, n % 2, b"k", b"v")) for n in range(10)]
        await asyncio.wait(waiting, timeout=0.2)
        async with asyncio.timeout(2 * LATEST_S):
            await log.stop()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LogUnavailableError] * 10
    assert asyncio.all_tasks() == before


async def test_a_start_waits_for_the_broker_and_then_refuses(broker: Broker) -> None:
    """A broker that comes late is waited for; one that does not is named, and the process says what to do."""
    broker.kill()
    log = KafkaLog(KafkaConfig(broker.bootstrap, start_limit_s=1))
    with pytest.raises(RefusedStartError, match=rf"reached at {broker.bootstrap} by PLAINTEXT: .*Start it"):
        await log.start()
    await log.stop()
    broker.spawn()
    async with opened(broker.bootstrap) as log:
        await log.ping()


async def test_one_broker_of_three_may_be_down(cluster: Cluster) -> None:
    """Topics have three copies; with a follower killed, or a leader, appends go on, and nothing is lost."""
    async with opened(cluster.bootstrap, limit_s=10) as log:
        spec = await made(log)
        assert await log.check_topics([spec]) == []
        callers = Callers(log, spec.name, partitions=1)
        async with callers.appending():
            await callers.each_acknowledged(20)
            led_by = await leader(log, spec)
            follower = next(b for b in cluster.brokers if b.node_id != led_by)
            follower.kill()
            await callers.each_acknowledged(20)
            await started(follower)
            await in_sync(log, spec)
            led_by = await leader(log, spec)
            next(b for b in cluster.brokers if b.node_id == led_by).kill()
            await callers.each_acknowledged(20)
            assert await leader(log, spec) != led_by
        await callers.check()
        assert callers.unknown == set()


async def leader(log: KafkaLog, spec: TopicSpec) -> int:
    """Return the leader of the topic's first partition; they are described in any order."""
    async with log._topics._admin() as admin:
        (described,) = await admin.describe_topics([spec.name])
    return next(int(p["leader"]) for p in described["partitions"] if p["partition"] == 0)


async def in_sync(log: KafkaLog, spec: TopicSpec) -> None:
    """Return when every copy of the topic is in sync."""
    async with asyncio.timeout(60), log._topics._admin() as admin:
        while True:
            (described,) = await admin.describe_topics([spec.name])
            if all(len(p["isr"]) == 3 for p in described["partitions"]):
                return
            await asyncio.sleep(0.1)


async def test_nothing_is_acknowledged_by_one_broker_alone(cluster: Cluster) -> None:
    """With two of three brokers away every append is unknown; when they are back, appends go on."""
    async with opened(cluster.bootstrap, limit_s=3) as log:
        callers = Callers(log, (await made(log)).name)
        async with callers.appending():
            await callers.each_acknowledged(20)
            for broker in cluster.brokers[:2]:
                broker.kill()
            await callers.each_unknown()
            acknowledged = len(callers.acknowledged)
            await callers.each_unknown()
            assert len(callers.acknowledged) == acknowledged
            for broker in cluster.brokers[:2]:
                broker.spawn()
            for broker in cluster.brokers[:2]:
                await asyncio.to_thread(broker.wait_ready)
            await callers.each_acknowledged(20)
        await callers.check()
        assert callers.slowest_s < 15


async def test_nothing_is_acknowledged_while_no_follower_has_it(cluster: Cluster) -> None:
    """Both followers stand still, and are still counted as in sync: an append that only its leader has is unknown."""
    async with opened(cluster.bootstrap, limit_s=2) as log:
        spec = await made(log)
        await log.append(spec.name, 0, b"k", b"everywhere")
        led_by = await leader(log, spec)
        followers = [broker for broker in cluster.brokers if broker.node_id != led_by]
        try:
            for follower in followers:
                follower.pause()
            with pytest.raises(LogUnavailableError):
                await log.append(spec.name, 0, b"k", b"at its leader's only")
        finally:
            for follower in followers:
                follower.resume()
        await in_sync(log, spec)
        callers = Callers(log, spec.name, partitions=1)
        async with callers.appending():
            await callers.each_acknowledged(1)
