"""What only the log on Kafka has: settings of topics, epochs, and brokers that forget them."""

from __future__ import annotations

import asyncio
import random
import re
import shlex
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import NewTopic

from streams.domain.errors import FencedError, LogUnavailableError, RefusedStartError
from streams.log import kafka as kafka_log
from streams.log import kafka_appender
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.kafka_claim import RENEWED_AFTER_S, KafkaClaim
from streams.log.kafka_connection import ProducerId
from streams.log.kafka_lane import LAST_EPOCH, Stamp
from streams.log.kafka_topics import settings_of
from streams.topics import Kept, TopicSpec, topic_specs
from tests.contract.appending import records
from tests.contract.conftest import unique
from tests.support.kafka import Broker
from tests.support.kafka_start import java

pytestmark = pytest.mark.kafka
CONFIG = KafkaConfig("")
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture
async def log(kafka: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(KafkaConfig(kafka))
    await log.start()
    yield log
    await log.stop()


async def create(log: KafkaLog, spec: TopicSpec, **settings: str) -> None:
    """Create a topic as somebody else would."""
    async with log._topics._admin() as admin:
        changed = {name.replace("_", "."): value for name, value in settings.items()}
        await admin.create_topics(
            [NewTopic(spec.name, spec.partitions, 1, topic_configs={**settings_of(spec, 1, CONFIG), **changed})]
        )
        await log._topics._known(admin, [spec])


class Clock:
    def __init__(self) -> None:
        self.s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.s


async def claimed(log: KafkaLog, topic: str, clock: Clock) -> KafkaClaim:
    claim = KafkaClaim(log._connection, log._appender, topic, 0, 15, clock)
    await claim.take()
    return claim


async def test_a_node_whose_clock_steps_dates_nothing(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour ahead, then an hour behind: times are the broker's, and stand in the order of the offsets."""
    spec = unique(partitions=1)
    await log.create_topics([spec])
    results = []
    for step_s in (0, 3_600, -3_600, 0):
        now_ns = time.time_ns() + step_s * 1_000_000_000
        monkeypatch.setattr(kafka_appender, "time", SimpleNamespace(time_ns=lambda now_ns=now_ns: now_ns))
        results.append(await log.append(spec.name, 0, b"k", b"v"))
    times = [record.time_ms for record in await records(log, spec.name)]
    assert [result.time_ms for result in results] == times == sorted(times)
    assert times[-1] - times[0] < 60_000


@pytest.mark.parametrize(
    ("kept", "setting", "value"),
    [
        (Kept.FOR_EVER, "retention_ms", "604800000"),
        (Kept.FOR_EVER, "retention_bytes", "1000000000"),
        (Kept.FOR_EVER, "cleanup_policy", "compact"),
        (Kept.FOR_EVER, "message_timestamp_type", "CreateTime"),
        (Kept.FOR_EVER, "max_message_bytes", "1000000"),
        (Kept.UNTIL_FOLDED, "retention_ms", "604800000"),
        (Kept.COMPACTED, "cleanup_policy", "delete"),
        (Kept.COMPACTED, "max_message_bytes", "4194304"),
        (Kept.COMPACTED, "delete_retention_ms", "1000"),
        (Kept.COMPACTED, "delete_retention_ms", "604800000"),
        (Kept.DAYS_30, "retention_ms", "1000"),
    ],
)
async def test_a_setting_that_would_lose_something_is_named(
    log: KafkaLog, kept: Kept, setting: str, value: str
) -> None:
    """Whoever created the topic, the check says which setting is wrong, what it should be, and what to do."""
    spec = unique(kept)
    await create(log, spec, **{setting: value})
    (sentence,) = await log.check_topics([spec])
    assert f"The topic {spec.name} has {setting.replace('_', '.')}={value} and should have " in sentence
    assert sentence.endswith("alter it with Kafka's own tools, then start again.")


async def test_what_the_pages_say_of_topics_made_before(log: KafkaLog, kafka: str) -> None:
    """The command makes room in changelogs of a version that needed less; nothing has to be started again."""
    (line,) = re.findall(r"```sh\n(changed=.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    changelog = unique(Kept.COMPACTED, partitions=1)
    tables = ("contexts", "sessions", "webhooks", "idempotency")
    specs = [changelog._replace(name=f"{changelog.name}-{table}-changelog") for table in tables]
    for spec in specs:
        await create(log, spec, max_message_bytes="4194304", delete_retention_ms="604800000")
    assert len(await log.check_topics(specs)) == len(specs)
    line = line.replace("127.0.0.1:9092", kafka).replace("upnext-v1", changelog.name)
    tool = shlex.join([*java(), "kafka.admin.ConfigCommand"])
    ran = await asyncio.create_subprocess_exec("bash", "-c", f'kafka-configs.sh() {{ {tool} "$@"; }}\nset -e\n{line}')
    assert await asyncio.wait_for(ran.wait(), 60) == 0
    assert await log.check_topics(specs) == []
    for spec in specs:
        claim = await log.claim(spec.name, 0)
        await claim.append([(b"%d" % n, random.Random(n).randbytes(1 << 19)) for n in range(10)])


async def test_a_setting_that_is_more_than_enough_is_right(log: KafkaLog) -> None:
    """Larger records, which are compacted earlier, are no complaint."""
    spec = unique(Kept.COMPACTED)
    await create(log, spec, max_message_bytes="10000000", max_compaction_lag_ms="1000")
    assert await log.check_topics([spec]) == []


async def test_a_deployments_topics_are_as_they_should_be(log: KafkaLog) -> None:
    """All that a deployment needs is created in one call, by several nodes at once, each topic by one of them."""
    specs = topic_specs(3, view=unique().name)
    created = await asyncio.gather(*(log.create_topics(specs) for _ in range(3)))
    missing = {spec.name for spec in specs} - {name for names in created for name in names}
    assert missing <= {"context-events", "session-events", "registry-events"}, "there since an earlier run"
    assert len(names := [name for names in created for name in names]) == len(set(names))
    assert await log.check_topics(specs) == []


async def test_more_copies_than_brokers_are_refused(kafka: str) -> None:
    """A topic that cannot be created says so, with the broker's words."""
    log = KafkaLog(KafkaConfig(kafka, replication=3))
    await log.start()
    try:
        with pytest.raises(RefusedStartError, match=r"could not be created: .*replication factor"):
            await log.create_topics([unique()])
    finally:
        await log.stop()


async def test_an_absent_topic_holds_nobody_up(kafka: str) -> None:
    """An append to a topic that is not there ends in time, and meanwhile the others' are acknowledged."""
    log = KafkaLog(KafkaConfig(kafka, append_limit_s=1))
    await log.start()
    try:
        spec = unique()
        await log.create_topics([spec])
        absent = asyncio.create_task(log.append("absent", 0, b"k", b"v"))
        for n in range(50):
            assert (await log.append(spec.name, 0, b"k", b"v")).offset == n
        assert not absent.done()
        with pytest.raises(LogUnavailableError, match="not acknowledged in 1 s"):
            await absent
        with pytest.raises(LogUnavailableError):
            await log.end_offset("absent", 0)
    finally:
        await log.stop()


async def test_a_refused_batch_does_not_end_the_sequence(log: KafkaLog) -> None:
    """Where the broker takes no batch of that size, its caller is told, and later ones are appended."""
    spec = unique()
    await create(log, spec, max_message_bytes="1000")
    for n in range(3):
        assert (await log.append(spec.name, 0, b"k", b"v")).offset == n
        large = log.append(spec.name, 0, b"k", random.Random(n).randbytes(5_000))
        with pytest.raises(LogUnavailableError, match="MessageSizeTooLarge"):
            await large
    assert [r.value for r in await records(log, spec.name)] == [b"v"] * 3


async def test_a_producers_epochs_may_run_out(log: KafkaLog) -> None:
    """After the last epoch of its id a partition goes on with a new one."""
    spec = unique()
    await log.create_topics([spec])
    await log.append(spec.name, 0, b"k", b"1")
    lane = log._appender._lanes[spec.name, 0]
    number = lane.stamp.producer.id
    lane.stamp = Stamp(ProducerId(number, LAST_EPOCH))
    await log.append(spec.name, 0, b"k", b"2")
    lane.next_epoch()
    await asyncio.gather(*(log.append(spec.name, 0, b"k", b"%d" % n) for n in (3, 4)))
    assert lane.stamp.producer.id != number
    assert [r.value for r in await records(log, spec.name)] == [b"1", b"2", b"3", b"4"]


async def test_a_claim_is_renewed(log: KafkaLog) -> None:
    """A claim that is half a day old takes a new epoch, without a record of its own, and goes on."""
    spec, clock = unique(Kept.COMPACTED), Clock()
    await log.create_topics([spec])
    claim = await claimed(log, spec.name, clock)
    for n in range(4):
        before = claim._stamp.producer
        assert await claim.append([(b"k", b"%d" % n)]) == n + 1
        assert (claim._stamp.producer != before) == (n > 0)
        clock.s += RENEWED_AFTER_S + 1


async def test_what_a_changelog_may_have_forgotten(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is before records that are three quarters as old as tombstones get; of who began later, nothing."""
    spec, clocks = unique(Kept.COMPACTED), SimpleNamespace(time=time.time, monotonic=lambda: 1_000.0)
    monkeypatch.setattr(kafka_log, "time", clocks)
    await log.create_topics([spec])
    end = await (await log.claim(spec.name, 0)).append([(b"k", b"1"), (b"k", None)]) + 2
    mark, kept_s = log.mark(spec.name, 0), log.config.tombstones_kept_s

    async def forgotten(mark: float | None) -> list[bool]:
        return [await log.has_forgotten(spec.name, 0, since, mark) for since in (0, end - 1, end)]

    assert await forgotten(None) == await forgotten(mark) == [False, False, False]
    clocks.time = lambda: time.time() + 0.8 * kept_s
    assert await forgotten(None) == [True, True, False]
    assert await forgotten(mark) == [False, False, False]
    clocks.monotonic = lambda: 1_000.0 + 0.8 * kept_s
    assert await forgotten(mark) == [True, True, False]


async def test_an_old_claim_is_not_renewed_over_a_newer_one(log: KafkaLog) -> None:
    """Whoever has the partition now keeps it: an earlier owner that would renew its claim is fenced."""
    spec, clock = unique(Kept.COMPACTED), Clock()
    await log.create_topics([spec])
    earlier = await claimed(log, spec.name, clock)
    later = await log.claim(spec.name, 0)
    clock.s += RENEWED_AFTER_S + 1
    with pytest.raises(FencedError, match="another node has claimed"):
        await earlier.append([(b"k", b"1")])
    await later.append([(b"k", b"2")])
    assert [r.value for r in await records(log, spec.name)] == [b"2"]


@pytest.mark.timeout(180)
async def test_an_owner_is_fenced_though_the_brokers_have_forgotten_it(tmp_path: Path) -> None:
    """Where its id has expired, and the next owner has another one, an old owner's renewal is still refused."""
    expiring = {
        "transactional.id.expiration.ms": 500,
        "transaction.remove.expired.transaction.cleanup.interval.ms": 100,
    }
    broker = Broker(tmp_path / "broker", settings=expiring)
    broker.start()
    log = KafkaLog(KafkaConfig(broker.bootstrap))
    try:
        await log.start()
        spec, clock = unique(Kept.COMPACTED), Clock()
        await log.create_topics([spec])
        earlier = later = await claimed(log, spec.name, clock)
        async with asyncio.timeout(60):
            while later._stamp.producer.id == earlier._stamp.producer.id:
                await asyncio.sleep(2)  # each try keeps the id alive, so that tries must be further apart than its life
                later = await claimed(log, spec.name, clock)
        clock.s += RENEWED_AFTER_S + 1
        with pytest.raises(FencedError):
            await earlier.append([(b"k", b"1")])
    finally:
        await log.stop()
        broker.stop()


@pytest.mark.timeout(180)
async def test_reads_pass_what_compaction_has_removed(tmp_path: Path) -> None:
    """A bounded read of a compacted partition gives what is left, where it was, and ends at its end."""
    broker = Broker(tmp_path / "broker", settings={"log.cleaner.backoff.ms": 50})
    broker.start()
    log = KafkaLog(KafkaConfig(broker.bootstrap))
    try:
        await log.start()
        spec = unique(Kept.COMPACTED)
        await create(log, spec, segment_ms="1", min_cleanable_dirty_ratio="0.01")
        for n in range(40):
            await log.append(spec.name, 0, b"k%d" % (n % 4), b"%d" % n)
        async with asyncio.timeout(60):
            while len(there := await records(log, spec.name)) > 10:
                await log.append(spec.name, 0, b"last", b"")
        newest = {r.key: (r.offset, r.value) for r in there}
        assert [newest[b"k%d" % n] for n in range(4)] == [(n, b"%d" % n) for n in range(36, 40)]
        hole = there[0].offset
        assert hole > 0
        chunks = [chunk async for chunk in log.read(spec.name, 0, 0, hole)]
        assert [chunk.records for chunk in chunks if chunk.records] == []
        assert chunks[-1].next_offset == hole
    finally:
        await log.stop()
        broker.stop()


async def test_who_is_in_a_group(log: KafkaLog, kafka: str) -> None:
    """Nobody is where there is no such group; a consumer is until it leaves."""
    group, spec = f"g-{unique().name}", unique()
    await log.create_topics([spec])
    assert await log.members(group) == []
    consumer = AIOKafkaConsumer(spec.name, bootstrap_servers=kafka, group_id=group, client_id="somebody")
    await consumer.start()
    try:
        assert await log.members(group) == ["somebody"]
    finally:
        await consumer.stop()
    assert await log.members(group) == []
