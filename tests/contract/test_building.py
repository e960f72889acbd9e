"""A version of the views that nobody reads yet, on a real log with real tables."""

from __future__ import annotations

from streams.engine.pace import Pace
from streams.topics import CONTEXT_EVENTS
from tests.contract.test_dead_letters import POISON, WHO, World, world
from tests.support.engine_examples import CONTEXT, SESSION, titles


async def written(one: World, *, is_building: bool) -> None:
    """Write an item, a record that says nothing, and an item, and fold as far as that goes."""
    contexts = one.one.node.contexts
    contexts._is_building, contexts._again_s = lambda: is_building, 0.001
    await one.one.writes.attach(SESSION, CONTEXT)
    await one.one.writes.put(CONTEXT, "before", title="before")
    await one.one.real.append(CONTEXT_EVENTS, 0, CONTEXT, b'{"type": "nothing"}')
    await one.one.writes.put(CONTEXT, "behind", title="behind")
    for _ in range(20):
        await one.one.node.fetch(CONTEXT_EVENTS, 0)
        await one.one.node.turn(contexts)


async def test_it_stops_at_a_record_until_somebody_has_decided() -> None:
    """What stands before it is folded, what stands behind it is not, and there is no letter of its own."""
    async with world() as one:
        await written(one, is_building=True)
        contexts = one.one.node.contexts
        assert (str(contexts.waits_for), titles(one.one)) == (POISON.text, ["before"])
        assert (contexts.dead_letters, contexts.decided) == (0, 0)
        await one.letters.drop(POISON, *WHO)
        await one.one.node.drain()
        assert (contexts.waits_for, titles(one.one)) == (None, ["behind", "before"])
        assert (contexts.dead_letters, contexts.decided) == (0, 1)


async def test_once_it_is_live_it_stops_no_more() -> None:
    """Then lists are more than a record: it becomes a dead letter, as in any version that is read."""
    async with world() as one:
        await written(one, is_building=True)
        one.one.node.contexts._is_building = lambda: False
        await one.one.node.drain()
        assert titles(one.one) == ["behind", "before"]
        assert one.one.node.contexts.dead_letters == 1


async def test_what_is_live_has_no_pace() -> None:
    """A limit, or a pause, is for what nobody reads."""
    async with world() as one:
        one.one.node.contexts._pace = Pace(lambda: 1, lambda: True)
        await written(one, is_building=False)
        assert titles(one.one) == ["behind", "before"]
