"""What both logs are: `streams.log.port.Log`, once on the embedded log and once on Kafka."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from streams.domain.errors import FencedError, LogUnavailableError
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaLog
from streams.log.port import MAX_BATCH_BYTES, MAX_CLAIMED_BYTES, Appended, Chunk, Claim, Log, Record, row_bytes
from streams.topics import Kept, TopicSpec
from tests.contract.appending import records
from tests.contract.conftest import Ground, die, unique


async def made(log: Log, kept: Kept = Kept.FOR_EVER, *, partitions: int = 2) -> TopicSpec:
    spec = unique(kept, partitions=partitions)
    assert await log.create_topics([spec]) == [spec.name]
    return spec


async def first_record(follower: AsyncIterator[Chunk]) -> Record:
    async with asyncio.timeout(20):
        async for chunk in follower:
            if chunk.records:
                return chunk.records[0]
    raise AssertionError("the read has ended")


async def test_appends_stand_in_the_order_of_their_calls(log: Log) -> None:
    """Called for one after the other without waiting, records follow on without a hole, each where its result says."""
    topic = (await made(log)).name
    calls = [log.append(topic, n % 2, b"k%d" % n, b"v%d" % n) for n in range(600)]
    results = await asyncio.gather(*calls)
    for partition in (0, 1):
        there = await records(log, topic, partition)
        assert [(r.key, r.value) for r in there] == [(b"k%d" % n, b"v%d" % n) for n in range(partition, 600, 2)]
        assert results[partition::2] == [Appended(partition, r.offset, r.time_ms) for r in there]
        assert [r.offset for r in there] == list(range(300))


@pytest.mark.parametrize("kept", [Kept.FOR_EVER, Kept.DAYS_30])
async def test_a_record_bears_the_time_of_its_append(log: Log, kept: Kept) -> None:
    """Whoever's clock it is by, the result's time is the record's, near now, and never goes back in a partition."""
    topic = (await made(log, kept)).name
    before_ms = time.time_ns() // 1_000_000
    results = [await log.append(topic, 0, b"k", b"v") for _ in range(20)]
    after_ms = time.time_ns() // 1_000_000
    times = [r.time_ms for r in await records(log, topic)]
    assert [r.time_ms for r in results] == times == sorted(times)
    assert before_ms - 1 <= times[0]
    assert times[-1] <= after_ms + 1


async def test_single_and_many_keep_their_order(log: Log) -> None:
    """An append that is called for after an append of many, or before it, stands after it, or before it."""
    topic = (await made(log)).name
    await log.append(topic, 0, b"first", b"")
    calls: list[Awaitable[object]] = []
    for n in range(40):
        calls.append(log.append(topic, 0, b"one", b"%d" % n))
        calls.append(log.append_many(topic, 0, [(b"many", b"%d" % n)] * (n % 4)))
    await asyncio.gather(*calls)
    expected = [(b"first", b"")]
    for n in range(40):
        expected += [(b"one", b"%d" % n), *[(b"many", b"%d" % n)] * (n % 4)]
    assert [(r.key, r.value) for r in await records(log, topic)] == expected


async def test_more_than_a_batch_holds_is_appended_in_order(log: Log) -> None:
    """Rows of several batches follow on, with nothing of others between them."""
    topic = (await made(log)).name
    rows = [(b"k%d" % n, random.Random(n).randbytes(3_000)) for n in range(1_500)]
    await asyncio.gather(
        log.append(topic, 1, b"before", b""), log.append_many(topic, 1, rows), log.append(topic, 1, b"after", b"")
    )
    await log.append_many(topic, 1, [])
    there = [(r.key, r.value) for r in await records(log, topic, 1)]
    assert there == [(b"before", b""), *rows, (b"after", b"")]


async def test_every_size_up_to_the_limit_is_taken(log: Log) -> None:
    """Empty is not missing, a missing value is a tombstone, and a row of the limit's size comes back as it went."""
    topic = (await made(log)).name
    largest = MAX_BATCH_BYTES - row_bytes((b"key", b""))
    rows: list[tuple[bytes, bytes | None]] = [(b"", b""), (b"k", None), (b"", None)]
    rows += [(b"k" * size, random.Random(size).randbytes(size)) for size in (1, 127, 128, 1_000, 70_000, 500_000)]
    rows += [(b"key", random.Random(1).randbytes(largest)), (b"key", b"x" * largest)]
    for key, value in rows:
        await log.append(topic, 0, key, value)
    await log.append_many(topic, 0, rows)
    assert [(r.key, r.value) for r in await records(log, topic)] == rows * 2


async def test_what_is_too_large_is_refused_and_hurts_nobody(log: Log) -> None:
    """A row over the limit is a `ValueError` at once; whatever else is under way is appended."""
    topic = (await made(log)).name
    too_large = random.Random(1).randbytes(MAX_BATCH_BYTES)
    *others, one, many = await asyncio.gather(
        *(log.append(topic, 0, b"k", b"%d" % n) for n in range(50)),
        log.append(topic, 0, b"k", too_large),
        log.append_many(topic, 0, [(b"k", b"v"), (b"k", too_large)]),
        return_exceptions=True,
    )
    assert isinstance(one, ValueError)
    assert isinstance(many, ValueError)
    assert topic in str(one)
    assert [r.value for r in await records(log, topic)] == [b"%d" % n for n in range(50)]
    assert [a.offset for a in others if isinstance(a, Appended)] == list(range(50))


async def test_any_range_can_be_read(log: Log) -> None:
    """A bounded read gives what is in its bounds, in order, and its last chunk says where to go on."""
    topic = (await made(log)).name
    await log.append_many(topic, 0, [(b"k", b"%d" % n * 20) for n in range(300)])
    everything = await records(log, topic)
    for seed in range(15):
        start, end = sorted(random.Random(seed).sample(range(301), 2))
        chunks = [chunk async for chunk in log.read(topic, 0, start, end)]
        assert [r for chunk in chunks for r in chunk.records] == everything[start:end], f"seed {seed}"
        assert chunks[-1].next_offset == end, f"seed {seed}"
    for start, end in ((0, 0), (300, 300), (5, 5), (9, 3)):
        assert [chunk async for chunk in log.read(topic, 0, start, end)] == []


async def test_any_records_can_be_read_at_their_offsets(log: Log) -> None:
    """Records are given in the order that their offsets are asked for; what is not there any more is left out."""
    topic = (await made(log, Kept.UNTIL_FOLDED)).name
    await log.append_many(topic, 0, [(b"k", b"%d" % n * (50_000 if n == 150 else 20)) for n in range(300)])
    everything = await records(log, topic)
    for offsets in ([], [0], [299], [7, 8, 9], [3, 150, 298], [200, 5, 5, 100]):
        assert [r async for r in log.read_at(topic, 0, offsets)] == [everything[n] for n in offsets]
    await log.delete_before(topic, 0, 60)
    assert [r async for r in log.read_at(topic, 0, [10, 59, 60, 20, 61])] == everything[60:62]


async def test_a_bounded_read_waits_for_what_is_to_come(log: Log) -> None:
    """A range whose end is not reached yet is read to its end."""
    topic = (await made(log)).name
    await log.append(topic, 0, b"k", b"0")

    async def read() -> list[bytes | None]:
        return [r.value async for chunk in log.read(topic, 0, 0, 3) for r in chunk.records]

    reading = asyncio.create_task(read())
    for n in range(1, 5):
        await log.append(topic, 0, b"k", b"%d" % n)
    async with asyncio.timeout(20):
        assert await reading == [b"0", b"1", b"2"]


async def test_a_follower_gets_what_is_there_and_what_comes(log: Log) -> None:
    """A read without an end goes on for ever, record after record; cancelled, it ends and leaves the log as it was."""
    topic = (await made(log)).name
    await log.append_many(topic, 0, [(b"k", b"%d" % n) for n in range(10)])
    got: list[bytes | None] = []
    changed = asyncio.Event()

    async def follow() -> None:
        async for chunk in log.read(topic, 0, 4):
            got.extend(r.value for r in chunk.records)
            changed.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while len(got) < count:
                changed.clear()
                await changed.wait()

    following = asyncio.create_task(follow())
    await until(6)
    for n in range(10, 40):
        await log.append(topic, 0, b"k", b"%d" % n)
    await until(36)
    assert got == [b"%d" % n for n in range(4, 40)]
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert (await log.append(topic, 0, b"k", b"")).offset == 40


async def test_a_follower_from_beyond_the_end_starts_there(log: Log) -> None:
    """Who reads from an offset that does not exist yet gets nothing older than that."""
    topic = (await made(log)).name
    await log.append_many(topic, 0, [(b"k", b"%d" % n) for n in range(3)])
    reading = asyncio.ensure_future(first_record(log.read(topic, 0, 5)))
    await asyncio.wait([reading], timeout=0.3)
    await log.append_many(topic, 0, [(b"k", b"%d" % n) for n in range(3, 8)])
    assert (await reading).offset == 5


async def test_a_follower_hears_of_the_closing(log: Log) -> None:
    """Who waits for more when the log closes gets `LogUnavailableError`, as does whoever wants something of it then."""
    topic = (await made(log)).name
    await log.append(topic, 0, b"k", b"v")
    follower = log.read(topic, 0, 0)
    assert len((await anext(follower)).records) == 1
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    await log.stop()
    async with asyncio.timeout(20):
        with pytest.raises(LogUnavailableError):
            await waiting
    for call in (log.append(topic, 0, b"k", b"v"), log.end_offset(topic, 0), log.ping()):
        with pytest.raises(LogUnavailableError):
            await call


async def test_an_empty_partition_starts_and_ends_at_zero(log: Log) -> None:
    """Before the first append start and end are 0, and there is nothing to read."""
    topic = (await made(log)).name
    assert (await log.start_offset(topic, 1), await log.end_offset(topic, 1)) == (0, 0)
    assert await records(log, topic, 1) == []


async def test_delete_before_leaves_the_rest_where_it_is(log: Log) -> None:
    """Records below the offset are gone, also from the middle of a batch; a read from below starts at what is left."""
    topic = (await made(log, Kept.UNTIL_FOLDED)).name
    await log.append_many(topic, 0, [(b"k", b"%d" % n) for n in range(100)])
    everything = await records(log, topic)
    await log.delete_before(topic, 0, 60)
    await log.delete_before(topic, 0, 20)
    assert (await log.start_offset(topic, 0), await log.end_offset(topic, 0)) == (60, 100)
    assert await records(log, topic) == everything[60:]
    assert await records(log, topic, start=70) == everything[70:]
    assert [r async for chunk in log.read(topic, 0, 10, 50) for r in chunk.records] == []
    follower = log.read(topic, 0, 0)
    assert await first_record(follower) == everything[60]
    await follower.aclose()  # type: ignore[attr-defined]


async def test_a_partition_can_be_emptied(log: Log) -> None:
    """An offset beyond the end deletes what is there, and nothing that comes; offsets go on."""
    topic = (await made(log, Kept.UNTIL_FOLDED)).name
    await log.append_many(topic, 0, [(b"k", b"v")] * 10)
    await log.delete_before(topic, 0, 1_000)
    assert (await log.start_offset(topic, 0), await log.end_offset(topic, 0)) == (10, 10)
    assert await records(log, topic) == []
    assert (await log.append(topic, 0, b"k", b"new")).offset == 10
    assert [r.value for r in await records(log, topic)] == [b"new"]


async def test_topics_are_created_once(log: Log) -> None:
    """Those that are missing are created and named, by one of several at once; others are left; all pass the check."""
    specs = [unique(kept, partitions=3) for kept in Kept]
    assert await log.check_topics(specs) == [
        f"The topic {spec.name} is missing: run `upnext topics create`." for spec in specs
    ]
    assert await log.create_topics(specs[:2]) == [spec.name for spec in specs[:2]]
    made = await asyncio.gather(log.create_topics(specs), log.create_topics(specs))
    assert sorted(name for names in made for name in names) == sorted(spec.name for spec in specs[2:])
    assert await log.create_topics(specs) == []
    assert await log.check_topics(specs) == []
    assert await log.check_topics([]) == []
    await log.append(specs[3].name, 2, b"k", b"v")


async def test_topics_that_are_not_as_they_should_be_are_named(log: Log) -> None:
    """Another count of partitions and another retention are a sentence each, which says what to do."""
    here, there, right = unique(), unique(Kept.COMPACTED), unique()
    await log.create_topics([here, there, right])
    asked = [here._replace(partitions=3), there._replace(kept=Kept.FOR_EVER), right]
    count, retention = await log.check_topics(asked)
    assert f"The topic {here.name} has 2 partitions and should have 3: start with --partitions 2" in count
    assert f"The topic {there.name} " in retention
    assert "should" in retention
    assert ": use another directory" in retention or ": alter it with Kafka's own tools" in retention
    assert await log.create_topics(asked) == []


async def test_a_later_claim_fences_the_earlier_one(log: Log, ground: Ground) -> None:
    """The earlier claim's appends are refused from then on; partitions are claimed one by one."""
    topic = (await made(log, Kept.COMPACTED)).name
    elsewhere = await log.claim(topic, 1)
    earlier = await log.claim(topic, 0)
    first = await earlier.append([(b"a", b"1"), (b"b", b"1")])
    later = await (await ground.as_another_node()).claim(topic, 0)
    for _ in range(2):
        with pytest.raises(FencedError, match=topic):
            await earlier.append([(b"a", b"2")])
    second = await later.append([(b"a", b"3")])
    assert [(r.offset, r.key, r.value) for r in await records(log, topic)] == [
        (first, b"a", b"1"),
        (first + 1, b"b", b"1"),
        (second, b"a", b"3"),
    ]
    await elsewhere.append([(b"a", b"4")])
    assert [r.value for r in await records(log, topic, 1)] == [b"4"]


async def test_nothing_of_a_fenced_owner_lands_after_the_claim(log: Log, ground: Ground) -> None:
    """Whatever it has under way, an earlier owner's rows stand below the end that the later one sees, or nowhere."""
    topic = (await made(log, Kept.COMPACTED)).name
    nodes = [await ground.as_another_node(), log]
    acknowledged = []

    async def go_on(claim: Claim, name: bytes) -> None:
        n = 0
        while True:
            acknowledged.append((await claim.append([(name, b"%d" % n)]), name, b"%d" % n))
            n += 1

    owner = await log.claim(topic, 0)
    for turn in range(5):
        going_on = asyncio.create_task(go_on(owner, b"owner %d" % turn))
        while not acknowledged or acknowledged[-1][1] != b"owner %d" % turn:
            await asyncio.wait([going_on], timeout=0.001)
        taking = nodes[turn % 2]
        owner = await taking.claim(topic, 0)
        end = await taking.end_offset(topic, 0)
        with pytest.raises(FencedError):
            await going_on
        assert await records(taking, topic, start=end) == []
    there = [(r.offset, r.key, r.value) for r in await records(log, topic)]
    assert set(acknowledged) <= set(there)
    assert len(there) - len(acknowledged) <= 5


async def test_a_claim_appends_whole_or_not_at_all(log: Log) -> None:
    """No rows, or more than one batch holds, are a `ValueError`, and the claim is as good as before."""
    topic = (await made(log, Kept.COMPACTED)).name
    claim = await log.claim(topic, 0)
    count = MAX_CLAIMED_BYTES // row_bytes((b"0000", b"v" * 100_000))
    full = [(b"%4d" % n, random.Random(n).randbytes(100_000)) for n in range(count)]
    for rows in ([], [*full, full[0]], [(b"k", b"x" * MAX_BATCH_BYTES)]):
        with pytest.raises(ValueError, match=topic):
            await claim.append(rows)
    first = await claim.append(full)
    assert await claim.append([(b"k", None)]) == first + count
    assert [(r.key, r.value) for r in await records(log, topic)] == [*full, (b"k", None)]


async def test_a_restart_changes_nothing(ground: Ground) -> None:
    """Id, records, offsets, times, starts and topics are what they were; offsets go on, and so do claims."""
    log = await ground.open()
    source, changelog = await made(log), await made(log, Kept.COMPACTED)
    for n in range(5):
        await log.append(source.name, 1, b"k%d" % n, b"v%d" % n if n != 3 else None)
    await log.delete_before(source.name, 1, 1)
    end = await (await log.claim(changelog.name, 0)).append([(b"k", b"v")]) + 1
    before = log.id, await records(log, source.name, 1), await records(log, changelog.name)
    await log.stop()
    log = await ground.open()
    assert (log.id, await records(log, source.name, 1), await records(log, changelog.name)) == before
    assert before[0]
    assert await log.start_offset(source.name, 1) == 1
    assert (await log.append(source.name, 1, b"k", b"v")).offset == 5
    assert await (await log.claim(changelog.name, 0)).append([(b"k", b"w")]) >= end
    assert await log.check_topics([source, changelog]) == []


async def test_another_log_has_another_id(log: Log, tmp_path: Path) -> None:
    """The id is made with the log, and is no word that another could have too."""
    another = EmbeddedLog(tmp_path / "another", die)
    await another.start()
    try:
        assert len(log.id) >= 16
        assert another.id != log.id
    finally:
        await another.stop()


async def test_a_log_that_works_answers_a_ping(log: Log) -> None:
    """Pings return, many at once too, and while appends are under way."""
    topic = (await made(log)).name
    async with asyncio.timeout(10):
        await asyncio.gather(*(log.ping() for _ in range(10)), *(log.append(topic, 0, b"k", b"v") for _ in range(10)))


async def test_a_topic_that_is_deleted_and_made_again_is_empty(ground: Ground) -> None:
    """It begins at 0 with nothing of before, also after a restart; other topics keep what they have."""
    log = await ground.open()
    assert isinstance(log, EmbeddedLog | KafkaLog)
    deleted, kept = await made(log), await made(log)
    for topic in (deleted.name, kept.name):
        await log.append_many(topic, 0, [(b"k%d" % n, b"v") for n in range(300)])
    assert await log.delete_topics([deleted.name, "t-never-there"]) == [deleted.name]
    assert await log.delete_topics([deleted.name]) == []
    assert "is missing" in (await log.check_topics([deleted]))[0]
    assert await log.create_topics([deleted, kept]) == [deleted.name]
    assert await log.end_offset(deleted.name, 0) == 0
    assert (await log.append(deleted.name, 0, b"new", b"v")).offset == 0
    await log.stop()
    again = await ground.open()
    assert [(r.offset, r.key) for r in await records(again, deleted.name)] == [(0, b"new")]
    assert len(await records(again, kept.name)) == 300


async def test_a_scan_gives_what_a_read_gives(ground: Ground) -> None:
    """The same records, from the start to an end, in as many pieces as it takes."""
    log = await ground.open()
    assert isinstance(log, EmbeddedLog | KafkaLog)
    spec = unique()
    await log.create_topics([spec])
    await log.append_many(spec.name, 0, [(b"%d" % n, bytes(900)) for n in range(1_500)])
    read: list[Record] = []
    scanned: list[Record] = []
    async for chunk in log.read(spec.name, 0, 100, 1_400):
        read += chunk.records
    async for chunk in log.scan(spec.name, 0, 100, 1_400):
        scanned += chunk.records
        assert chunk.next_offset <= 1_400
    assert scanned == read
    assert [record.offset for record in scanned] == list(range(100, 1_400))
