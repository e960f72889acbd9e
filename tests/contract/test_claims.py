"""Whose a partition is says the group; nobody claims what is another's, and nobody waits while they come and go."""

from __future__ import annotations

import asyncio

from streams.topics import CONTEXT_EVENTS
from tests.support.engine_checks import check_node
from tests.support.engine_examples import CONTEXT, CONTEXTS_CHANGELOG, TOPICS, put_many, titles
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import living

CLAIM = f"claim {TOPICS.contexts_changelog}-0"


async def test_nothing_is_claimed_before_the_group_says_that_it_is_ours() -> None:
    """A node that was away too long would end the rightful owner by its claim: it asks until it is told yes."""
    answers, claimed_before = [False, False, True], []
    async with living() as one:

        async def is_member() -> bool:
            claimed_before.append(one.log.calls.count(CLAIM))
            return answers.pop(0)

        one.node.engine.use(one.node._seek, is_member)
        claims = one.log.calls.count(CLAIM)
        await put_many(one, 2)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        lost = iter([Trouble.LOST])
        one.log.troubles = lambda call: next(lost, Trouble.NONE) if call == CONTEXTS_CHANGELOG else Trouble.NONE
        await one.node.turn(one.node.contexts)
        assert claimed_before == [claims] * 3
        assert one.log.calls.count(CLAIM) == claims + 1
        await one.node.drain()
        assert titles(one) == ["T1", "T0"]


async def test_what_is_assigned_is_not_claimed_either_once_the_group_has_gone_on() -> None:
    """A node that is frozen while it recovers claims nothing after it wakes up; the next assignment ends the wait."""
    async with living() as one:
        asked = asyncio.Event()

        async def is_no_member() -> bool:
            asked.set()
            return False

        one.node.engine.use(one.node._seek, is_no_member)
        claims = one.log.calls.count(CLAIM)
        recovering = asyncio.create_task(one.node.recover())
        async with asyncio.timeout(20):
            await asked.wait()
            recovering.cancel()
            await asyncio.wait({recovering})
        assert recovering.cancelled()
        assert one.log.calls.count(CLAIM) == claims


async def test_who_was_given_it_later_claims_it_again() -> None:
    """A former owner froze between asking and its claim, which ends the new owner's: that is the one who goes on."""
    async with living() as one:

        async def is_member() -> bool:
            return True

        async def is_none() -> bool:
            return False

        one.node.engine.use(one.node._seek, is_member)
        await put_many(one, 1)
        await one.node.drain()
        former = one.another("b")
        former.engine.use(former._seek, is_member)
        await former.recover()
        former.engine.use(former._seek, is_none)
        await one.writes.put(CONTEXT, "by the former", title="by the former")
        await former.drain()
        await one.writes.put(CONTEXT, "by the owner", title="by the owner")
        await one.node.drain()
        assert titles(one) == ["by the owner", "by the former", "T0"]
        await one.writes.put(CONTEXT, "late", title="late")
        await former.fetch(CONTEXT_EVENTS, 0)
        assert "claimed" in await former.dies(former.contexts)
        await one.node.drain()
        assert titles(one) == ["late", "by the owner", "by the former", "T0"]
        await check_node(one.node, one.real)
        former.close()


async def test_the_loop_is_not_held_up_by_many_partitions_at_once() -> None:
    """While partitions come and go, requests have their turn after each of them."""
    async with living(partitions=8) as one:
        turns = 0

        async def requests() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        others = asyncio.create_task(requests())
        table = one.node.contexts.table
        for wanted in (range(0), range(8), range(4)):
            turns, changing = 0, len(set(wanted) ^ table.partitions.keys())
            owned = await table.assign(wanted)
            assert [partition.partition for partition in owned] == list(wanted)
            assert turns >= changing - 1
        others.cancel()
