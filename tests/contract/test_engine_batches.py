"""How much one turn of a processor takes, and writes at once."""

from __future__ import annotations

import asyncio

from streams.codec import MAX_EVENT_BYTES, encode_event
from streams.domain import context_rows, session_rows
from streams.engine.batch import FULL_BYTES, Batch
from streams.log.port import MAX_BATCH_BYTES, MAX_CLAIMED_BYTES
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.support.engine_checks import check_node
from tests.support.engine_examples import (
    CONTEXT,
    CONTEXTS_CHANGELOG,
    SESSION,
    TOPICS,
    put_many,
    titles,
)
from tests.support.engine_nodes import Living, living
from tests.support.tables import context_id, make_item, session_id

LARGEST_ID = "\N{GRINNING FACE}" * 251
"""With a number behind it, as many bytes as a content id can have."""


async def test_many_large_records_are_several_batches() -> None:
    """A turn takes as many records as one batch of the changelog holds; the others wait for the next turns."""
    async with living() as one:
        await put_many(one, 300, description="d" * 4_000)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        turns = 0
        while one.node.contexts.table.position(CONTEXT_EVENTS, 0) < 299:
            await one.node.turn(one.node.contexts)
            turns += 1
        assert titles(one) == [f"T{n}" for n in reversed(range(300))]
        assert 300 * 4_000 / MAX_BATCH_BYTES < turns == one.log.calls.count(CONTEXTS_CHANGELOG)
        assert one.node.contexts.folded[CONTEXT_EVENTS] == 300
        assert one.node.seeks == []


async def test_no_record_makes_a_batch_too_large() -> None:
    """Whatever one record of either processor writes, there is room for it beside the most that a batch may hold."""
    async with living() as one:
        await asyncio.gather(*(one.writes.put(CONTEXT, f"{LARGEST_ID}{n:03}", title="T") for n in range(1_000)))
        await one.node.drain()
        await one.writes.attach(SESSION, CONTEXT)
        largest = await weigh(one)
        rows = one.node.sessions.table.rows(0)
        assert session_rows.read_session(rows, SESSION).total == 1_000
        await one.writes.detach(SESSION, CONTEXT)
        largest = max(largest, await weigh(one))
        assert list(rows.range(session_rows.PLACE + SESSION)) == []
        assert 600_000 < largest <= MAX_BATCH_BYTES - FULL_BYTES - 1_000


async def test_the_largest_bulk_is_one_batch() -> None:
    """500 items in 1 MiB replace a full list, all with the longest content ids: there is room for that."""
    sessions = [session_id(n) for n in range(3)]
    async with living() as one:
        for first in (0, 500):
            items = [make_item(f"{LARGEST_ID}{first + n:03}", title="T") for n in range(500)]
            await one.writes.context_event(CONTEXT, one.writes.items_put(CONTEXT, items))
        await asyncio.gather(*(one.writes.attach(session, CONTEXT) for session in sessions))
        await one.node.drain()
        others = [make_item(f"{LARGEST_ID[:-1]}o{n:03}", title="T", description="d" * 885) for n in range(500)]
        event = one.writes.items_replaced(CONTEXT, others)
        assert MAX_EVENT_BYTES * 0.98 < len(encode_event(event)) <= MAX_EVENT_BYTES
        await one.writes.context_event(CONTEXT, event)
        largest = await weigh(one)
        assert 4_000_000 < largest <= MAX_CLAIMED_BYTES - FULL_BYTES - 1_000
        await one.node.drain()
        listed = [item.content_id.encode() for item in reversed(others)]
        newest = context_rows.newest_items(one.node.contexts.table.rows(0), CONTEXT)
        assert [content_id for content_id, _ in newest] == listed
        rows = one.node.sessions.table.rows(0)
        assert {session_rows.read_session(rows, session).total for session in sessions} == {500}
        await check_node(one.node, one.real)
        again = one.another("b")
        await again.recover()
        await check_node(again, one.real)
        again.close()


async def weigh(one: Living) -> int:
    """Fold all that is there and what comes of it, a record a batch; return what the largest batch weighs."""
    largest, moved = 0, True
    while moved:
        moved = False
        for processor in one.node.processors:
            for topic in processor.topics:
                fetched = await one.node.read(topic, 0, 1)
                for record in fetched.records:
                    moved = True
                    batch = Batch(processor.fold, processor.table.partitions[0])
                    batch.add(topic, record)
                    largest = max(largest, batch.weight)
                one.node.engine.take(*fetched)
                await one.node.turn(processor)
    return largest


async def test_the_end_of_a_session_of_200_contexts_is_one_batch() -> None:
    """All its members go at once, and its rows after them."""
    contexts = [context_id(n) for n in range(200)]
    async with living() as one:
        await asyncio.gather(*(one.writes.put(context, f"{n}") for context in contexts for n in range(8)))
        await asyncio.gather(*(one.writes.attach(SESSION, context) for context in contexts))
        await one.node.drain()
        rows = one.node.sessions.table.rows(0)
        assert session_rows.read_session(rows, SESSION).total == 1_600
        await one.writes.delete(SESSION)
        await one.node.drain()
        assert list(session_rows.members(rows, SESSION)) == []
        assert list(rows.range(session_rows.LIST + SESSION)) == []
        assert session_rows.read_session(rows, SESSION).deleted
        await check_node(one.node, one.real)


async def test_many_sessions_that_attach_at_once_are_answered_in_bounded_portions() -> None:
    """However much they are to be told, it goes out in portions that the log takes; none is lost or waits for ever."""
    sessions = [session_id(n) for n in range(150)]
    async with living() as one:
        await put_many(one, 150, description="d" * 4_000)
        await asyncio.gather(*(one.writes.attach(session, CONTEXT) for session in sessions))
        await one.node.fetch(SESSION_EVENTS, 0)
        await one.node.turn(one.node.sessions)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.node.fetch(TOPICS.subscriptions, 0)
        await one.node.drain()
        rows = one.node.sessions.table.rows(0)
        assert {session_rows.read_session(rows, session).total for session in sessions} == {150}
