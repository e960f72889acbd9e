"""Tables that are folded again from the sources: nothing is served before all is as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from streams.domain import session_rows
from streams.domain.errors import RefusedStartError, ViewUnavailableError
from streams.domain.feed import LIMITS
from streams.domain.rebuilds import NEVER, latest
from streams.log.embedded import EmbeddedLog
from streams.rebuild import Rebuilding, begin, last_positions
from streams.registry import Registry
from streams.topics import CONTEXT_EVENTS, REGISTRY_EVENTS, SESSION_EVENTS, VIEW, topic_specs
from streams.views.tables import Table
from tests.support.engine_checks import check_node
from tests.support.engine_examples import TOPICS
from tests.support.engine_faults import FaultyLog, Trouble
from tests.support.engine_nodes import Living, Node, die, living
from tests.support.tables import context_id, session_id

CONTEXTS, SESSIONS, ITEMS = 4, 3, 5


async def registry_on(log: EmbeddedLog | FaultyLog, partitions: int = 1) -> Registry:
    registry = Registry(log, fingerprint="fingerprint", partitions=partitions, die=die)
    await registry.start()
    return registry


async def household(one: Living) -> None:
    """Write items of contexts that are attached to every session, detach and attach some again, and fold it all."""
    for n in range(SESSIONS):
        for m in range(CONTEXTS):
            await one.writes.attach(session_id(n), context_id(m))
    for n in range(ITEMS):
        for m in range(CONTEXTS):
            await one.writes.put(context_id(m), f"{n}", title=f"{m}.{n}")
    await one.node.drain()
    await one.writes.detach(session_id(0), context_id(0))
    await one.writes.delete(session_id(1))
    await one.node.drain()
    await one.writes.attach(session_id(0), context_id(0))
    await one.writes.put(context_id(1), "0", title="again")
    await one.node.drain()


def lists(node: Node) -> dict[int, list[tuple[bytes, bytes]]]:
    """Return each session's merged list: its rows' keys, but for their loads, and the items as they are served."""
    found: dict[int, list[tuple[bytes, bytes]]] = {n: [] for n in range(SESSIONS)}
    for partition in node.sessions.table.partitions.values():
        for n in range(SESSIONS):
            loads = {c: m.load for c, m in session_rows.members(partition.store, session_id(n))}
            for key, value in partition.store.range(session_rows.LIST + session_id(n)):
                entry = session_rows.list_entry(key, value)
                if loads.get(entry.context) == entry.load:
                    found[n].append((key[:-8], value))
    return found


async def thrown_away(one: Living) -> None:
    """Do what the command does."""
    await begin(one.real)
    await one.real.delete_topics(TOPICS)
    await one.real.create_topics(topic_specs(one.node.partitions))


@asynccontextmanager
async def again(one: Living, registry: Registry) -> AsyncIterator[tuple[Node, Rebuilding]]:
    """Give a node of a process that has just begun, on the stores of one that was before, and what opens its gate."""
    node = one.another("a")
    rebuilding = Rebuilding(node.log, registry, one.node.partitions, die, look_s=0.001)
    node.storage.identity = msgspec.structs.replace(node.storage.identity, generation=rebuilding.generation)
    for processor in node.processors:
        processor.table._gate = rebuilding
    rebuilding.start()
    try:
        await node.recover()
        yield node, rebuilding
    finally:
        await rebuilding.stop()
        node.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def settle(one: Living) -> None:
    """Give who looks at the log the time for many looks."""
    for _ in range(30):
        await one.real.ping()
        await asyncio.sleep(0.002)


def refuses(table: Table, partitions: int) -> bool:
    for number in range(partitions):
        try:
            table.rows(number)
        except ViewUnavailableError:
            continue
        return False
    return True


SOURCES_FIRST = [SESSION_EVENTS, CONTEXT_EVENTS, TOPICS.subscriptions, TOPICS.feed]
CONTEXTS_LAST = [SESSION_EVENTS, TOPICS.subscriptions, TOPICS.feed, CONTEXT_EVENTS]
SESSIONS_LAST = [CONTEXT_EVENTS, TOPICS.subscriptions, TOPICS.feed, SESSION_EVENTS]


@pytest.mark.parametrize(
    ("order", "partitions"), [(SOURCES_FIRST, 1), (SOURCES_FIRST, 2), (CONTEXTS_LAST, 2), (SESSIONS_LAST, 2)]
)
async def test_nothing_is_served_before_all_is_folded_again(order: list[str], partitions: int) -> None:
    """Whatever is folded first: also where every event is, a list is not served whose items are on their way."""
    async with living(partitions=partitions) as one:
        registry = await registry_on(one.real, partitions)
        await household(one)
        before = lists(one.node)
        assert len(before[0]) == CONTEXTS * ITEMS
        one.node.close()
        await thrown_away(one)
        await registry.catch_up()
        async with again(one, registry) as (node, rebuilding):
            assert node.storage.moved_aside == 2 * partitions
            served = [partition for p in node.processors for partition in p.table.partitions.values()]
            for topic in order:
                processor = node.contexts if topic in node.contexts.topics else node.sessions
                await settle(one)
                assert not rebuilding.is_open
                assert refuses(node.contexts.table, partitions)
                assert refuses(node.sessions.table, partitions)
                for number in range(partitions):
                    await node.fetch(topic, number)
                await node.turn(processor)
                if order is SOURCES_FIRST and topic == CONTEXT_EVENTS:
                    # By itself each partition would be served now, and no list would have an item.
                    assert all(partition.served for partition in served)
                    assert lists(node) == {n: [] for n in range(SESSIONS)}
            await node.drain()
            await until(lambda: rebuilding.is_open)
            assert not refuses(node.sessions.table, partitions)
            assert lists(node) == before
            assert latest(registry.state, VIEW).done
            await check_node(node, one.real)
        async with again(one, registry) as (node, rebuilding):
            assert (rebuilding.generation, rebuilding.is_open, node.storage.moved_aside) == (1, True, 0)
        await registry.stop()


async def test_what_is_asked_for_while_it_is_folded_is_waited_for() -> None:
    """A change that is told without its items is in no list before the session has asked, and heard the answer."""
    order = [SESSION_EVENTS, TOPICS.subscriptions, CONTEXT_EVENTS, TOPICS.feed, TOPICS.subscriptions]
    async with living(limits=msgspec.structs.replace(LIMITS, message_bytes=400)) as one:
        registry = await registry_on(one.real)
        await one.writes.attach(session_id(0), context_id(0))
        await one.node.drain()
        await one.writes.put(context_id(0), "0", title="0" * 500)
        await one.node.drain()
        before = lists(one.node)
        assert len(before[0]) == 1
        one.node.close()
        await thrown_away(one)
        await registry.catch_up()
        async with again(one, registry) as (node, rebuilding):
            for topic in order:
                await node.fetch(topic, 0)
                await node.turn(node.contexts if topic in node.contexts.topics else node.sessions)
                await settle(one)
                assert lists(node)[0] == []
                assert not rebuilding.is_open, topic
            await node.drain()
            await until(lambda: rebuilding.is_open)
            assert lists(node) == before
        await registry.stop()


async def test_a_rebuild_outlives_the_processes_that_do_it() -> None:
    """One that begins half way goes on where the other was, and serves nothing before the end either."""
    async with living() as one:
        registry = await registry_on(one.real)
        await household(one)
        before = lists(one.node)
        one.node.close()
        await thrown_away(one)
        await registry.catch_up()
        async with again(one, registry) as (node, _):
            for processor, topic in ((node.sessions, SESSION_EVENTS), (node.contexts, CONTEXT_EVENTS)):
                await node.fetch(topic, 0)
                await node.turn(processor)
        async with again(one, registry) as (node, rebuilding):
            assert node.storage.moved_aside == 0
            await settle(one)
            assert refuses(node.sessions.table, 1)
            await node.drain()
            await until(lambda: rebuilding.is_open)
            assert lists(node) == before
        await registry.stop()


async def test_no_copy_is_served_either() -> None:
    """A warm copy of a table that is half folded is as exact as its owner, which is no more served."""
    async with living() as one:
        registry = await registry_on(one.real)
        await household(one)
        one.node.close()
        await thrown_away(one)
        await registry.catch_up()
        async with again(one, registry) as (node, rebuilding):
            table = node.sessions.table
            await table.assign((), copies=(0,))
            table.copies[0].serve(0.0)
            assert refuses(table, 1)
            rebuilding.is_open = True
            assert not refuses(table, 1)
        await registry.stop()


async def test_a_log_that_is_away_is_asked_again() -> None:
    """The gate stays closed until it has answered."""
    async with living() as one:
        registry = await registry_on(one.real)
        await household(one)
        one.node.close()
        await thrown_away(one)
        await registry.catch_up()
        async with again(one, registry) as (node, rebuilding):
            away = True
            node.log.troubles = lambda call: Trouble.LOST if away and call.startswith(("read", "end")) else Trouble.NONE
            for processor, topic in ((node.sessions, SESSION_EVENTS), (node.contexts, CONTEXT_EVENTS)):
                await node.fetch(topic, 0)
                await node.turn(processor)
            await node.drain()
            await settle(one)
            assert not rebuilding.is_open
            away = False
            await until(lambda: rebuilding.is_open)
        await registry.stop()


async def test_a_rebuild_that_broke_off_before_a_topic_was_deleted_does_no_harm() -> None:
    """Stores are made again from the changelogs that are still there, and lists are served at once."""
    async with living() as one:
        registry = await registry_on(one.real)
        await household(one)
        before = lists(one.node)
        one.node.close()
        await begin(one.real)
        await registry.catch_up()
        async with again(one, registry) as (node, rebuilding):
            assert node.storage.moved_aside == 2
            await until(lambda: rebuilding.is_open)
            assert lists(node) == before
        await registry.stop()


async def test_a_rebuild_that_cannot_begin() -> None:
    """Where there is no deployment there is nothing to fold; of two at the same time one is refused."""
    async with living() as one:
        with pytest.raises(RefusedStartError, match="nothing to fold again"):
            await begin(one.real)
        registry = await registry_on(one.real)
        assert latest(registry.state, VIEW) == NEVER
        log = FaultyLog(one.real)

        async def another() -> None:
            log.gates.clear()
            await begin(one.real)

        log.gates[f"append {REGISTRY_EVENTS}-0"] = another
        with pytest.raises(RefusedStartError, match="Somebody else does the same"):
            await begin(log)
        await registry.catch_up()
        assert latest(registry.state, VIEW).generation == 1
        await registry.stop()


async def test_how_far_a_table_is_stands_at_the_end_of_its_changelog() -> None:
    """However many rows the last batch has, and whatever was appended behind it by those who claimed it."""
    async with living() as one:
        log, changelog = one.real, TOPICS.contexts_changelog
        assert await last_positions(log, changelog, 0) == {}
        await one.writes.put(context_id(1), "0")
        await one.node.drain()
        assert await last_positions(log, changelog, 0) == {CONTEXT_EVENTS: 0}
        await one.writes.attach(session_id(1), context_id(1))
        await one.node.drain()
        assert await last_positions(log, changelog, 0) == {CONTEXT_EVENTS: 0, TOPICS.subscriptions: 0}
        for n in range(40):
            await one.writes.put(context_id(1), f"{n}")
        await one.node.drain()
        assert await last_positions(log, changelog, 0) == {CONTEXT_EVENTS: 40, TOPICS.subscriptions: 0}
        for _ in range(700):
            await log.append(changelog, 0, b"\x00claim", b"")
        assert await last_positions(log, changelog, 0) == {CONTEXT_EVENTS: 40, TOPICS.subscriptions: 0}
        await log.compact(changelog, 0)
        assert await last_positions(log, changelog, 0) == {CONTEXT_EVENTS: 40, TOPICS.subscriptions: 0}
