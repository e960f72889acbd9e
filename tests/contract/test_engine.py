"""Which records a processor folds: each once, none left out, on a real log and a real table."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterable

import pytest
import structlog.testing

from streams.domain.rows import WritableRows
from streams.engine.fold import Emit
from streams.log.port import MAX_BATCH_BYTES, Record
from streams.processors.contexts import ContextsFold
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.contract.appending import records
from tests.support.engine_checks import check_node
from tests.support.engine_examples import (
    CONTEXT,
    SESSION,
    TOPICS,
    once,
    put_many,
    titles,
)
from tests.support.engine_faults import Trouble
from tests.support.engine_nodes import ENGINE, Parts, living


@pytest.fixture
def parts() -> Parts:
    return ENGINE


# What is folded


async def test_a_repeated_record_is_folded_once(parts: Parts) -> None:
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


async def test_a_lost_fetch_is_read_again(parts: Parts) -> None:
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
        assert one.node.contexts.gaps.holes == 0


async def test_of_a_partition_that_is_read_again_nothing_waits(parts: Parts) -> None:
    """What was fetched behind a gap is dropped, not folded in its place; an inbox that was full takes more again."""
    async with living(parts) as one:
        await put_many(one, 4)
        inbox = one.node.contexts.inbox
        inbox._full_bytes = 1
        for _ in range(2):
            one.node.next[CONTEXT_EVENTS, 0] = 1
            await one.node.fetch(CONTEXT_EVENTS, 0, 1)

            async def arrive() -> None:
                await one.node.fetch(CONTEXT_EVENTS, 0, 1)
                assert inbox.full

            one.log.gates[f"read {CONTEXT_EVENTS}-0"] = arrive
            await one.node.turn(one.node.contexts)
        assert one.node.seeks == [{(CONTEXT_EVENTS, 0): 0}] * 2
        assert inbox.oldest_ms is None
        assert one.node.engine.wants(CONTEXT_EVENTS)
        one.log.gates.clear()
        await one.node.drain()
        assert titles(one) == ["T3", "T2", "T1", "T0"]


async def test_a_hole_of_the_log_is_passed_and_counted(parts: Parts) -> None:
    """Where records are gone from the log itself, the fold goes on behind them; what stands there is folded once."""
    async with living(parts) as one:
        await put_many(one, 6)
        await one.node.fetch(CONTEXT_EVENTS, 0, 2)
        await one.node.turn(one.node.contexts)
        await one.real.delete_before(CONTEXT_EVENTS, 0, 4)
        with structlog.testing.capture_logs() as logged:
            await one.node.drain()
        assert [(line["event"], line["missing"]) for line in logged] == [("beginning_gone", 2)]
        assert titles(one) == ["T5", "T4", "T1", "T0"]
        assert one.node.contexts.gaps.holes == 2
        assert one.node.contexts.folded[CONTEXT_EVENTS] == 4
        await check_node(one.node, one.real)


async def test_a_hundred_holes_of_a_fetch_cost_one_look(parts: Parts) -> None:
    """Where much was erased, all of a fetch is folded in one turn, and said in one line."""
    async with living(parts) as one:
        await put_many(one, 201)
        await one.real.erase(CONTEXT_EVENTS, 0, [Record(n, 0, None, None) for n in range(1, 201, 2)])
        await one.node.fetch(CONTEXT_EVENTS, 0)
        with structlog.testing.capture_logs() as logged:
            await one.node.turn(one.node.contexts)
        assert titles(one) == [f"T{n}" for n in range(200, -1, -2)]
        assert (one.node.contexts.turns, one.node.contexts.gaps.holes, one.node.seeks) == (1, 100, [])
        assert [(line["event"], line["offset"], line["until"], line["missing"]) for line in logged] == [
            ("holes", 1, 201, 100)
        ]


async def test_no_record_is_taken_for_a_hole_beside_others(parts: Parts) -> None:
    """Records are erased, and fetches lost, cut and repeated, anywhere: what the log has is folded, each once."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(10):
        async with living(parts) as one:
            await put_many(one, 100)
            erased = {n for n in range(99) if chance.random() < 0.4}
            await one.real.erase(CONTEXT_EVENTS, 0, [Record(n, 0, None, None) for n in erased])
            while one.node.engine.next_offsets()[CONTEXT_EVENTS, 0] < 100:
                for start in (chance.randrange(100), one.node.engine.next_offsets()[CONTEXT_EVENTS, 0]):
                    one.node.next[CONTEXT_EVENTS, 0] = start
                    topic, partition, fetched = await one.node.read(CONTEXT_EVENTS, 0, 1 + chance.randrange(30))
                    lost = chance.randrange(100)
                    one.node.engine.take(topic, partition, [one for one in fetched if one.offset != lost])
                    await one.node.turn(one.node.contexts)
            assert titles(one) == [f"T{n}" for n in range(99, -1, -1) if n not in erased]
            assert one.node.contexts.gaps.holes == len(erased)
            assert one.node.contexts.folded[CONTEXT_EVENTS] == 100 - len(erased)


async def test_no_hole_is_believed_in_that_the_log_denies(parts: Parts) -> None:
    """A fetch from before a seek may come after it: what it does not have is read again."""
    async with living(parts) as one:
        await put_many(one, 6)
        behind = await one.node.read(CONTEXT_EVENTS, 0, 4), await one.node.read(CONTEXT_EVENTS, 0, 2)
        for _ in range(4):
            one.node.engine.take(*behind[1])
            await one.node.turn(one.node.contexts)
            assert titles(one) == []
        assert one.node.seeks == [{(CONTEXT_EVENTS, 0): 0}] * 4
        await one.node.drain()
        assert len(titles(one)) == 6


async def test_a_hole_that_cannot_be_looked_into_is_looked_into_later() -> None:
    """Where the log does not say whether records are gone, the process lives on and asks again."""
    async with living() as one:
        await put_many(one, 3)
        await one.real.delete_before(CONTEXT_EVENTS, 0, 2)
        one.log.troubles = lambda call: Trouble.LOST if call.startswith("read") else Trouble.NONE
        for _ in range(20):
            one.node.next[CONTEXT_EVENTS, 0] = 2
            await one.node.fetch(CONTEXT_EVENTS, 0)
            await one.node.turn(one.node.contexts)
        assert titles(one) == []
        one.log.troubles = lambda _: Trouble.NONE
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


async def test_poison_is_a_dead_letter_and_the_fold_goes_on(parts: Parts) -> None:
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
            "reason": "the key is not <CX id>/<event id>",
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
        await one.real.append(CONTEXT_EVENTS, 0, b"k" * huge, b"")
        await one.node.drain()
        first, second = (json.loads(dead.value or b"") for dead in await records(one.real, TOPICS.dead_letters))
        assert first["value_bytes"] == huge
        value = base64.b64decode(first["value"])
        assert len(value) >= 100_000
        assert value == b"v" * len(value)
        assert (second["value"], second["value_bytes"]) == ("", 0)
        assert base64.b64decode(second["key"]).startswith(b"k" * 1_000)


@pytest.mark.parametrize("trouble", [Trouble.LOST, Trouble.LANDED])
async def test_a_dead_letter_is_written_before_the_fold_goes_on(trouble: Trouble, parts: Parts) -> None:
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


async def test_a_fold_that_was_mended_goes_on_at_the_record_that_it_failed_at() -> None:
    """The next version of the program folds that record and all that follow, each once."""
    async with living(Parts(contexts=Failing)) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 2)
        await one.node.drain()
        await one.writes.put(CONTEXT, "bug", title="bug")
        await one.writes.put(CONTEXT, "behind", title="behind")
        await one.node.fetch(CONTEXT_EVENTS, 0)
        assert "context-events-0@2 failed" in await one.node.dies(one.node.contexts)
        one.node.close()
        mended = one.another("a")
        await mended.recover()
        await mended.drain()
        assert titles(one._replace(node=mended)) == ["behind", "bug", "T1", "T0"]
        assert mended.contexts.folded == {CONTEXT_EVENTS: 2}
        assert mended.contexts.dead_letters == 0
        await check_node(mended, one.real)
        mended.close()
