"""What becomes of a turn, whose appends may be lost, refused, or heard of by nobody; and who hears of it when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.domain import session_rows
from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.feed import Attached, Done
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.contract.appending import records
from tests.support.engine_checks import check_node
from tests.support.engine_examples import (
    CONTEXT,
    CONTEXTS_CHANGELOG,
    FEED,
    SESSION,
    SESSIONS_CHANGELOG,
    SUBSCRIPTIONS,
    TOPICS,
    ended,
    once,
    put_many,
    titles,
)
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import ENGINE, Parts, living


@pytest.fixture
def parts() -> Parts:
    return ENGINE


# What becomes of an append whose outcome is unknown

APPENDS = [
    pytest.param(FEED, Trouble.LOST),
    pytest.param(FEED, Trouble.PART),
    pytest.param(FEED, Trouble.LANDED),
    pytest.param(CONTEXTS_CHANGELOG, Trouble.LOST),
    pytest.param(CONTEXTS_CHANGELOG, Trouble.LANDED),
]


@pytest.mark.parametrize(("call", "trouble"), APPENDS)
async def test_a_turn_whose_outcome_is_unknown_is_found_out(call: str, trouble: Trouble, parts: Parts) -> None:
    """The partition is claimed, restored and read again: nothing is there twice, nothing is lost."""
    async with living(parts) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        await put_many(one, 4)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        one.log.troubles = once(call, trouble)
        await one.node.turn(one.node.contexts)
        landed = trouble is Trouble.LANDED and call == CONTEXTS_CHANGELOG
        assert one.node.contexts.table.position(CONTEXT_EVENTS, 0) == (3 if landed else -1)
        assert one.node.seeks[-1][CONTEXT_EVENTS, 0] == (4 if landed else 0)
        await one.node.drain()
        assert titles(one) == ["T3", "T2", "T1", "T0"]
        assert session_rows.read_session(one.node.sessions.table.rows(0), SESSION).total == 4
        assert one.node.contexts.noticed == one.node.sessions.noticed == {}
        await check_node(one.node, one.real)


@pytest.mark.parametrize("call", [FEED, CONTEXTS_CHANGELOG])
async def test_readers_are_served_while_the_log_is_away(call: str) -> None:
    """They get what was committed before; commands are refused until the partition is won back."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 1)
        await one.node.drain()
        await one.writes.put(CONTEXT, "new", title="new")
        await one.node.fetch(CONTEXT_EVENTS, 0)
        attempts = 0

        async def away() -> None:
            nonlocal attempts
            attempts += 1
            assert titles(one) == ["T0"]
            assert one.node.contexts.table.position(CONTEXT_EVENTS, 0) == 0
            with pytest.raises(ViewUnavailableError):
                one.node.contexts.owns(0)

        claim = f"claim {TOPICS.contexts_changelog}-0"
        one.log.gates[claim] = away
        becomes = once(call, Trouble.LOST)
        one.log.troubles = lambda name: (
            (Trouble.LOST if attempts < 5 else Trouble.NONE) if name == claim else becomes(name)
        )
        await one.node.turn(one.node.contexts)
        assert attempts == 5
        one.node.contexts.owns(0)
        await one.node.drain()
        assert titles(one) == ["new", "T0"]


async def test_a_log_that_takes_no_more_just_now_is_tried_again() -> None:
    """Where others have left no room for the turn's appends, it is as if the log were away: the process lives on."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        await put_many(one, 2)
        for call in (FEED, CONTEXTS_CHANGELOG):
            one.log.troubles = once(call, Trouble.OVERLOADED)
            one.node.seek_to_positions()
            await one.node.fetch(CONTEXT_EVENTS, 0)
            await one.node.turn(one.node.contexts)
            assert titles(one) == []
        await one.node.drain()
        assert titles(one) == ["T1", "T0"]
        assert session_rows.read_session(one.node.sessions.table.rows(0), SESSION).total == 2


async def test_a_processor_that_is_paused_does_not_wait_for_a_log_that_is_away() -> None:
    """A turn that the log never answers ends with the pause: a rebalance claims what it leaves, or nobody does."""
    async with living() as one:
        await put_many(one, 1)
        one.log.troubles = lambda call: Trouble.NONE if call.startswith("append") else Trouble.LOST
        running = asyncio.create_task(one.node.contexts.run())
        await one.node.fetch(CONTEXT_EVENTS, 0)
        async with asyncio.timeout(20):
            while one.log.calls.count(f"claim {TOPICS.contexts_changelog}-0") < 4:
                await asyncio.sleep(0)
            await one.node.engine.pause()
        one.log.troubles = lambda _: Trouble.NONE
        await one.node.recover()
        await one.node.fetch(CONTEXT_EVENTS, 0)
        async with asyncio.timeout(20):
            while titles(one) != ["T0"]:
                await asyncio.sleep(0)
        await ended(running)


async def test_a_pause_during_an_append_is_not_forgotten_by_what_becomes_of_it() -> None:
    """Where the answer fails to come after the pause was asked for, nobody begins to win the partition back."""
    async with living() as one:
        await put_many(one, 1)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def gate() -> None:
            reached.set()
            await go_on.wait()

        one.log.gates[CONTEXTS_CHANGELOG] = gate
        one.log.troubles = lambda call: Trouble.NONE if call.startswith("append") else Trouble.LOST
        running = asyncio.create_task(one.node.contexts.run())
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await reached.wait()
        pausing = asyncio.create_task(one.node.engine.pause())
        await asyncio.sleep(0)
        go_on.set()
        async with asyncio.timeout(20):
            await pausing
        with pytest.raises(ViewUnavailableError):
            one.node.contexts.owns(0)
        await ended(running)


async def test_a_processor_that_is_cancelled_ends_also_while_the_log_is_away() -> None:
    """Who ends the agent ends it at once, whatever it waits for."""
    async with living() as one:
        await put_many(one, 1)
        one.log.troubles = lambda call: Trouble.NONE if call.startswith("append") else Trouble.LOST
        running = asyncio.create_task(one.node.contexts.run())
        await one.node.fetch(CONTEXT_EVENTS, 0)
        async with asyncio.timeout(20):
            while one.log.calls.count(f"claim {TOPICS.contexts_changelog}-0") < 4:
                await asyncio.sleep(0)
        await ended(running)


async def test_another_owner_ends_the_process(parts: Parts) -> None:
    """Who wakes up after another has claimed its changelog writes nothing more, and says why."""
    async with living(parts) as one:
        await put_many(one, 1)
        await one.node.drain()
        other = one.another("b")
        await other.recover()
        await one.writes.put(CONTEXT, "new", title="new")
        await one.node.fetch(CONTEXT_EVENTS, 0)
        last = await one.node.dies(one.node.contexts)
        assert last == (
            f"{TOPICS.contexts_changelog}-0 was claimed by another owner; this node was away for too long. "
            "Start it again."
        )
        assert titles(one) == ["T0"]
        await other.drain()
        await check_node(other, one.real)
        other.close()


async def test_a_turn_that_is_refused_after_its_partition_has_gone_is_nobodys_business() -> None:
    """An owner that was told in the meantime that it is none any more lives on."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        other = one.another("b")

        async def take_over() -> None:
            one.node.contexts.table.release(0)
            await other.recover()

        one.log.gates[CONTEXTS_CHANGELOG] = take_over
        await one.node.turn(one.node.contexts)
        await other.drain()
        await check_node(other, one.real)
        other.close()


# When who hears of what


async def test_outputs_then_changelog_then_table_then_readers(parts: Parts) -> None:
    """While outputs or the changelog are under way readers see the rows of before, and no command has its verdict."""
    async with living(parts) as one:
        table = one.node.sessions.table
        event = f"{int(one.writes.cause()['id'], 16) + 1:032x}"  # the next one's
        seen: list[str] = []

        def gate(name: str) -> Callable[[], Awaitable[None]]:
            async def look() -> None:
                seen.append(name)
                # Whoever was told too early would know by then.
                for _ in range(3):
                    await asyncio.sleep(0)
                assert not verdict.done()
                assert table.rows(0).get(session_rows.session_key(SESSION)) is None
                assert table.position(SESSION_EVENTS, 0) == -1

            return look

        one.log.gates = {SUBSCRIPTIONS: gate("outputs"), SESSIONS_CHANGELOG: gate("changelog")}
        with one.node.sessions.expecting(event, 0) as verdict:
            await one.writes.attach(SESSION, CONTEXT)
            await one.node.fetch(SESSION_EVENTS, 0)
            await one.node.turn(one.node.sessions)
            assert seen == ["outputs", "changelog"]
            assert table.position(SESSION_EVENTS, 0) == 0
            assert isinstance(await verdict, Attached)


async def test_who_waits_for_the_same_event_twice_hears_twice() -> None:
    """A command that is repeated while it is under way bears the same event id: both get the verdict."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        event = f"{one.writes._events:032x}"
        with one.node.sessions.expecting(event, 0) as first:
            with one.node.sessions.expecting(event, 0) as second, one.node.sessions.expecting(event, 0) as left:
                pass
            with one.node.sessions.expecting(event, 0) as third:
                await one.node.drain()
                assert isinstance(await first, Attached)
                assert await third == await first
        assert not second.done()
        assert not left.done()
        assert not one.node.sessions.verdicts


async def test_who_waits_for_a_verdict_is_told_when_another_judges() -> None:
    """At once: what became of the event is not known here, and never will be. It is the same where a copy is kept."""
    async with living() as one:
        for copied in ((), {(TOPICS.sessions_changelog, 0)}):
            with one.node.sessions.expecting("0" * 32, 0) as verdict, one.node.sessions.expecting("1" * 32, 0):
                await one.node.engine.recover((), copied)
                with pytest.raises(LogUnavailableError):
                    await verdict
            with pytest.raises(ViewUnavailableError), one.node.sessions.expecting("2" * 32, 0):
                pass
            assert not one.node.sessions.verdicts
            await one.node.recover()


async def test_every_event_has_one_verdict_in_order() -> None:
    """Whatever was decided for events of one batch, each gets its own."""
    async with living() as one:
        ids = [f"{n:032x}" for n in range(1, 4)]
        with (
            one.node.sessions.expecting(ids[0], 0) as attached,
            one.node.sessions.expecting(ids[1], 0) as again,
            one.node.sessions.expecting(ids[2], 0) as detached,
        ):
            await one.writes.attach(SESSION, CONTEXT)
            await one.writes.attach(SESSION, CONTEXT)
            await one.writes.detach(SESSION, CONTEXT)
            await one.node.drain()
            created_at_ms = (await records(one.real, SESSION_EVENTS))[0].time_ms
            assert await attached == Attached(created_at_ms, refreshed=False)
            assert await again == Attached(created_at_ms, refreshed=True)
            assert await detached == Done()
