"""A table that has been in use for long, and one that was off while its changelog forgot what was deleted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.domain.errors import ViewUnavailableError
from streams.domain.events import ItemRemoved
from streams.engine.copies import Copies
from streams.engine.storage import StoreReadError
from streams.engine.store import PartitionStore
from streams.engine.trimmer import Trimmer
from streams.log.port import Chunk
from tests.contract.test_copies import caught_up, changelogs_of, copied_rows, rows_of
from tests.support.engine_checks import check_node
from tests.support.engine_examples import CONTEXT, SESSION, put_many
from tests.support.engine_follower import EmbeddedFollower
from tests.support.engine_nodes import Living, Node, die, living
from tests.support.stores import copied

LIMIT_S = 20


@asynccontextmanager
async def filled() -> AsyncIterator[Living]:
    """Give a node that has folded three items of a context, in a session."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 3)
        await one.node.drain()
        yield one


async def test_a_table_that_is_killed_was_not_off_for_long() -> None:
    """However little is written, it is soon on the disk: a start from what a killed one leaves has nothing to apply."""
    async with filled() as one:
        before = [set(store.path.glob("*.sst")) for _, _, store in one.node.stores()]
        trimmer = Trimmer(one.log, one.node.processors, every_s=0, flush_every_s=0)
        trimmer.start()
        async with asyncio.timeout(LIMIT_S):
            while any(
                set(s.path.glob("*.sst")) == was for (_, _, s), was in zip(one.node.stores(), before, strict=True)
            ):
                await asyncio.sleep(0)
        await trimmer.stop()
        copied(one.directory / "a", one.directory / "killed")
        node = one.another("killed")
        assert {at: store.offset for at, store in stores(node).items()} == {
            at: store.offset for at, store in stores(one.node).items()
        }
        node.close()


def stores(node: Node) -> dict[str, PartitionStore]:
    return {processor.fold.name: processor.table.files.partition(0) for processor in node.processors}


async def remove_one(one: Living) -> None:
    """Have an item be deleted from all rows."""
    await one.writes.context_event(CONTEXT, ItemRemoved(**one.writes.cause(), content_id="001"))
    await one.node.drain()


async def forget(one: Living) -> None:
    """Have the changelogs forget what was deleted."""
    one.real._cleaner._tombstones_kept_ms = 0
    for processor in one.node.processors:
        for _ in range(2):
            await one.real.compact(processor.fold.changelog, 0)
        assert await one.real.has_forgotten(processor.fold.changelog, 0, 0, None)


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_table_that_was_off_while_rows_were_deleted(*, forgotten: bool) -> None:
    """They are deleted there too, also where the changelog does not say so any more: then it is restored whole."""
    async with filled() as one:
        one.node.close()
        shutil.copytree(one.directory / "a", one.directory / "off")
        await one.node.recover()
        await remove_one(one)
        if forgotten:
            await forget(one)
        node = one.another("off")
        await node.recover()
        assert rows_of(node) == rows_of(one.node)
        assert [processor.table.files.set_aside for processor in node.processors] == [forgotten, forgotten]
        assert sorted(path.name for path in (one.directory / "off" / "contexts").iterdir()) == ["0"]
        await check_node(node, one.real)
        node.close()


async def test_a_table_of_which_nothing_was_forgotten_goes_on() -> None:
    """What was forgotten before it stopped it has: nothing is restored."""
    async with filled() as one:
        await remove_one(one)
        await forget(one)
        one.node.close()
        node = one.another("a")
        await node.recover()
        assert [processor.table.files.set_aside for processor in node.processors] == [0, 0]
        node.close()


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_copy_that_was_off_while_rows_were_deleted(*, forgotten: bool) -> None:
    """It hears of them, or begins anew, in the same process or another."""
    async with filled() as one:
        node = one.another("b")
        for n in range(2):
            node.engine.copies = Copies(EmbeddedFollower(one.real), one.real, die)
            node.engine.copies.start()
            await node.engine.recover((), changelogs_of(node))
            await caught_up(node, one.node)
            assert copied_rows(node) == rows_of(one.node)
            await node.engine.copies.stop()
            if n == 0:
                await remove_one(one)
                if forgotten:
                    await forget(one)
        assert [processor.table.files.set_aside for processor in node.processors] == [forgotten, forgotten]
        node.close()


def before_it_is_read(one: Living, node: Node, offset: int, work: Callable[[], Awaitable[None]]) -> None:
    """Have *work* be done when *node* has read its contexts' changelog up to a record, and goes on."""
    read, topic, done = one.real.read, node.contexts.fold.changelog, list[int]()

    async def one_by_one(name: str, partition: int, start: int, end: int | None = None) -> AsyncIterator[Chunk]:
        if (name, partition) != (topic, 0) or end is None:
            async for chunk in read(name, partition, start, end):
                yield chunk
            return
        for at in range(start, end):
            if at == offset and not done:
                done.append(at)
                await work()
            async for chunk in read(name, partition, at, at + 1):
                yield chunk._replace(next_offset=at + 1)

    node.log.read = one_by_one  # type: ignore[assignment]


async def first_tombstone(one: Living, start: int) -> int:
    topic = one.node.contexts.fold.changelog
    chunks = one.real.read(topic, 0, start, await one.real.end_offset(topic, 0))
    return min([record.offset async for chunk in chunks for record in chunk.records if record.value is None])


async def test_what_is_forgotten_while_a_table_is_restored() -> None:
    """A row that was read, and whose deletion is gone before that is read, is not there: all is read again."""
    async with filled() as one:
        await remove_one(one)
        node = one.another("new")
        before_it_is_read(one, node, await first_tombstone(one, 0), lambda: forget(one))
        await node.recover(range(1))
        assert node.contexts.table.files.set_aside == 1
        assert rows_of(node)["contexts", 0] == rows_of(one.node)["contexts", 0]
        node.close()


async def test_what_is_forgotten_while_a_table_goes_on_and_stops() -> None:
    """Nothing is written that may lack a deletion, so that whoever comes next looks again."""
    async with filled() as one:
        one.node.close()
        shutil.copytree(one.directory / "a", one.directory / "off")
        await one.node.recover()
        before = stores(one.node)[one.node.contexts.fold.name].offset
        await remove_one(one)
        node = one.another("off")
        before_it_is_read(one, node, await first_tombstone(one, before + 1), lambda: forget(one))
        (owned,) = await node.contexts.table.assign([0])
        with pytest.raises(StoreReadError):
            await owned.recover()
        assert not owned.served
        node.close()
        node = one.another("off")
        await node.recover(range(1))
        assert rows_of(node)["contexts", 0] == rows_of(one.node)["contexts", 0]
        node.close()


async def test_a_copy_that_begins_anew_is_not_read_meanwhile() -> None:
    """It is empty, and says nothing of what there is."""
    async with filled() as one:
        node, follower, gate = one.another("b"), EmbeddedFollower(one.real), asyncio.Event()
        node.engine.copies = Copies(follower, one.real, die)
        node.engine.copies.start()
        await node.engine.recover((), changelogs_of(node))
        await caught_up(node, one.node)
        copy, fetched, emptied = node.contexts.table.copies[0], follower.fetched, asyncio.Event()

        async def held(*args: Any) -> Any:
            if copy.store.offset < 0:
                emptied.set()
            await gate.wait()
            return await fetched(*args)

        follower.fetched = held  # type: ignore[assignment]
        async with asyncio.timeout(LIMIT_S):
            await remove_one(one)
            await forget(one)
            gate.set()
            while not emptied.is_set():
                gate.set() if copy.store.offset >= 0 else gate.clear()
                await asyncio.sleep(0)
            assert not copy.served
            with pytest.raises(ViewUnavailableError):
                node.contexts.table.rows(0)
            assert set(copy.positions.values()) == {-1}
            gate.set()
            await caught_up(node, one.node)
        assert copied_rows(node) == rows_of(one.node)
        await node.engine.copies.stop()
        node.close()
