"""Who waits for a table, and what waits for a processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.domain import context_rows, session_rows
from streams.domain.errors import ViewBehindError, ViewUnavailableError
from streams.engine.inbox import Fetched, Inbox
from streams.engine.waiters import Waiters
from streams.log.port import Record
from streams.topics import CONTEXT_EVENTS
from tests.support.engine_examples import CONTEXT, SESSION, put_many
from tests.support.engine_nodes import ENGINE, Living, Parts, living
from tests.support.tables import context_id

KEY = context_rows.meta_key(CONTEXT)


@pytest.fixture
def parts() -> Parts:
    return ENGINE


def folded(one: Living, offset: int) -> Callable[[], bool]:
    return lambda: one.node.contexts.table.position(CONTEXT_EVENTS, 0) >= offset


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(one: Living, key: bytes, reached: Callable[[], bool]) -> asyncio.Task[None]:
    task = asyncio.create_task(one.node.contexts.table.until(0, key, reached, limit_s=30))
    await settle()
    assert not task.done()
    return task


# Readers


async def test_what_is_there_is_not_waited_for() -> None:
    """Who asks for what the table has goes on at once."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.drain()
        await one.node.contexts.table.until(0, KEY, folded(one, 0), limit_s=0)


async def test_who_waits_goes_on_with_the_commit(parts: Parts) -> None:
    """Not while the batch is on its way, and not before the rows that it waits for can be read."""
    async with living(parts) as one:
        table = one.node.contexts.table
        await put_many(one, 1)
        task = await waiting(one, KEY, lambda: table.rows(0).get(KEY) is not None)
        other = await waiting(one, b"another", folded(one, 0))
        await one.node.fetch(CONTEXT_EVENTS, 0)

        async def look() -> None:
            await settle()
            assert not task.done()
            assert not other.done()

        one.log.gates[f"changelog {one.node.contexts.fold.changelog}-0"] = look
        await one.node.turn(one.node.contexts)
        await settle()
        assert task.done()
        assert other.done()
        await asyncio.gather(task, other)


async def test_only_those_are_asked_whom_a_commit_concerns() -> None:
    """A feed that moves no source wakes those whose key it wrote; a source that moves wakes everybody."""
    async with living() as one:
        table, asked = one.node.sessions.table, 0
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()

        def never() -> bool:
            nonlocal asked
            asked += 1
            return False

        key = session_rows.session_key(SESSION)
        mine = asyncio.create_task(
            table.until(0, key, lambda: session_rows.read_session(table.rows(0), SESSION).total == 1, limit_s=30)
        )
        other = asyncio.create_task(table.until(0, b"another", never, limit_s=30))
        await settle()
        assert asked == 1
        await put_many(one, 1)
        await one.node.drain()
        await mine
        assert asked == 1
        await one.writes.attach(SESSION, context_id(2))
        await one.node.drain()
        assert asked >= 2
        assert not other.done()
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        assert table.partitions[0].waiters._waiters == set()


async def test_who_waits_too_long_is_told() -> None:
    """A position that the table does not reach in time is behind, and nobody is left waiting."""
    async with living() as one:
        with pytest.raises(ViewBehindError):
            await one.node.contexts.table.until(0, KEY, folded(one, 0), limit_s=0.01)
        assert one.node.contexts.table.partitions[0].waiters._waiters == set()


async def test_who_waits_for_a_partition_that_goes_is_told() -> None:
    """Whoever waits is sent elsewhere as soon as the partition is let go; so is who comes later."""
    async with living(partitions=2) as one:
        task = await waiting(one, KEY, folded(one, 0))
        await one.node.recover(range(1, 2))
        with pytest.raises(ViewUnavailableError):
            await task
        with pytest.raises(ViewUnavailableError):
            await one.node.contexts.table.until(0, KEY, folded(one, 0), limit_s=1)


async def test_who_waits_is_told_where_it_cannot_be_read_any_more() -> None:
    """A table too old to be read is not waited for: who asks it hears so with the next commit."""
    async with living() as one:
        await put_many(one, 1)
        task = await waiting(one, KEY, folded(one, 0))
        await one.node.fetch(CONTEXT_EVENTS, 0)
        one.node.clock.now_s += 1_000
        await one.node.turn(one.node.contexts)
        with pytest.raises(ViewUnavailableError):
            await task


async def test_what_another_owner_folded_is_heard_of_after_the_recovery() -> None:
    """Who waits for a position that comes with a restored tail goes on as well."""
    async with living() as one:
        await one.node.recover()
        task = await waiting(one, KEY, folded(one, 0))
        other = one.another("b")
        await other.recover()
        await put_many(one, 1)
        await other.drain()
        other.close()
        await one.node.recover()
        await settle()
        assert task.done()
        await task


async def test_one_that_gives_up_does_no_harm_to_the_others() -> None:
    """Of many who wait for the same, each may leave at any moment, also when all are being told."""
    waiters, reached = Waiters(), False
    tasks = [asyncio.create_task(waiters.until(KEY, lambda: reached, limit_s=30)) for _ in range(10)]
    await settle()
    for task in tasks[::3]:
        task.cancel()
    reached = True
    waiters.committed({KEY}, source_moved=False)
    waiters.gone()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [n % 3 == 0 for n in range(10)]
    assert waiters._waiters == set()


# Fetches


def fetched(first: int, count: int, *, partition: int = 0, size: int = 0) -> Fetched:
    return Fetched("t", partition, [Record(n, n, b"", b"v" * size) for n in range(first, first + count)])


def offsets(fetches: list[Fetched]) -> list[tuple[int, list[int]]]:
    return [(one.partition, [record.offset for record in one.records]) for one in fetches]


async def test_fetches_are_taken_in_order_and_in_portions() -> None:
    """A fetch that is larger than what is asked for gives its beginning, and next time the rest."""
    inbox = Inbox()
    inbox.open()
    inbox.put(fetched(0, 5))
    inbox.put(fetched(0, 0, partition=1))
    inbox.put(fetched(7, 3, partition=1))
    await inbox.arrived()
    assert inbox.oldest_ms == 0
    assert offsets(inbox.take(2)) == [(0, [0, 1])]
    assert inbox.oldest_ms == 2
    assert offsets(inbox.take(4)) == [(0, [2, 3, 4]), (1, [7])]
    inbox.put(fetched(10, 1, partition=1))
    inbox.put_back(fetched(4, 1))
    assert offsets(inbox.take(100)) == [(0, [4]), (1, [8, 9]), (1, [10])]
    assert inbox.take(100) == []
    assert inbox.oldest_ms is None


async def test_a_closed_inbox_is_empty_and_takes_nothing() -> None:
    """What is there when it closes is forgotten, what comes then is not taken; opened again it begins anew."""
    inbox = Inbox(full_bytes=1_000)
    inbox.put(fetched(0, 1))
    assert inbox.take(1) == []
    inbox.open()
    inbox.put(fetched(0, 20))
    assert inbox.full
    inbox.close()
    assert not inbox.full
    inbox.put(fetched(20, 1))
    inbox.put_back(fetched(19, 1))
    assert inbox.take(100) == []
    inbox.open()
    waiting = asyncio.create_task(inbox.arrived())
    await settle()
    assert not waiting.done()
    inbox.put(fetched(20, 1))
    async with asyncio.timeout(30):
        await waiting
    assert offsets(inbox.take(1)) == [(0, [20])]


async def test_an_inbox_that_is_full_wants_more_once_half_of_it_is_gone() -> None:
    """So fetches are large; and nothing that a partition loses leaves it full for ever."""
    inbox = Inbox(full_bytes=10_000)
    inbox.open()
    for n in range(9):
        inbox.put(fetched(n, 1, size=900))
        assert not inbox.full
    inbox.put(fetched(9, 1, partition=1, size=900))
    assert inbox.full
    inbox.take(5)
    assert inbox.full
    inbox.take(1)
    assert not inbox.full
    for n in range(10, 16):
        inbox.put(fetched(n, 1, size=900))
    assert inbox.full
    inbox.forget("t", 0)
    assert not inbox.full
    assert offsets(inbox.take(100)) == [(1, [9])]
