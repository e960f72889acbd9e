"""What apps are to hear of, on its way from the folds to the queues of their endpoints: on a real log, with crashes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path

import msgspec
import pytest

from service.webhooks.deliveries import DeliveryId, FoundDelivery, OwnDeliveries, Wanted, parse_delivery_id
from streams.domain import webhook_rows as layout
from streams.domain.errors import PoisonError, ViewUnavailableError
from streams.domain.events import ItemHidden
from streams.domain.ids import Kind, id_text
from streams.domain.webhook_events import DeliveriesPlanned, DeliveryAttempted, Planned, Status, Target
from streams.engine.engine import Engine
from streams.engine.processor import Processor
from streams.engine.table import OwnedTable
from streams.engine.table_files import TableFiles
from streams.erasing import Erasing
from streams.log.embedded import EmbeddedLog
from streams.processors.webhooks import WebhooksFold
from streams.topics import WEBHOOK_EVENTS, partition_of, topic_specs, view_topics
from streams.webhooks import WebhookQueues
from tests.support.engine_examples import CONTEXT, SESSION, once
from tests.support.engine_faults import CrashError, FaultyLog, Trouble, Troubles, none
from tests.support.engine_nodes import Node, die, opened_log, quick_directory
from tests.support.engine_writes import Writes
from tests.support.tables import HASH_KEY, session_id

PARTITIONS = 2
TOPICS = view_topics()
AT = partition_of(CONTEXT, PARTITIONS)
ID = "0" * 32


class NothingErased(Erasing):
    """Has what became of deliveries be shown, also of sessions that were deleted."""

    async def ids(self) -> frozenset[str]:
        return frozenset()


class WebhookNode(Node):
    """One life of all three processors, and what is to be sent."""

    def __init__(self, real: EmbeddedLog, directory: Path, troubles: Troubles = none) -> None:
        log = FaultyLog(real, troubles)
        super().__init__(log, directory, partitions=PARTITIONS)
        fold = WebhooksFold(hash_key=HASH_KEY, partitions=PARTITIONS)
        table = OwnedTable(fold, TableFiles(self.storage, fold.name), log, self.contact, stale_reads_max_s=60.0)
        webhooks = Processor(fold, table, log, die, partitions=PARTITIONS, again_s=0.0)
        self.processors = (*self.processors, webhooks)
        self.engine = Engine(self.processors, partitions=PARTITIONS, files_directory=directory, die=die, again_s=0.0)
        self.engine.use(self._seek)
        self.is_live = True
        self.queues = WebhookQueues(log, table, lambda: self.is_live, NothingErased(log, PARTITIONS))
        self.deliveries = OwnDeliveries(self.queues, os.urandom)

    def heard(self) -> list[str]:
        """Return what nobody has decided about, as it came."""
        rows = [self.queues.rows(number) for number in range(PARTITIONS)]
        return [notice.notice.type.rpartition(".")[2] for one in rows for _, notice in layout.undecided(one)]

    async def decide(self, endpoint: str = "e") -> str:
        """Decide that an endpoint is told of all that happened to the context; return the last event's id."""
        found = [notice for _, notice in layout.undecided(self.queues.rows(AT))]
        events = [
            Planned(
                id=one.id,
                source=one.source,
                offset=one.notice.offset,
                number=one.notice.number,
                context=id_text(Kind.CONTEXT, one.context),
                type=one.notice.type,
                created=one.notice.time_ms,
                data=msgspec.Raw(one.notice.data),
                targets=[Target(endpoint=endpoint, version="v")],
            )
            for one in found
        ]
        until = {one.source: one.place for one in found}
        await self.queues.append(AT, DeliveriesPlanned(id=ID, until=until, events=events))
        return found[-1].id

    async def told(self, endpoint: str = "e", status: Status | None = None) -> list[FoundDelivery]:
        """Return what became of what an endpoint is told, newest first."""
        listed = await self.deliveries.listed([AT], Wanted([endpoint], status))
        found = await self.deliveries.find([one for _, text in listed.found if (one := parse_delivery_id(text))])
        return [one for one in found if one is not None]


@asynccontextmanager
async def alive(real: EmbeddedLog, directory: Path, troubles: Troubles = none) -> AsyncIterator[WebhookNode]:
    node = WebhookNode(real, directory, troubles)
    try:
        await node.recover()
        yield node
    finally:
        node.close()


@asynccontextmanager
async def deployment() -> AsyncIterator[tuple[EmbeddedLog, Writes, Path]]:
    with quick_directory() as directory:
        async with opened_log(directory / "log", partitions=PARTITIONS) as real:
            yield real, Writes(real, PARTITIONS), directory


async def happens(writes: Writes) -> None:
    """Have a context be attached, an item of it hidden and shown, and the session deleted, each of them twice."""
    await writes.put(CONTEXT, "a")
    for _ in range(2):
        await writes.attach(SESSION, CONTEXT)
    for hidden in (True, True, False, False):
        await writes.context_event(CONTEXT, ItemHidden(**writes.cause(), content_id="a", hidden=hidden))
    await writes.put(CONTEXT, "a", hidden=True)
    for _ in range(2):
        await writes.delete(SESSION)


WHAT = ["context_added", "deleted", "item_hidden", "item_unhidden"]


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED, Trouble.PART, Trouble.CRASH, Trouble.CRASH_LANDED])
@pytest.mark.parametrize(
    "call",
    [
        f"append {TOPICS.notices}-{AT}",
        f"changelog {TOPICS.sessions_changelog}-{partition_of(SESSION, PARTITIONS)}",
        f"changelog {TOPICS.contexts_changelog}-{AT}",
        f"changelog {TOPICS.webhooks_changelog}-{AT}",
    ],
)
async def test_each_thing_is_heard_of_once(call: str, trouble: Trouble) -> None:
    """Whatever the folds say again, because a turn was repeated, here or on another node."""
    async with deployment() as (real, writes, directory):
        await happens(writes)
        async with alive(real, directory / "a", once(call, trouble)) as node:
            try:
                await node.drain()
            except CrashError:
                assert trouble in {Trouble.CRASH, Trouble.CRASH_LANDED}
        async with alive(real, directory / "a") as node:
            await node.drain()
            assert sorted(node.heard()) == WHAT


@pytest.mark.parametrize("first", [TOPICS.notices, WEBHOOK_EVENTS])
async def test_what_was_decided_is_known_when_all_is_folded_again(first: str) -> None:
    """From the sources alone: nothing is decided again, and what has arrived is not sent again."""
    async with deployment() as (real, writes, directory):
        await happens(writes)
        async with alive(real, directory / "a") as node:
            await node.drain()
            event = await node.decide()
            await node.queues.append(
                AT,
                DeliveryAttempted(id=ID, event=event, endpoint="e", attempt=1, at=1, status=200, outcome="DELIVERED"),
            )
            await node.drain()
            before = await node.told()
            assert [one.delivery.status for one in before].count("DELIVERED") == 1
        await real.delete_topics(TOPICS)
        await real.create_topics(topic_specs(PARTITIONS))
        async with alive(real, directory / "b") as node:
            for processor in (node.sessions, node.contexts):
                for number in range(PARTITIONS):
                    await node.fetch(processor.fold.source, number)
                await node.turn(processor)
            for number in range(PARTITIONS):
                await node.fetch(first, number)
            await node.turn(node.processors[2])
            await node.drain()
            assert node.heard() == []
            assert await node.told() == before
            await writes.attach(session_id(2), CONTEXT)
            await node.drain()
            assert node.heard() == ["context_added"]


async def test_nothing_is_sent_before_all_is_known_that_was() -> None:
    """A partition that comes here is ready once the events are folded that were there when it came."""
    async with deployment() as (real, writes, directory):
        await writes.attach(SESSION, CONTEXT)
        async with alive(real, directory / "a") as node:
            await node.drain()
            assert await node.queues.ready() == [0, 1]
            await node.decide()
        async with alive(real, directory / "a") as node:
            assert await node.queues.ready() == [1 - AT]
            # As one that was a warm copy, which is served from the first moment.
            node.processors[2].table.partitions[AT].served = True
            assert await node.queues.ready() == [1 - AT]
            await node.drain()
            assert await node.queues.ready() == [0, 1]
            node.is_live = False
            assert await node.queues.ready() == []


async def test_another_version_of_the_views() -> None:
    """Who sends hears of what is folded into the other version's table from then on."""
    async with deployment() as (real, writes, directory), alive(real, directory / "a") as one:
        await one.drain()
        queues = copy(one.queues)
        waiting = asyncio.create_task(queues.changed(60.0))
        await asyncio.sleep(0)
        async with alive(real, directory / "b") as another:
            queues.take(another.queues)
            await asyncio.wait_for(waiting, 10)
            await writes.attach(SESSION, CONTEXT)
            waiting = asyncio.create_task(queues.changed(60.0))
            await another.drain()
            await asyncio.wait_for(waiting, 10)
            assert [notice.id for _, notice in layout.undecided(queues.rows(AT))] != []


async def test_lists_of_deliveries() -> None:
    """Newest first, by status, and by when they were planned; and each by its id."""
    async with deployment() as (real, writes, directory), alive(real, directory / "a") as node:
        events = []
        for n in range(5):
            await writes.attach(session_id(n), CONTEXT)
            await node.drain()
            events.append(await node.decide())
            await node.drain()
        attempted = DeliveryAttempted(id=ID, event=events[1], endpoint="e", attempt=1, at=1, outcome="FAILED")
        await node.queues.append(AT, attempted)
        await node.drain()
        found = await node.told()
        newest_first = sorted(found, key=lambda one: (-one.planned_ms, one.delivery.event))
        assert (found, {one.delivery.event for one in found}) == (newest_first, {*events})
        (failed,) = await node.told(status="FAILED")
        assert failed.delivery.event == events[1]
        assert await node.told("f") == []
        assert (await node.deliveries.listed([1 - AT], Wanted(["e"]))).found == []
        assert (await node.deliveries.listed([AT], Wanted(["e"], to_ms=found[-1].planned_ms))).found == []
        id_ = parse_delivery_id(failed.id)
        assert id_ is not None
        assert await node.deliveries.find([id_._replace(event=ID), id_]) == [None, failed]
        with pytest.raises(ViewUnavailableError):
            await node.deliveries.find([id_._replace(partition=PARTITIONS)])


async def test_one_that_failed_is_sent_again() -> None:
    """It is due once that is folded."""
    async with deployment() as (real, writes, directory), alive(real, directory / "a") as node:
        await writes.attach(SESSION, CONTEXT)
        await node.drain()
        event = await node.decide()
        await node.queues.append(
            AT, DeliveryAttempted(id=ID, event=event, endpoint="e", attempt=1, at=1, outcome="FAILED")
        )
        await node.drain()
        (failed,) = await node.told()
        assert failed.delivery.status == "FAILED"

        async def folded(partition: int, offset: int, *, limit_s: float) -> None:
            await node.drain()
            await WebhookQueues.folded(node.queues, partition, offset, limit_s=limit_s)

        node.queues.folded = folded  # type: ignore[method-assign]
        id_ = parse_delivery_id(failed.id)
        assert id_ is not None
        assert await node.deliveries.resend([id_, DeliveryId(AT, ID, id_.endpoint)]) == 1
        (again,) = await node.told()
        assert (again.id, again.delivery.status, again.delivery.tries) == (failed.id, "PENDING", 0)


async def test_what_no_fold_takes_is_not_written() -> None:
    """It would be a dead letter, and nothing would ever come of what it says."""
    async with deployment() as (real, _, directory), alive(real, directory) as node:
        end = await real.end_offset(WEBHOOK_EVENTS, AT)
        refused = DeliveryAttempted(id=ID, event=ID, endpoint="e", attempt=1, at=1, status=1_000, outcome="FAILED")
        with pytest.raises(PoisonError):
            await node.queues.append(AT, refused)
        assert await real.end_offset(WEBHOOK_EVENTS, AT) == end
