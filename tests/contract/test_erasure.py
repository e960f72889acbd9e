"""What was recorded of an erased context is removed from the log for good, on both logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from streams.codec import decode_feed, encode_event, event_key
from streams.domain.dead_letters import Place
from streams.domain.erasure import Receipt, Requested, TablesRewritten, decode_erasure, encode_erasure
from streams.domain.errors import PoisonError
from streams.domain.events import (
    ContextAttached,
    ContextDetached,
    ContextErased,
    ContextEvent,
    ItemPut,
    SessionCreated,
    SessionDeleted,
    SessionEvent,
)
from streams.domain.feed import Erased
from streams.domain.ids import Kind, id_text
from streams.domain.notices import session_context_json
from streams.domain.webhook_events import DeliveriesPlanned, Planned, Target
from streams.engine.batch import dead_letter
from streams.eraser import Eraser
from streams.log.embedded import EmbeddedLog
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.log.port import Record
from streams.search import Search
from streams.topics import (
    CONTEXT_EVENTS,
    ERASURES,
    SESSION_EVENTS,
    WEBHOOK_EVENTS,
    partition_of,
    topic_specs,
    view_topics,
)
from tests.contract.conftest import GROUNDS, die
from tests.support.kafka import Broker
from tests.support.tables import CLIENT, START_MS, Cause, app_of, context_id, make_item, session_id

AnyLog = EmbeddedLog | KafkaLog
PARTITIONS = 2
LIMIT_S = 60.0
"""A broker looks every so often whether there is something to compact, and closes no segment within a second."""
X, Y = context_id(1), context_id(2)
S, T = session_id(1), session_id(2)
VIEW = view_topics()
SOURCES = (CONTEXT_EVENTS, SESSION_EVENTS, WEBHOOK_EVENTS, VIEW.dead_letters)
SECRET = b"what-somebody-has-watched"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that looks often for what it may compact, and removes its files at once."""
    settings = {"log.cleaner.backoff.ms": 100, "log.segment.delete.delay.ms": 0, "log.retention.check.interval.ms": 500}
    with Broker(tmp_path_factory.mktemp("erasing") / "broker", settings=settings) as running:
        yield running


@pytest.fixture(params=GROUNDS)
async def erasing(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[AnyLog, Path]]:
    """A log with all topics, and the directory where its bytes are."""
    log: AnyLog
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("broker")
        log, directory = (
            KafkaLog(KafkaConfig(broker.bootstrap, compacted_within_s=1.0, tombstones_kept_s=1.0)),
            broker.directory / "data",
        )
    else:
        log, directory = EmbeddedLog(tmp_path / "log", die, tombstones_kept_s=0.0), tmp_path / "log"
    await log.start()
    await log.create_topics(topic_specs(PARTITIONS))
    assert await log.check_topics(topic_specs(PARTITIONS)) == []
    yield log, directory
    await log.stop()


class World:
    """Events of two contexts and two sessions, in the log."""

    def __init__(self, log: AnyLog) -> None:
        self.log, self._number = log, 0

    async def context_event(self, context: bytes, event: ContextEvent) -> None:
        key = event_key(Kind.CONTEXT, context, event.id)
        await self.log.append(CONTEXT_EVENTS, partition_of(context, PARTITIONS), key, encode_event(event))

    async def session_event(self, session: bytes, event: SessionEvent) -> None:
        key = event_key(Kind.SESSION, session, event.id)
        await self.log.append(SESSION_EVENTS, partition_of(session, PARTITIONS), key, encode_event(event))

    def cause(self) -> Cause:
        self._number += 1
        return Cause(id=f"{self._number:032x}", client=CLIENT)

    async def fill(self) -> None:
        for context in (X, Y):
            app, text = id_text(Kind.APP, app_of(context)), id_text(Kind.CONTEXT, context)
            for n in range(5):
                item = make_item(f"m{n}", title=SECRET.decode() if context == X else "other")
                await self.context_event(context, ItemPut(**self.cause(), app=app, item=item))
            for session in (S, T):
                await self.session_event(session, ContextAttached(**self.cause(), context=text, app=app))
            await self.session_event(T, ContextDetached(**self.cause(), context=text))
            record = Record(99, 1, event_key(Kind.CONTEXT, context, "0" * 32), SECRET if context == X else b"other")
            place = Place(CONTEXT_EVENTS, 0, 98 if context == X else 99)
            letter = msgspec.json.encode(dead_letter(place, record, PoisonError("none of ours")))
            await self.log.append(VIEW.dead_letters, 0, place.text.encode(), letter)
        for context in (X, Y):
            planned = Planned(
                id="ab" * 16,
                source="session-events-1",
                offset=context[-1],
                number=0,
                context=id_text(Kind.CONTEXT, context),
                type="context.session.context_added",
                created=START_MS,
                data=msgspec.Raw(b"{}"),
                targets=[Target(endpoint="e", version="2024-02-16")],
            )
            plan = DeliveriesPlanned(
                id=f"{context[-1]:032x}", until={"session-events-1": (context[-1], 0)}, events=[planned]
            )
            await self.log.append(WEBHOOK_EVENTS, 1, plan.id.encode(), encode_event(plan))
        await self.session_event(S, SessionCreated(**self.cause(), platform=id_text(Kind.PLATFORM, bytes(17))))
        await self.context_event(X, ContextErased(**self.cause()))

    async def request(self, context: bytes = X) -> None:
        value = encode_erasure(Requested(id_text(Kind.CONTEXT, context)))
        await self.log.append(ERASURES, partition_of(context, PARTITIONS), context, value)

    async def records(self, topic: str) -> list[tuple[int, Record]]:
        found = []
        for partition in range(PARTITIONS):
            end = await self.log.end_offset(topic, partition)
            async for chunk in self.log.scan(topic, partition, 0, end):
                found += [(partition, record) for record in chunk.records if record.value is not None]
        return found

    async def receipts(self) -> list[Receipt]:
        found = [decode_erasure(record.value) for _, record in await self.records(ERASURES)]
        return [one for one in found if isinstance(one, Receipt)]

    async def rewritten(self) -> list[TablesRewritten]:
        found = [decode_erasure(record.value) for _, record in await self.records(ERASURES)]
        return [one for one in found if isinstance(one, TablesRewritten)]

    async def left(self) -> list[str]:
        """Return the topics that have something of X which is not to be there."""
        search, ids = Search(self.log, PARTITIONS, [VIEW]), [id_text(Kind.CONTEXT, X)]
        return [one.topic async for one in search.in_sources(ids)] + [one.topic async for one in search.in_made(ids)]


class Tables:
    """Those of a node, which are as they are told to be."""

    def __init__(self) -> None:
        self.stores: dict[str, int] | None = {"upnext-v1/contexts/0": 5}
        self.asked: list[float] = []

    async def forget(self, since_s: float) -> dict[str, int] | None:
        self.asked.append(since_s)
        return self.stores


def eraser_of(
    log: AnyLog, *, is_mine: bool = True, tables: Tables | None = None, partitions: int = PARTITIONS
) -> Eraser:
    return Eraser(
        log,
        partitions,
        within_s=0.0,
        is_mine=lambda: is_mine,
        views=lambda: [VIEW],
        tables=tables or Tables(),
        node="node",
        die=die,
    )


def occurs(directory: Path, text: bytes) -> bool:
    """Say whether a file of the log has *text*. Brokers compress batches that are large enough; these are not."""
    return any(text in file.read_bytes() for file in directory.rglob("*") if file.is_file())


async def test_all_that_was_recorded_is_gone(erasing: tuple[AnyLog, Path]) -> None:
    """From the sources and the dead letters, also on the disk; the mark and the other context's records stay."""
    log, directory = erasing
    world, tables = World(log), Tables()
    await world.fill()
    before = {topic: await world.records(topic) for topic in SOURCES}
    await world.request()
    assert sorted(await world.left()) == sorted(
        [CONTEXT_EVENTS] * 5 + [SESSION_EVENTS] * 3 + [VIEW.dead_letters, WEBHOOK_EVENTS]
    )
    eraser = eraser_of(log, tables=tables)
    async with asyncio.timeout(LIMIT_S):
        while not await world.receipts():
            await eraser.step()
            await _trim(log)
            await asyncio.sleep(0.1)
    assert await world.left() == []
    for topic, was in before.items():
        kept = [(p, r) for p, r in was if not _is_of_x(topic, r)]
        assert [(p, r) for p, r in await world.records(topic) if b"forgotten" not in (r.value or b"")] == kept
        assert len(kept) < len(was)
    (receipt,) = await world.receipts()
    assert (receipt.id, receipt.until) == (id_text(Kind.CONTEXT, X), 0)
    assert sum(one.records for one in receipt.erased) == 10
    for one in receipt.erased:
        assert one.last < receipt.searched[one.topic][one.partition]
    assert (tables.asked, await world.rewritten()) == ([], [])
    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(occurs, directory, SECRET):
            await asyncio.sleep(0.2)
    # A receipt that is new has every node look to its tables.
    assert await eraser.step() is False
    assert await eraser.step() is False
    assert len(tables.asked) == 1
    assert [(one.node, one.receipts, one.stores) for one in await world.rewritten()] == [
        ("node", [1 - partition_of(X, PARTITIONS), partition_of(X, PARTITIONS)], {"upnext-v1/contexts/0": 5})
    ]


def _is_of_x(topic: str, record: Record) -> bool:
    text = id_text(Kind.CONTEXT, X).encode()
    if topic == VIEW.dead_letters:
        return b"b3RoZXI=" not in (record.value or b"")
    return b"context.erased.v1" not in (record.value or b"") and text in (record.key or b"") + (record.value or b"")


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_whoever_folds_comes_to_the_end(erasing: tuple[AnyLog, Path]) -> None:
    """Also where the last records of a partition were erased: the last offset has a record, which is nothing."""
    log, _ = erasing
    await log.append_many(CONTEXT_EVENTS, 0, [(b"%d" % n, b"value") for n in range(5)])
    erased = [record async for record in log.read_at(CONTEXT_EVENTS, 0, [1, 3, 4])]
    for _ in range(2):
        await log.erase(CONTEXT_EVENTS, 0, erased)
        end = await log.end_offset(CONTEXT_EVENTS, 0)
        found = [record async for chunk in log.scan(CONTEXT_EVENTS, 0, 0, end) for record in chunk.records]
        assert [(record.offset, record.value) for record in found] == [(0, b"value"), (2, b"value"), (5, None)]
        assert end == 6


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_every_session_is_told(erasing: tuple[AnyLog, Path]) -> None:
    """Also one that the context did not know of, for it feeds as many as it may."""
    log, _ = erasing
    world = World(log)
    await world.fill()
    await world.request()
    await eraser_of(log).step()
    told = [decode_feed(record.key, record.value) for _, record in await world.records(VIEW.feed)]
    assert set(told) == {(S, Erased(X)), (T, Erased(X))}


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_a_session_that_was_deleted(erasing: tuple[AnyLog, Path]) -> None:
    """Its events go, but for the one that says so, and what apps were told of it; contexts and other sessions stay."""
    log, _ = erasing
    world, text = World(log), id_text(Kind.SESSION, S)
    await world.fill()
    planned = Planned(
        id="cd" * 16,
        source="session-events-1",
        offset=9,
        number=0,
        context=id_text(Kind.CONTEXT, Y),
        type="context.session.context_added",
        created=START_MS,
        data=msgspec.Raw(session_context_json(S, Y, app_of(Y), START_MS)),
        targets=[Target(endpoint="e", version="2024-02-16")],
    )
    plan = DeliveriesPlanned(id="f" * 32, until={"session-events-1": (9, 0)}, events=[planned])
    await log.append(WEBHOOK_EVENTS, 0, plan.id.encode(), encode_event(plan))
    await world.session_event(S, SessionDeleted(**world.cause()))
    before = {topic: await world.records(topic) for topic in SOURCES}
    await log.append(ERASURES, partition_of(S, PARTITIONS), S, encode_erasure(Requested(text)))
    await _until_receipts(world, eraser_of(log), 1)
    (receipt,) = await world.receipts()
    assert (receipt.id, {(one.topic, one.records) for one in receipt.erased}) == (
        text,
        {(SESSION_EVENTS, 3), (WEBHOOK_EVENTS, 1)},
    )
    after = {topic: await world.records(topic) for topic in SOURCES}
    assert [after[topic] for topic in (CONTEXT_EVENTS, VIEW.dead_letters)] == [
        before[topic] for topic in (CONTEXT_EVENTS, VIEW.dead_letters)
    ]
    left = [record.value or b"" for _, record in after[SESSION_EVENTS] if (record.key or b"").startswith(text.encode())]
    assert [msgspec.json.decode(value)["type"] for value in left] == ["session.deleted.v1"]
    assert len(after[SESSION_EVENTS]) == len(before[SESSION_EVENTS]) - 3
    values = [msgspec.json.decode(record.value or b"") for _, record in after[WEBHOOK_EVENTS]]
    (forgotten,) = [one for one in values if one["type"] == "webhook.session_forgotten.v1"]
    assert (forgotten["session"], forgotten["until"]) == (text, {"session-events-1": [9, 0]})


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_nobody_is_told_again_what_was_told(erasing: tuple[AnyLog, Path]) -> None:
    """What the records that go have decided is said by the one that has the context forgotten."""
    log, _ = erasing
    world = World(log)
    await world.fill()
    await world.request()
    await eraser_of(log).step()
    values = [msgspec.json.decode(record.value or b"") for _, record in await world.records(WEBHOOK_EVENTS)]
    (forgotten,) = [one for one in values if one["type"] == "webhook.context_forgotten.v1"]
    assert (forgotten["context"], forgotten["until"]) == (id_text(Kind.CONTEXT, X), {"session-events-1": [X[-1], 0]})


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_what_comes_later_is_erased_too(erasing: tuple[AnyLog, Path]) -> None:
    """A request after a receipt is answered by another one; without one, nothing is searched."""
    log, _ = erasing
    world = World(log)
    await world.fill()
    await world.request()
    eraser = eraser_of(log)
    await _until_receipts(world, eraser, 1)
    app = id_text(Kind.APP, app_of(X))
    await world.context_event(X, ItemPut(**world.cause(), app=app, item=make_item("late")))
    assert await eraser.step() is False
    assert await world.left() == [CONTEXT_EVENTS]
    await world.request()
    await _until_receipts(world, eraser, 2)
    assert await world.left() == []
    assert [(one.until, sum(e.records for e in one.erased)) for one in await world.receipts()] == [(0, 10), (2, 1)]


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_one_node_erases(erasing: tuple[AnyLog, Path]) -> None:
    """Others only look whether there is a receipt, so that the disk of their tables forgets, too."""
    log, _ = erasing
    world, tables = World(log), Tables()
    await world.fill()
    await world.request()
    other = eraser_of(log, is_mine=False, tables=tables)
    for _ in range(3):
        assert await other.step() is False
    assert tables.asked == []
    assert len(await world.left()) == 10
    await _until_receipts(world, eraser_of(log), 1)
    await other.step()
    assert len(tables.asked) == 1


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_tables_that_are_behind_are_asked_again(erasing: tuple[AnyLog, Path]) -> None:
    """Of the same receipts with the same time; as soon as there are more, of all of them."""
    log, _ = erasing
    world, tables, never = World(log), Tables(), Tables()
    tables.stores = never.stores = None
    await world.fill()
    await world.request(X)
    await _until_receipts(world, eraser_of(log, tables=never), 1)
    other = eraser_of(log, is_mine=False, tables=tables)
    before_s = time.monotonic()
    for _ in range(2):
        await other.step()
    first_s, again_s = tables.asked
    assert before_s <= first_s == again_s
    await world.request(Y)
    await _until_receipts(world, eraser_of(log, tables=never), 2)
    await other.step()
    assert await world.rewritten() == []
    tables.stores = {}
    for _ in range(3):
        await other.step()
    assert [sum(one.receipts) for one in await world.rewritten()] == [2]
    assert first_s < tables.asked[2] == tables.asked[3] == tables.asked[-1]


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_what_is_left_in_a_changelog_keeps_the_receipt_back(erasing: tuple[AnyLog, Path]) -> None:
    """A row of the context is there until its table deletes it, and the changelog was compacted."""
    log, _ = erasing
    world = World(log)
    await world.fill()
    await world.request()
    claim = await log.claim(VIEW.contexts_changelog, 0)
    await claim.append([(b"i" + X + b"m1\0", b"row"), (b"m" + X, b"it was erased")])
    eraser = eraser_of(log)
    for _ in range(4):
        await eraser.step()
        await _trim(log)
    assert await world.receipts() == []
    assert await world.left() == [VIEW.contexts_changelog]
    await claim.append([(b"i" + X + b"m1\0", None)])
    await _until_receipts(world, eraser, 1)


@pytest.mark.parametrize("erasing", ["embedded"], indirect=True)
async def test_who_goes_on_to_write_holds_back_no_other_receipt(erasing: tuple[AnyLog, Path]) -> None:
    """What a publisher still writes to one erased context is removed at each look; another's is all gone meanwhile."""
    log, _ = erasing
    world, app = World(log), id_text(Kind.APP, app_of(X))
    await world.fill()
    await world.request(X)
    await world.request(Y)
    eraser = eraser_of(log)
    for n in range(4):
        await world.context_event(X, ItemPut(**world.cause(), app=app, item=make_item(f"late{n}")))
        # Only the first time there may be more to do at once: later, whoever writes would have it never end.
        assert await eraser.step() is (n == 0)
        await _trim(log)
    assert [one.id for one in await world.receipts()] == [id_text(Kind.CONTEXT, Y)]
    await _until_receipts(world, eraser, 2)


async def test_what_is_not_concerned_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What brokers are to compact without need they come to first: what is to go has the most beside it."""
    log, many, places = EmbeddedLog(tmp_path / "log", die), 8, set[int]()
    compact = log.compact

    async def noted(topic: str, partition: int) -> None:
        places.add(partition)
        await compact(topic, partition)

    await log.start()
    await log.create_topics(topic_specs(many))
    monkeypatch.setattr(log, "compact", noted)
    of_context, of_session, of_another = partitions = [partition_of(id_, many) for id_ in (X, S, Y)]
    assert len(set(partitions)) == 3
    erased, context = ContextErased(id="0" * 32, client=CLIENT), id_text(Kind.CONTEXT, X)
    attach = ContextAttached(id="1" * 32, client=CLIENT, context=context, app=id_text(Kind.APP, app_of(X)))
    await log.append(CONTEXT_EVENTS, of_context, event_key(Kind.CONTEXT, X, erased.id), encode_event(erased))
    await log.append(SESSION_EVENTS, of_session, event_key(Kind.SESSION, S, attach.id), encode_event(attach))
    # A context has a row of each session that it feeds, which may be deleted.
    claim = await log.claim(VIEW.contexts_changelog, of_another)
    await claim.append([(b"s" + Y + S, b"row")])
    for id_, kind in ((X, Kind.CONTEXT), (S, Kind.SESSION)):
        await log.append(ERASURES, partition_of(id_, many), id_, encode_erasure(Requested(id_text(kind, id_))))
    await eraser_of(log, partitions=many).step()
    assert places == set(partitions)
    await log.stop()


async def _trim(log: AnyLog) -> None:
    """Do as who owns the partitions once it is folded what sessions are told."""
    for partition in range(PARTITIONS):
        await log.delete_before(VIEW.feed, partition, await log.end_offset(VIEW.feed, partition))


async def _until_receipts(world: World, eraser: Eraser, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(await world.receipts()) < count:
            await eraser.step()
            await _trim(world.log)
