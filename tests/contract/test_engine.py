"""One turn after another of a processor, on a real log and a real table."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable

import pytest

from streams.domain import context_rows, session_rows
from streams.domain.errors import ViewUnavailableError
from streams.domain.feed import Attached, Done
from streams.domain.rows import WritableRows
from streams.engine.batch import FULL_BYTES, Batch
from streams.engine.fold import Emit
from streams.log.port import MAX_BATCH_BYTES, Record
from streams.processors.contexts import ContextsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, view_topics
from tests.contract.appending import records
from tests.support.engine_checks import check_node
from tests.support.engine_faults import Trouble, Troubles
from tests.support.engine_nodes import ENGINE, Living, Parts, living
from tests.support.tables import context_id, session_id

CONTEXT, SESSION = context_id(1), session_id(1)
TOPICS = view_topics()
FEED, SUBSCRIPTIONS = f"append {TOPICS.feed}-0", f"append {TOPICS.subscriptions}-0"
CONTEXTS_CHANGELOG, SESSIONS_CHANGELOG = (
    f"changelog {TOPICS.contexts_changelog}-0",
    f"changelog {TOPICS.sessions_changelog}-0",
)
LARGEST_ID = "\N{GRINNING FACE}" * 251
"""With a number behind it, as many bytes as a content id can have."""


def titles(one: Living) -> list[str]:
    """Return the titles of the context's items as its table has them, newest first."""
    rows = one.node.contexts.table.rows(0)
    return [json.loads(fragment + b"}")["title"] for _, fragment in context_rows.newest_items(rows, CONTEXT)]


def once(name: str, trouble: Trouble) -> Troubles:
    """Return what happens where the next call of *name* gets into *trouble*, and nothing else does."""
    left = [trouble]

    def becomes(call: str) -> Trouble:
        return left.pop() if call == name and left else Trouble.NONE

    return becomes


async def put_many(one: Living, count: int, **more: object) -> None:
    await asyncio.gather(*(one.writes.put(CONTEXT, f"{n:03}", title=f"T{n}", **more) for n in range(count)))


# What is folded


async def test_a_repeated_record_is_folded_once(parts: Parts = ENGINE) -> None:
    """Records that are fetched again, together with new ones or alone, change nothing."""
    async with living(parts) as one:
        await put_many(one, 3)
        first = await one.node.read(CONTEXT_EVENTS, 0, 1_000)
        one.node.engine.take(*first)
        one.node.engine.take(*first)
        await one.node.turn(one.node.contexts)
        committed = dict(one.node.contexts.table.partitions[0].store.range(b""))
        one.node.engine.take(*first)
        await one.node.turn(one.node.contexts)
        assert dict(one.node.contexts.table.partitions[0].store.range(b"")) == committed
        assert one.node.contexts.folded == {CONTEXT_EVENTS: 3}
        await one.writes.put(CONTEXT, "new", title="T3")
        one.node.next[CONTEXT_EVENTS, 0] = 1
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.node.turn(one.node.contexts)
        assert titles(one) == ["T3", "T2", "T1", "T0"]
        assert one.node.contexts.folded == {CONTEXT_EVENTS: 4}


async def test_a_lost_fetch_is_read_again(parts: Parts = ENGINE) -> None:
    """What does not follow on is not folded; the consumer is sent back to where it does."""
    async with living(parts) as one:
        await put_many(one, 6)
        await one.node.fetch(CONTEXT_EVENTS, 0, 2)
        await one.node.read(CONTEXT_EVENTS, 0, 2)
        await one.node.fetch(CONTEXT_EVENTS, 0, 2)
        await one.node.turn(one.node.contexts)
        assert titles(one) == ["T1", "T0"]
        assert one.node.seeks == [{(CONTEXT_EVENTS, 0): 2}]
        await one.node.drain()
        assert titles(one) == [f"T{n}" for n in reversed(range(6))]
        assert one.node.contexts.holes == 0


async def test_of_a_partition_that_is_read_again_nothing_waits(parts: Parts = ENGINE) -> None:
    """What was fetched behind a gap is dropped, not folded in its place, and an inbox that was full takes more again."""
    async with living(parts) as one:
        await put_many(one, 4)
        inbox = one.node.contexts.inbox
        inbox._full_bytes = 1
        await one.node.read(CONTEXT_EVENTS, 0, 1)
        for _ in range(3):
            await one.node.fetch(CONTEXT_EVENTS, 0, 1)
        assert inbox.full
        await one.node.turn(one.node.contexts)
        assert inbox.oldest_ms is None
        assert one.node.engine.wants(CONTEXT_EVENTS)
        await one.node.drain()
        assert titles(one) == ["T3", "T2", "T1", "T0"]


async def test_a_hole_of_the_log_is_passed_and_counted(parts: Parts = ENGINE) -> None:
    """Where records are gone from the log itself, the fold goes on behind them; what stands there is folded once."""
    async with living(parts) as one:
        await put_many(one, 6)
        await one.node.fetch(CONTEXT_EVENTS, 0, 2)
        await one.node.turn(one.node.contexts)
        await one.real.delete_before(CONTEXT_EVENTS, 0, 4)
        await one.node.drain()
        assert titles(one) == ["T5", "T4", "T1", "T0"]
        assert one.node.contexts.holes == 2
        assert one.node.contexts.folded[CONTEXT_EVENTS] == 4
        await check_node(one.node, one.real)


async def test_a_hole_is_looked_into_only_when_it_is_missed_twice(parts: Parts = ENGINE) -> None:
    """A fetch from before a seek may come after it: no hole is believed in at once, and none that the log denies."""
    async with living(parts) as one:
        await put_many(one, 6)
        behind = await one.node.read(CONTEXT_EVENTS, 0, 4), await one.node.read(CONTEXT_EVENTS, 0, 2)
        for _ in range(4):
            one.node.engine.take(*behind[1])
            await one.node.turn(one.node.contexts)
            assert titles(one) == []
        assert one.node.seeks == [{(CONTEXT_EVENTS, 0): 0}] * 4
        assert one.log.calls.count(f"read {CONTEXT_EVENTS}-0") == 3
        await one.node.drain()
        assert len(titles(one)) == 6


async def test_a_hole_that_cannot_be_looked_into_is_looked_into_later() -> None:
    """Where the log does not say whether records are gone, the process lives on and asks again."""
    async with living() as one:
        await put_many(one, 3)
        await one.real.delete_before(CONTEXT_EVENTS, 0, 2)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.node.turn(one.node.contexts)
        one.log.troubles = lambda call: Trouble.LOST if call.startswith("read") else Trouble.NONE
        for _ in range(20):
            one.node.next[CONTEXT_EVENTS, 0] = 2
            await one.node.fetch(CONTEXT_EVENTS, 0)
            await one.node.turn(one.node.contexts)
        assert titles(one) == []
        one.log.troubles = lambda _: Trouble.NONE
        # One chunk of the log that has no record in it passes for a call as well.
        await one.node.drain()
        assert titles(one) == ["T2"]


async def test_a_record_that_fetches_keep_missing_ends_the_process() -> None:
    """What the log has and no fetch brings is no hole: to go on would lose it, to wait would wait for ever."""
    async with living() as one:
        await put_many(one, 3)
        await one.node.read(CONTEXT_EVENTS, 0, 2)
        late = await one.node.read(CONTEXT_EVENTS, 0, 1)
        for _ in range(10):
            one.node.engine.take(*late)
            await one.node.turn(one.node.contexts)
        one.node.engine.take(*late)
        last = await one.node.dies(one.node.contexts)
        assert last == ("the contexts processor failed: fetches of context-events-0 keep missing 0, which the log has")
        assert one.node.contexts.folded == {}


# What cannot be folded


async def test_poison_is_a_dead_letter_and_the_fold_goes_on(parts: Parts = ENGINE) -> None:
    """A record that nobody can read is written down with where it was and why; its neighbours are folded."""
    async with living(parts) as one:
        await one.writes.put(CONTEXT, "before", title="before")
        await one.real.append(CONTEXT_EVENTS, 0, b"key", b"value")
        await one.writes.put(CONTEXT, "behind", title="behind")
        await one.node.drain()
        assert titles(one) == ["behind", "before"]
        (dead,) = await records(one.real, TOPICS.dead_letters)
        assert dead.key == b"context-events-0-1"
        letter = json.loads(dead.value or b"")
        assert letter.pop("time_ms") > 0
        assert letter == {
            "topic": "context-events",
            "partition": 0,
            "offset": 1,
            "reason": "the key is not <con id>/<event id>",
            "key": base64.b64encode(b"key").decode(),
            "value": base64.b64encode(b"value").decode(),
            "value_bytes": 5,
        }
        assert one.node.contexts.dead_letters == 1
        await check_node(one.node, one.real)


async def test_poison_of_any_size_is_a_dead_letter() -> None:
    """Of a record that is too large for a letter, the letter has the beginning, and says how much there was."""
    async with living() as one:
        huge = MAX_BATCH_BYTES - 200
        await one.real.append(CONTEXT_EVENTS, 0, b"key", b"v" * huge)
        await one.real.append(CONTEXT_EVENTS, 0, b"k" * huge, None)
        await one.node.drain()
        first, second = (json.loads(dead.value or b"") for dead in await records(one.real, TOPICS.dead_letters))
        assert first["value_bytes"] == huge
        value = base64.b64decode(first["value"])
        assert len(value) >= 100_000
        assert value == b"v" * len(value)
        assert (second["value"], second["value_bytes"]) == (None, None)
        assert base64.b64decode(second["key"]).startswith(b"k" * 1_000)


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED])
async def test_a_dead_letter_is_written_before_the_fold_goes_on(trouble: Trouble, parts: Parts = ENGINE) -> None:
    """Where it is not known whether a dead letter was written, it is written again."""
    async with living(parts) as one:
        await one.real.append(SESSION_EVENTS, 0, b"key", b"value")
        one.log.troubles = once(f"append {TOPICS.dead_letters}-0", trouble)
        await one.node.drain()
        letters = await records(one.real, TOPICS.dead_letters)
        assert {dead.key for dead in letters} == {b"session-events-0-0"}
        assert one.node.sessions.dead_letters == 1


async def test_an_event_of_a_newer_version_ends_the_process() -> None:
    """To skip it would lose it: nothing of the turn is written, and the last line says where it is and what to do."""
    async with living() as one:
        await put_many(one, 1)
        (put,) = await records(one.real, CONTEXT_EVENTS)
        newer = (put.value or b"").replace(b"context.item_put.v1", b"context.item_liked.v2")
        assert newer != put.value
        await one.real.append(CONTEXT_EVENTS, 0, put.key or b"", newer)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        last = await one.node.dies(one.node.contexts)
        assert last == (
            "the record context-events-0@1 is an event of type context.item_liked.v2, written by a newer version: "
            "start the newer version"
        )
        assert titles(one) == []
        assert one.node.contexts.table.position(CONTEXT_EVENTS, 0) == -1


class Failing(ContextsFold):
    """A fold with a bug, which shows when an item is called so."""

    def fold(self, rows: WritableRows, topic: str, record: Record) -> Iterable[Emit]:
        yield from super().fold(rows, topic, record)
        if b'"bug"' in (record.value or b""):
            raise LookupError("no such thing")


async def test_an_exception_in_a_fold_ends_the_process() -> None:
    """Nothing that was folded along with it is appended or committed, and the last line says which record it was."""
    async with living(Parts(contexts=Failing)) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        before = await one.real.end_offset(TOPICS.feed, 0), await one.real.end_offset(TOPICS.contexts_changelog, 0)
        await one.writes.put(CONTEXT, "one", title="one")
        await one.writes.put(CONTEXT, "bug", title="bug")
        await one.node.fetch(CONTEXT_EVENTS, 0)
        last = await one.node.dies(one.node.contexts)
        assert last == "the fold of context-events-0@1 failed: LookupError('no such thing')"
        assert titles(one) == []
        assert before == (
            await one.real.end_offset(TOPICS.feed, 0),
            await one.real.end_offset(TOPICS.contexts_changelog, 0),
        )


# How much at once


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
        for n in range(1_000):
            await_put = one.writes.put(CONTEXT, f"{LARGEST_ID}{n:03}", title="T")
            if n % 100 == 99:
                await await_put
            else:
                asyncio.ensure_future(await_put)  # noqa: RUF006 - the last one of the hundred stands behind it
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        await one.writes.detach(SESSION, CONTEXT)
        largest = 0
        for _ in range(20):
            for processor in one.node.processors:
                for topic in processor.topics:
                    owned = processor.table.partitions[0]
                    start = owned.positions[topic] + 1
                    for record in (await records(one.real, topic, 0, start))[:1]:
                        batch = Batch(processor.fold, owned)
                        batch.add(topic, record)
                        largest = max(largest, batch.weight)
            await one.node.drain()
        assert 200_000 < largest <= MAX_BATCH_BYTES - FULL_BYTES - 1_000
        assert list(one.node.sessions.table.rows(0).range(session_rows.PLACE + SESSION)) == []


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


# What becomes of an append whose outcome is unknown

APPENDS = [
    pytest.param(FEED, Trouble.LOST),
    pytest.param(FEED, Trouble.PART),
    pytest.param(FEED, Trouble.LANDED),
    pytest.param(CONTEXTS_CHANGELOG, Trouble.LOST),
    pytest.param(CONTEXTS_CHANGELOG, Trouble.LANDED),
]


@pytest.mark.parametrize(("call", "trouble"), APPENDS)
async def test_a_turn_whose_outcome_is_unknown_is_found_out(call: str, trouble: Trouble, parts: Parts = ENGINE) -> None:
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


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running], timeout=20)
    assert running.cancelled()


async def test_another_owner_ends_the_process(parts: Parts = ENGINE) -> None:
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


async def test_outputs_then_changelog_then_table_then_readers(parts: Parts = ENGINE) -> None:
    """While outputs or the changelog are under way readers see the rows of before, and no command has its verdict."""
    async with living(parts) as one:
        table = one.node.sessions.table
        event = one.writes.cause()["id"]  # the next one's is one more
        event = f"{int(event, 16) + 1:032x}"
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
        with one.node.sessions.expecting(event) as verdict:
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
        with one.node.sessions.expecting(event) as first:
            with one.node.sessions.expecting(event) as second, one.node.sessions.expecting(event) as left:
                pass
            with one.node.sessions.expecting(event) as third:
                await one.node.drain()
                assert isinstance(await first, Attached)
                assert await third == await first
        assert not second.done()
        assert not left.done()
        assert one.node.sessions._expected == {}


async def test_every_event_has_one_verdict_in_order() -> None:
    """Whatever was decided for events of one batch, each gets its own."""
    async with living() as one:
        ids = [f"{n:032x}" for n in range(1, 4)]
        with (
            one.node.sessions.expecting(ids[0]) as attached,
            one.node.sessions.expecting(ids[1]) as again,
            one.node.sessions.expecting(ids[2]) as detached,
        ):
            await one.writes.attach(SESSION, CONTEXT)
            await one.writes.attach(SESSION, CONTEXT)
            await one.writes.detach(SESSION, CONTEXT)
            await one.node.drain()
            created_at_ms = (await records(one.real, SESSION_EVENTS))[0].time_ms
            assert await attached == Attached(created_at_ms, refreshed=False)
            assert await again == Attached(created_at_ms, refreshed=True)
            assert await detached == Done()
