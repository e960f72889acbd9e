"""Repairs in the turns of real processors: between two records, written as any other turn, and as sure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from streams.domain import context_rows, session_rows
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.repairs import Repaired
from streams.engine.processor import Processor
from streams.log.embedded import EmbeddedLog
from streams.log.port import Chunk
from streams.refold import Refold
from streams.repair import Repair
from streams.topics import CONTEXT_EVENTS
from tests.support.engine_checks import check_node
from tests.support.engine_examples import CONTEXT, CONTEXTS_CHANGELOG, FEED, SESSION, once, put_many, titles
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import Living, living
from tests.support.tables import HASH_KEY, context_id

T = TypeVar("T")


class MovingLog:
    """The log, in which something happens after each of the first reads."""

    def __init__(self, real: EmbeddedLog, meanwhile: Callable[[], Awaitable[None]], times: int) -> None:
        self._real, self._meanwhile, self._times = real, meanwhile, times
        self.scanned: list[tuple[str, int, int]] = []

    async def start_offset(self, topic: str, partition: int) -> int:
        return await self._real.start_offset(topic, partition)

    async def end_offset(self, topic: str, partition: int) -> int:
        return await self._real.end_offset(topic, partition)

    async def scan(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[Chunk]:
        self.scanned.append((topic, start, end))
        async for chunk in self._real.scan(topic, partition, start, end):
            yield chunk
        if self._times > 0:
            self._times -= 1
            await self._meanwhile()


async def nothing() -> None:
    """Have nothing happen."""


def repair(one: Living, meanwhile: Callable[[], Awaitable[None]] = nothing, times: int = 0) -> Repair:
    log = MovingLog(one.real, meanwhile, times)
    refold = Refold(log, one.node.partitions, hash_key=HASH_KEY, limits=one.node.limits)
    return Repair(refold, lambda _view: one.node.processors, one.node.partitions)


async def in_turns(processor: Processor, repairing: Awaitable[T]) -> T:
    """Have a processor take turns until a repair is over."""
    task = asyncio.ensure_future(repairing)
    async with asyncio.timeout(20):
        while not task.done():
            await asyncio.sleep(0)
            await processor._turn()
    return await task


def harm(one: Living) -> None:
    """Take the newest item of the context away, and put a list row into the session that nobody knows of."""
    store = one.node.contexts.table.partitions[0].store
    place = next(key for key, _ in store.range(context_rows.ORDER + CONTEXT))
    item = context_rows.item_key(CONTEXT, context_rows.order_content_id(place))
    store.write({place: None, item: None}, store.offset)
    store = one.node.sessions.table.partitions[0].store
    member = session_rows.read_member(store, SESSION, CONTEXT)
    assert member is not None
    store.write({session_rows.list_key(SESSION, 2**41, b"ghost", CONTEXT, member.load): b"{"}, store.offset)


async def harmed(one: Living) -> None:
    await one.writes.attach(SESSION, CONTEXT)
    await put_many(one, 4)
    await one.node.drain()
    harm(one)
    assert titles(one) == ["T2", "T1", "T0"]


async def test_events_that_are_folded_meanwhile() -> None:
    """What comes while the log is read, and after that before the turn, is in what replaces the rows."""
    async with living() as one:
        await harmed(one)
        written = 0

        async def meanwhile() -> None:
            nonlocal written
            written += 1
            await one.writes.put(CONTEXT, f"new{written}", title=f"N{written}")
            await one.writes.put(context_id(7), "others")
            await one.node.drain()

        found = await in_turns(one.node.contexts, repair(one, meanwhile, 2).context(CONTEXT, is_dry=False))
        assert [item.content_id for item in found.items] == ["003"]
        await one.node.drain()
        assert titles(one) == ["N2", "N1", "T3", "T2", "T1", "T0"]
        written = 0
        found = await in_turns(one.node.sessions, repair(one, meanwhile, 2).session(SESSION, is_dry=False))
        assert [item.content_id for item in found.items] == ["ghost"]
        await one.node.drain()
        await check_node(one.node, one.real)


async def test_a_dry_run_writes_nothing() -> None:
    """Neither rows nor outputs."""
    async with living() as one:
        await harmed(one)
        stores = [store for _, _, store in one.node.stores()]
        before = [dict(store.range(b"")) for store in stores]
        found = await in_turns(one.node.contexts, repair(one).context(CONTEXT, is_dry=True))
        assert (len(found.items), found.rows) == (1, 3)
        found = await in_turns(one.node.sessions, repair(one).session(SESSION, is_dry=True))
        assert (len(found.items), found.rows) == (1, 1)
        assert [dict(store.range(b"")) for store in stores] == before


@pytest.mark.parametrize("call", [FEED, CONTEXTS_CHANGELOG])
@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED])
async def test_a_repair_whose_outcome_is_unknown(call: str, trouble: Trouble) -> None:
    """It says so; whatever became of it, the next one ends right, and so does what restores the table."""
    async with living() as one:
        await harmed(one)
        one.log.troubles = once(call, trouble)
        with pytest.raises(LogUnavailableError):
            await in_turns(one.node.contexts, repair(one).context(CONTEXT, is_dry=False))
        await in_turns(one.node.contexts, repair(one).context(CONTEXT, is_dry=False))
        await in_turns(one.node.sessions, repair(one).session(SESSION, is_dry=False))
        await one.node.drain()
        assert titles(one) == ["T3", "T2", "T1", "T0"]
        await check_node(one.node, one.real)
        other = one.another("b")
        await other.recover()
        rows = other.contexts.table.partitions[0].store
        assert len(list(rows.range(context_rows.ITEM + CONTEXT))) == 4
        other.close()


async def test_a_partition_that_goes_to_another_node() -> None:
    """Who waits for a turn is told that there is none."""
    async with living() as one:
        await harmed(one)
        repairing: asyncio.Task[Repaired] = asyncio.ensure_future(repair(one).context(CONTEXT, is_dry=False))
        async with asyncio.timeout(20):
            while not one.node.contexts._errands._waiting:
                await asyncio.sleep(0)
        await one.node.engine.pause()
        with pytest.raises(ViewUnavailableError):
            await repairing
        one.node.engine.resume()
        await one.node.recover(range(0))
        with pytest.raises(ViewUnavailableError):
            await repair(one).context(CONTEXT, is_dry=False)


async def test_a_change_that_comes_while_partitions_move() -> None:
    """It is made once they have, though nothing else arrives."""
    async with living() as one:
        await harmed(one)
        await one.node.engine.pause()
        processor = one.node.contexts
        running = asyncio.create_task(processor.run())
        changing = asyncio.create_task(processor.change(0, lambda _: nothing()))
        # A turn of a processor that is paused takes no errand.
        async with asyncio.timeout(20):
            while not (processor._errands._waiting and not processor.inbox._nudged and processor._idle.is_set()):
                await asyncio.sleep(0)
            processor.resume()
            await changing
        running.cancel()
        await asyncio.wait({running})


async def test_a_log_that_says_nothing_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is over soon, and nothing was changed."""
    monkeypatch.setattr("streams.repair.TURN_LIMIT_S", 0.05)
    async with living() as one:
        await harmed(one)
        times = 0

        async def meanwhile() -> None:
            nonlocal times
            times += 1
            if times > 2:
                await asyncio.Event().wait()
            await one.writes.put(CONTEXT, f"new{times}", title=f"N{times}")
            await one.node.drain()

        with pytest.raises(LogUnavailableError):
            await in_turns(one.node.contexts, repair(one, meanwhile, 3).context(CONTEXT, is_dry=False))
        assert titles(one) == ["N2", "N1", "T2", "T1", "T0"]
        assert one.node.contexts.table.position(CONTEXT_EVENTS, 0) == 5


async def test_a_change_with_a_bug() -> None:
    """It ends the process, as any other bug."""
    async with living() as one:
        await harmed(one)

        async def change(_batch: object) -> None:
            raise ZeroDivisionError

        changing = asyncio.ensure_future(one.node.contexts.change(0, change))
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await one.node.contexts._turn()
        with pytest.raises(ZeroDivisionError):
            await changing
