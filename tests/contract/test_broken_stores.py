"""Tables whose files are damaged while they are in use: never read as if rows were not there, and restored at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from streams.domain.errors import RefusedStartError, ViewUnavailableError
from streams.engine.storage import StoreReadError
from streams.engine.store import PartitionStore
from streams.topics import CONTEXT_EVENTS
from tests.contract.test_copies import caught_up, copied_rows, copying, rows_of
from tests.support.engine_checks import check_node
from tests.support.engine_examples import CONTEXT, CONTEXTS_CHANGELOG, SESSION, put_many
from tests.support.engine_nodes import Living, living

LIMIT_S = 20.0


def damage(store: PartitionStore) -> None:
    """Have no block of what a store holds be as it was written, on the disk and to whoever reads it next."""
    store._database.flush()
    store._small.clear()
    tables = list(Path(store.path).glob("*.sst"))
    assert tables
    for path in tables:
        content = bytearray(path.read_bytes())
        for at in range(0, len(content) // 2, 16):
            content[at] ^= 0x5A
        path.write_bytes(bytes(content))


def read(store: PartitionStore) -> None:
    """Read all rows."""
    for _ in store.range(b""):
        pass


async def filled(one: Living, items: int = 20) -> PartitionStore:
    await one.writes.attach(SESSION, CONTEXT)
    await put_many(one, items)
    await one.node.drain()
    return one.node.contexts.table.partitions[0].store


async def test_what_a_reader_cannot_read_is_restored() -> None:
    """The reader is told to ask again, the next ones too, until all of it is there from the changelog."""
    async with living() as one:
        store = await filled(one)
        damage(store)
        table = one.node.contexts.table
        with pytest.raises(StoreReadError) as error:
            read(store)
        assert isinstance(error.value, ViewUnavailableError)
        with pytest.raises(ViewUnavailableError):
            table.rows(0)
        running = asyncio.create_task(one.node.contexts.run())
        async with asyncio.timeout(LIMIT_S):
            while not table.partitions[0].served:
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.wait({running})
        read(store)
        assert table.files.set_aside == 1
        assert [path.name.split("-")[0] for path in table.files.directory.iterdir() if "." in path.name] == ["0.failed"]
        await check_node(one.node, one.real)


async def test_what_the_fold_cannot_read_is_restored_and_folded_on() -> None:
    """Nothing of the turn was written: it is taken again, on rows that are there."""
    async with living(partitions=2) as one:
        await filled(one, 30)
        damage(one.node.contexts.table.partitions[one.writes.partition(CONTEXT)].store)
        damage(one.node.sessions.table.partitions[one.writes.partition(SESSION)].store)
        await put_many(one, 40)
        await one.node.drain()
        assert [processor.table.files.set_aside for processor in one.node.processors] == [1, 1]
        await check_node(one.node, one.real)


@pytest.mark.parametrize("taken_over", [False, True])
async def test_what_is_damaged_during_a_turn_is_served_only_once_it_is_restored(*, taken_over: bool) -> None:
    """The turn goes on, for it has read all that it needs; what it commits makes the rest no more readable."""
    async with AsyncExitStack() as nodes:
        one = await nodes.enter_async_context(living())
        await filled(one)
        node = one.node
        if taken_over:
            node = await nodes.enter_async_context(copying(one))
            await caught_up(node, one.node)
            await node.recover()
        table, log = node.contexts.table, node.log
        assert table.partitions[0].served
        await one.writes.put(CONTEXT, "x")
        await node.fetch(CONTEXT_EVENTS, 0)

        async def is_damaged() -> None:
            damage(table.partitions[0].store)
            with pytest.raises(StoreReadError):
                read(table.partitions[0].store)

        async def is_not_read() -> None:
            with pytest.raises(ViewUnavailableError):
                table.rows(0)

        log.gates[CONTEXTS_CHANGELOG] = is_damaged
        await node.contexts._turn()
        await is_not_read()
        log.gates.clear()
        claim = CONTEXTS_CHANGELOG.replace("changelog ", "claim ", 1)
        log.gates[claim] = is_not_read
        claims = log.calls.count(claim)
        await node.contexts._turn()
        assert log.calls.count(claim) == claims + 1
        log.gates.clear()
        read(table.partitions[0].store)
        assert table.position(CONTEXT_EVENTS, 0) == 20
        assert table.files.set_aside == 1


async def test_a_failure_between_two_owners_is_seen_to_by_the_next() -> None:
    """What is found while the partitions are paused is restored by who recovers them."""
    async with living() as one:
        store = await filled(one)
        await one.node.engine.pause()
        damage(store)
        with pytest.raises(StoreReadError):
            read(store)
        await one.node.contexts._turn()
        assert not one.node.contexts.table.partitions[0].served
        await one.node.recover()
        assert one.node.contexts.table.partitions[0].served
        await one.node.drain()
        await check_node(one.node, one.real)


async def test_a_store_that_somebody_holds_is_opened_anew_once_nobody_does() -> None:
    """A reader in the middle of its list keeps the old one open; so long nothing is served, and nothing is given up."""
    async with living() as one:
        store = await filled(one)
        reading = store.range(b"")
        next(reading)
        damage(store)
        with pytest.raises(StoreReadError):
            read(store)
        restoring = asyncio.create_task(one.node.contexts._turn())
        async with asyncio.timeout(LIMIT_S):
            while store._database is not None:
                await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
            assert not one.node.contexts.table.partitions[0].served
        del reading
        async with asyncio.timeout(LIMIT_S):
            await restoring
        assert one.node.contexts.table.partitions[0].served
        await check_node(one.node, one.real)


async def test_a_copy_that_cannot_be_read_is_made_anew() -> None:
    """It is not read from until it has been at the end once more."""
    async with living() as one, copying(one) as node:
        await filled(one)
        await caught_up(node, one.node)
        copy, table = node.contexts.table.copies[0], node.contexts.table
        damage(copy.store)
        with pytest.raises(StoreReadError):
            read(copy.store)
        with pytest.raises(ViewUnavailableError):
            table.rows(0)
        await caught_up(node, one.node)
        assert copied_rows(node) == rows_of(one.node)
        assert table.files.set_aside == 1
        assert table.position(CONTEXT_EVENTS, 0) == 19


async def test_a_copy_that_somebody_holds_is_not_read_from_until_it_is_made_anew() -> None:
    """It has all of its changelog, as far as offsets say, and none of its rows."""
    async with living() as one, copying(one) as node:
        await filled(one)
        await caught_up(node, one.node)
        copy, table = node.contexts.table.copies[0], node.contexts.table
        reading, other = copy.store.range(b""), copy.store.range(b"")
        next(reading)
        damage(copy.store)
        with pytest.raises(StoreReadError):
            read(copy.store)
        async with asyncio.timeout(LIMIT_S):
            while copy.store._database is not None:
                await asyncio.sleep(0.005)
        for _ in range(50):
            await asyncio.sleep(0.005)
            with pytest.raises(ViewUnavailableError):
                table.rows(0)
        with pytest.raises(ViewUnavailableError):
            next(other)
        del reading
        await caught_up(node, one.node)
        assert copied_rows(node) == rows_of(one.node)


async def test_what_breaks_again_and_again_ends_the_process() -> None:
    """A disk that keeps nothing is somebody's business: the error that nothing catches names the table."""
    async with living() as one:
        store = await filled(one)
        for _ in range(3):
            damage(store)
            with pytest.raises(StoreReadError):
                read(store)
            await one.node.contexts._turn()
            read(store)
        damage(store)
        with pytest.raises(StoreReadError):
            read(store)
        with pytest.raises(RefusedStartError, match="look at the disk") as error:
            await one.node.contexts._turn()
        assert str(store.path) in str(error.value)


def break_files(store: PartitionStore) -> None:
    """Have RocksDB meet in a compaction what it cannot read, after which it writes nothing any more."""
    damage(store)
    with pytest.raises(StoreReadError):
        store.compact()
    assert not store.has_failed, "nobody has heard of it"


async def test_what_a_compaction_has_met_is_restored_once_something_is_written() -> None:
    """The batch is in the changelog by then, and is restored with the rest."""
    async with living() as one:
        store = await filled(one)
        node, table = one.node, one.node.contexts.table
        await one.writes.put(CONTEXT, "x")
        await node.fetch(CONTEXT_EVENTS, 0)

        async def is_broken() -> None:
            break_files(store)

        node.log.gates[CONTEXTS_CHANGELOG] = is_broken
        await node.contexts._turn()
        node.log.gates.clear()
        assert (table.position(CONTEXT_EVENTS, 0), table.files.set_aside) == (20, 1)
        await node.drain()
        await check_node(node, one.real)


async def test_a_copy_that_a_compaction_has_broken_is_made_anew() -> None:
    """It ends nothing: what comes next cannot be written into it."""
    async with living() as one, copying(one) as node:
        await filled(one)
        await caught_up(node, one.node)
        break_files(node.contexts.table.copies[0].store)
        await put_many(one, 30)
        await one.node.drain()
        await caught_up(node, one.node)
        assert copied_rows(node) == rows_of(one.node)
        assert node.contexts.table.files.set_aside == 1


@pytest.mark.parametrize("step", ["flush", "compact"])
async def test_what_is_met_beside_is_restored(step: str) -> None:
    """Whoever wrote it out, or rewrote it, has its partition be restored, and goes on."""
    async with living() as one:
        store = await filled(one)
        if step == "flush":
            break_files(store)
        else:
            damage(store)
        assert not await store.beside(getattr(store, step))
        assert store.has_failed
        await one.node.contexts._turn()
        read(store)
        assert await store.beside(getattr(store, step))
        await check_node(one.node, one.real)
