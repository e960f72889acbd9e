"""How a table comes back, whom it serves meanwhile, and when."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence

import pytest

from streams.domain.errors import LogUnavailableError, ViewUnavailableError
from streams.domain.events import ContextErased
from streams.engine.partition import ATOMIC_ROWS
from streams.engine.processor import recover
from streams.engine.store import PartitionStore
from streams.engine.trimmer import AT_LEAST
from streams.log.port import COMPACT_KEY, Row
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, topic_specs
from tests.contract.appending import records
from tests.support.engine_checks import check_node, stored_rows
from tests.support.engine_examples import CONTEXT, CONTEXTS_CHANGELOG, SESSION, TOPICS, put_many, titles
from tests.support.engine_faults import CrashError, Trouble, Troubles
from tests.support.engine_nodes import ENGINE, DiedError, Living, Node, Parts, living

CHANGELOG = TOPICS.contexts_changelog


@pytest.fixture
def parts() -> Parts:
    return ENGINE


async def fill_changelog(one: Living, count: int, *, value: bytes) -> None:
    """Have the changelog of contexts say so many rows more, as another owner would have; some are deleted again."""
    claim = await one.real.claim(CHANGELOG, 0)
    rows: list[Row] = [(b"x%06d" % n, value) for n in range(count)]
    for first in range(0, count, 1_000):
        await claim.append(rows[first : first + 1_000])
    await claim.append([(b"x%06d" % n, None) for n in range(0, count, 10)])


# Recovery


async def test_a_lost_store_is_restored_whole(parts: Parts) -> None:
    """From the changelog alone come the same rows, positions and offset, and the fold goes on from there."""
    async with living(parts) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 20)
        await one.node.drain()
        before = {number: stored_rows(store) for _, number, store in one.node.stores()}
        one.node.close()
        shutil.rmtree(one.node.directory)
        node = one.another("a", parts)
        await node.recover()
        assert {number: stored_rows(store) for _, number, store in node.stores()} == before
        await one.writes.put(CONTEXT, "new", title="new")
        await node.drain()
        assert node.contexts.folded == {CONTEXT_EVENTS: 1}
        assert node.contexts.table.partitions[0].recovered_rows > 20
        await check_node(node, one.real)
        node.close()


@pytest.mark.parametrize("is_written_before", [False, True], ids=["never written", "written before"])
async def test_the_disk_forgets_what_was_erased(is_written_before: bool) -> None:
    """Keys too, whatever was in files before: looked for in the files themselves, of both tables."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        for number in range(20):
            await one.writes.put(CONTEXT, f"marked-{number}", title="marked")
        await one.node.drain()
        stores = [store for _, _, store in one.node.stores()]
        if is_written_before:
            for store in stores:
                store.compact()
            assert any(b"marked" in file for file in in_files(stores))
        await one.writes.context_event(CONTEXT, ContextErased(**one.writes.cause()))
        await one.node.drain()
        for store in stores:
            store.compact()
        assert not any(b"marked" in file for file in in_files(stores))
        assert in_files(stores)


def in_files(stores: Sequence[PartitionStore]) -> list[bytes]:
    """Return what the files have that stores are read from."""
    return [file.read_bytes() for store in stores for file in store.path.glob("*.sst")]


async def test_a_store_that_is_there_gets_only_what_it_lacks(parts: Parts) -> None:
    """What another owner wrote in the meantime is read from the changelog, and nothing before it."""
    async with living(parts) as one:
        await put_many(one, 20)
        await one.node.drain()
        offset = one.node.contexts.table.partitions[0].store.offset
        one.node.close()
        other = one.another("b", parts)
        await other.recover()
        await put_many(one, 3)
        await other.drain()
        node = one.another("a", parts)
        await node.recover()
        assert node.contexts.table.partitions[0].recovered_rows == await one.real.end_offset(CHANGELOG, 0) - offset - 1
        await check_node(node, one.real)
        node.close()
        other.close()


async def test_nobody_is_served_a_half_restored_table(parts: Parts) -> None:
    """A partition that lacks more than an owner's last batch answers nobody until all of it is there."""
    async with living(parts) as one:
        await fill_changelog(one, ATOMIC_ROWS * 2, value=b"1")
        node = one.another("b", parts)
        node.log._chunk = 1_000
        refused = 0

        async def look() -> None:
            nonlocal refused
            with pytest.raises(ViewUnavailableError):
                node.contexts.table.rows(0)
            with pytest.raises(ViewUnavailableError):
                node.contexts.table.position(CONTEXT_EVENTS, 0)
            with pytest.raises(ViewUnavailableError):
                await node.contexts.table.until(0, b"", lambda: True, limit_s=1)
            refused += 1

        node.log.gates[f"read {CHANGELOG}-0"] = look
        await node.recover()
        assert refused > 10
        assert len(list(node.contexts.table.rows(0).range(b"x"))) == ATOMIC_ROWS * 2 * 9 // 10
        # Now it has fallen far behind: what it served until then is served no more.
        await fill_changelog(one, ATOMIC_ROWS * 2, value=b"2")
        refused = 0
        await node.recover()
        assert refused > 10
        assert {value for _, value in node.contexts.table.rows(0).range(b"x")} == {b"2"}
        node.close()


async def test_nobody_is_served_what_is_older_than_the_log_was(parts: Parts) -> None:
    """A partition that has records to fold when it comes here answers once it has folded all of them."""
    async with living(parts) as one:
        await put_many(one, 3)
        node = one.another("b", parts)
        await node.recover()
        with pytest.raises(ViewUnavailableError):
            node.contexts.table.rows(0)
        await node.fetch(CONTEXT_EVENTS, 0, 2)
        await node.turn(node.contexts)
        with pytest.raises(ViewUnavailableError):
            node.contexts.table.rows(0)
        await node.drain()
        node.contexts.table.rows(0)
        # What comes later makes nothing unavailable.
        await put_many(one, 3)
        await node.recover()
        node.contexts.table.rows(0)
        node.close()


async def test_what_is_deleted_is_not_waited_for(parts: Parts) -> None:
    """An input of which nothing is left keeps no partition from being served."""
    async with living(parts) as one:
        await put_many(one, 3)
        await one.real.delete_before(CONTEXT_EVENTS, 0, 3)
        node = one.another("b", parts)
        await node.recover()
        node.contexts.table.rows(0)
        node.close()


async def test_a_short_tail_is_applied_at_one_go(parts: Parts) -> None:
    """Readers of a partition that is claimed again see the rows of before until all that is new is there."""
    async with living(parts) as one:
        await fill_changelog(one, 400, value=b"1")
        await one.node.recover()
        await fill_changelog(one, 400, value=b"2")
        looked = 0

        async def look() -> None:
            nonlocal looked
            looked += 1
            assert one.node.contexts.table.partitions[0].served
            assert {value for _, value in one.node.contexts.table.rows(0).range(b"x")} == {b"1"}
            with pytest.raises(ViewUnavailableError):
                one.node.contexts.owns(0)

        one.log.gates[f"read {CHANGELOG}-0"] = look
        await one.node.recover()
        assert looked > 50
        assert {value for _, value in one.node.contexts.table.rows(0).range(b"x")} == {b"2"}


async def test_a_recovery_that_was_broken_off_goes_on_where_it_was() -> None:
    """What was restored by then is on disk with its offset; the rest is read the next time."""
    async with living() as one:
        await fill_changelog(one, ATOMIC_ROWS * 3, value=b"1")
        node = one.another("b")
        node.log._chunk = 1_000
        reads = f"read {CHANGELOG}-0"
        node.log.troubles = lambda call: (
            Trouble.CRASH if call == reads and node.log.calls.count(call) > 12 else Trouble.NONE
        )
        with pytest.raises(CrashError):
            await node.recover()
        offset = node.contexts.table.partitions[0].store.offset
        assert ATOMIC_ROWS <= offset + 1 < ATOMIC_ROWS * 3
        node.close()
        again = one.another("b")
        await again.recover()
        end = await one.real.end_offset(CHANGELOG, 0)
        assert again.contexts.table.partitions[0].recovered_rows == end - offset - 1
        assert len(list(again.contexts.table.rows(0).range(b"x"))) == ATOMIC_ROWS * 3 * 9 // 10
        again.close()


async def test_what_a_former_owner_wrote_last_is_restored(parts: Parts) -> None:
    """It may write until it is fenced off: what counts is what the changelog has after that, not before."""
    async with living(parts) as one:
        await put_many(one, 1)
        await one.node.drain()
        other = one.another("b", parts)
        await one.writes.put(CONTEXT, "last", title="last")

        async def write_at_the_last_moment() -> None:
            other.log.gates.clear()
            await one.node.drain()

        other.log.gates[f"claim {CHANGELOG}-0"] = write_at_the_last_moment
        await other.recover()
        one.node.close()
        await one.writes.put(CONTEXT, "new", title="new")
        await other.drain()
        assert other.contexts.folded == {CONTEXT_EVENTS: 1}
        await check_node(other, one.real)
        other.close()


async def test_a_log_that_is_away_at_the_start_is_waited_for() -> None:
    """Claims, ends and reads that fail are asked for again, all from the claim on."""
    async with living() as one:
        await put_many(one, 5)
        await one.node.drain()
        node = one.another("b")
        left = {f"claim {CHANGELOG}-0": 3, f"end {CHANGELOG}-0": 2, f"read {CHANGELOG}-0": 2}

        def troubles(call: str) -> Trouble:
            left[call] = left.get(call, 0) - 1
            return Trouble.LOST if left[call] >= 0 else Trouble.NONE

        node.log.troubles = troubles
        await node.recover()
        assert node.log.calls.count(f"claim {CHANGELOG}-0") == 8
        await check_node_quietly(node, one)
        node.close()


async def check_node_quietly(node: Node, one: Living) -> None:
    await node.drain()
    await check_node(node, one.real)


async def test_a_store_that_is_ahead_of_its_changelog_is_refused() -> None:
    """Its changelog was lost: to go on would serve rows that nobody else has. The last line says what to do."""
    async with living() as one:
        await put_many(one, 3)
        await one.node.drain()
        store = one.node.contexts.table.partitions[0].store
        end = await one.real.end_offset(CHANGELOG, 0)
        store.write({}, end)
        with pytest.raises(DiedError) as died:
            await one.node.recover()
        assert str(died.value) == (
            f"A topic between the processors was lost or replaced: the table in {store.path} has more than its "
            f"changelog {CHANGELOG}. Stop every node and run `upnext tables rebuild`, which has the tables folded "
            "again from the sources."
        )
        store.write({}, end - 1)
        await one.node.recover()


@pytest.mark.parametrize("topic", [TOPICS.subscriptions, TOPICS.feed, CONTEXT_EVENTS])
async def test_tables_that_are_ahead_of_an_input_are_refused(topic: str) -> None:
    """What came into it again would be taken for what they have; where it is a source, events are lost."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 3)
        await one.node.drain()
        await one.real.delete_topics([topic])
        await one.real.create_topics(topic_specs(1))
        with pytest.raises(DiedError, match="upnext tables rebuild") as died:
            await one.node.recover()
        assert ("The log has lost events" in str(died.value)) == (topic == CONTEXT_EVENTS)


async def test_a_store_of_another_changelog_is_refused_also_where_that_is_longer() -> None:
    """One that was replaced and has grown since: what it has after the store's offset does not follow on."""
    async with living() as one:
        await put_many(one, 3)
        await one.node.drain()
        one.node.close()
        await one.real.delete_topics([CHANGELOG])
        await one.real.create_topics(topic_specs(1))
        node = one.another("new")
        await node.recover()
        for _ in range(3):
            # In other batches than before: what would be made alike would follow on.
            await node.fetch(CONTEXT_EVENTS, 0, 1)
            await node.turn(node.contexts)
        node.close()
        old = one.another("a")
        with pytest.raises(DiedError, match=f"was not made from its changelog {CHANGELOG}"):
            await old.recover()
        old.close()


async def test_a_changelog_that_is_empty_again_is_refused_also_without_a_store() -> None:
    """Of what was folded from the other topics some is deleted: to fold the rest alone would lose it silently."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 3)
        await one.node.drain()
        await one.real.delete_before(TOPICS.subscriptions, 0, 1)
        await one.real.delete_topics([CHANGELOG])
        await one.real.create_topics(topic_specs(1))
        node = one.another("new")
        with pytest.raises(DiedError, match=f"{CHANGELOG} is empty, and {TOPICS.subscriptions} has been folded"):
            await node.recover()
        node.close()


async def test_another_writer_in_the_changelog_ends_the_process() -> None:
    """A batch that does not stand where the table ends means that two write: nothing of it reaches the table."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.real.append(CHANGELOG, 0, b"intruder", b"")
        last = await one.node.dies(one.node.contexts)
        assert last == (
            f"the contexts processor failed: another writer in {CHANGELOG}-0: appended at 1, and the table is at -1"
        )
        assert titles(one) == []


@pytest.mark.parametrize("intruder", [False, True])
async def test_what_has_the_changelog_forget_is_no_other_writer(*, intruder: bool) -> None:
    """Whoever erases may have a segment of the changelog closed at any time; a row beside that is an intruder's."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.real.append(CHANGELOG, 0, COMPACT_KEY, None)
        if intruder:
            await one.real.append(CHANGELOG, 0, b"intruder", b"")
            assert "another writer" in await one.node.dies(one.node.contexts)
            return
        await one.real.append(CHANGELOG, 0, COMPACT_KEY, None)
        await one.node.turn(one.node.contexts)
        await one.real.append(CHANGELOG, 0, COMPACT_KEY, None)
        one.node.close()
        node = one.another("a")
        await node.recover()
        await put_many(one, 2)
        await node.drain()
        await check_node(node, one.real)
        node.close()


async def test_partitions_come_and_go() -> None:
    """Who owns a partition is asked anew each time: what is let go is closed, what stays goes on."""
    async with living(partitions=3) as one:
        await put_many(one, 3)
        at = one.writes.partition(CONTEXT)
        other = [number for number in range(3) if number != at]
        await one.node.drain()
        await one.node.engine.recover({(p.fold.changelog, at) for p in one.node.processors})
        assert set(one.node.contexts.table.partitions) == set(one.node.sessions.table.partitions) == {at}
        assert set(one.node.contexts.table.files.open_partitions) == {at}
        assert {number for _, number in one.node.engine.next_offsets()} == {at}
        for number in other:
            with pytest.raises(ViewUnavailableError):
                one.node.contexts.table.rows(number)
            with pytest.raises(ViewUnavailableError):
                one.node.contexts.owns(number)
        one.node.contexts.owns(at)
        await one.node.recover()
        assert set(one.node.contexts.table.partitions) == {0, 1, 2}
        await one.writes.put(CONTEXT, "new")
        await check_node_quietly(one.node, one)


async def test_the_engine_says_how_it_is() -> None:
    """Counts are what was folded and is left to fold, which what is gone is not, and which partitions can be used."""
    async with living(partitions=2) as one:
        await put_many(one, 5)
        await one.writes.attach(SESSION, CONTEXT)
        at = one.writes.partition(CONTEXT)
        ends = {(CONTEXT_EVENTS, at): 5, (SESSION_EVENTS, one.writes.partition(SESSION)): 1}
        contexts, sessions = one.node.engine.status({}, ends, 0)
        assert (contexts.lag_events, contexts.ready, contexts.recovering) == (5, 2, 0)
        assert (sessions.lag_events, sessions.folded) == (1, {SESSION_EVENTS: 0, TOPICS.feed: 0})
        assert one.node.engine.status({(CONTEXT_EVENTS, at): 3}, ends, 0)[0].lag_events == 2
        await one.node.fetch(CONTEXT_EVENTS, at)
        first_ms = (await records(one.real, CONTEXT_EVENTS, at))[0].time_ms
        assert one.node.engine.status({}, ends, first_ms + 250)[0].lag_ms == 250
        await one.node.drain()
        contexts, sessions = one.node.engine.status({}, ends, 0)
        assert (contexts.lag_events, contexts.lag_ms, contexts.folded[CONTEXT_EVENTS]) == (0, 0, 5)
        one.node.contexts.table.partitions[at].claim = None
        contexts, _ = one.node.engine.status({}, ends, 0)
        assert (contexts.ready, contexts.recovering) == (1, 1)


# Readers


async def test_lists_are_served_without_the_log_for_a_while() -> None:
    """They say how old they are once that is too long to be fresh, and are refused at the limit."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.drain()
        one.node.contact.made()
        table, clock = one.node.contexts.table, one.node.clock
        ages: list[int | None] = []
        for silent_s in (0.0, 2.0, 3.0, 59.9, 60.0):
            clock.now_s = 100.0 + silent_s
            ages.append(table.age_s)
            assert titles(one) == ["T0"]
            assert table.position(CONTEXT_EVENTS, 0) == 0
            await table.until(0, b"", lambda: True, limit_s=1)
        assert ages == [None, None, 3, 59, 60]
        clock.now_s = 160.1
        with pytest.raises(ViewUnavailableError):
            table.rows(0)
        with pytest.raises(ViewUnavailableError):
            table.position(CONTEXT_EVENTS, 0)
        with pytest.raises(ViewUnavailableError):
            await table.until(0, b"", lambda: True, limit_s=1)
        one.node.contact.made()
        assert titles(one) == ["T0"]
        assert table.age_s is None


async def test_the_log_is_asked_whether_it_is_there() -> None:
    """A ping that is answered makes contact, one that is not makes none, and the asking goes on."""
    async with living() as one:
        contact, clock = one.node.contact, one.node.clock
        await contact.start()
        try:
            clock.now_s += 10
            await until(lambda: contact.silent_s == 0)
            one.log.troubles = lambda _: Trouble.LOST
            clock.now_s += 10
            pings = one.log.calls.count("ping")
            await until(lambda: one.log.calls.count("ping") > pings)
            assert contact.silent_s == 10
            one.log.troubles = lambda _: Trouble.NONE
            await until(lambda: contact.silent_s == 0)
        finally:
            await contact.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


# What is deleted once it is folded


async def test_only_what_is_folded_for_good_is_deleted(parts: Parts) -> None:
    """Records that were kept until folded go below the table's position; those of the sources never do."""
    async with living(parts) as one:
        await put_many(one, 3)
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        await one.writes.put(CONTEXT, "new", title="new")
        await one.node.fetch(CONTEXT_EVENTS, 0)
        await one.node.turn(one.node.contexts)
        await one.node.trimmer.trim(at_least=1)
        folded = one.node.sessions.table.position(TOPICS.feed, 0)
        end = await one.real.end_offset(TOPICS.feed, 0)
        assert folded < end - 1
        assert await one.real.start_offset(TOPICS.feed, 0) == folded + 1
        assert await one.real.start_offset(TOPICS.subscriptions, 0) == 1
        for source in (CONTEXT_EVENTS, SESSION_EVENTS):
            assert await one.real.start_offset(source, 0) == 0
        await one.node.drain()
        assert one.node.sessions.gaps.holes == 0
        await one.node.trimmer.trim(at_least=1)
        assert await one.real.start_offset(TOPICS.feed, 0) == end
        await check_node(one.node, one.real)


async def test_a_partition_that_is_not_claimed_is_not_trimmed() -> None:
    """While it is not known what became of the last batch, or who owns the partition, nothing is deleted."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        for processor in one.node.processors:
            processor.table.partitions[0].claim = None
        await one.node.trimmer.trim(at_least=1)
        assert [call for call in one.log.calls if call.startswith("delete")] == []


async def test_few_records_are_not_worth_a_call() -> None:
    """The log is asked only once there is something to gain, and again only when there is more."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, AT_LEAST - 2)
        await one.node.drain()
        feed = one.node.sessions.table.position(TOPICS.feed, 0) + 1
        await put_many(one, AT_LEAST - feed)
        await one.node.drain()
        for _ in range(2):
            await one.node.trimmer.trim()
        assert [call for call in one.log.calls if call.startswith("delete")] == [f"delete {TOPICS.feed}-0"]


async def test_a_log_that_is_away_keeps_the_records() -> None:
    """A deletion of which nobody knows whether it happened is asked for again the next time."""
    async with living() as one:
        await one.writes.attach(SESSION, CONTEXT)
        await one.node.drain()
        one.log.troubles = lambda call: Trouble.LANDED if call.startswith("delete") else Trouble.NONE
        with pytest.raises(LogUnavailableError):
            await one.node.trimmer.trim(at_least=1)
        one.log.troubles = lambda _: Trouble.NONE
        await one.node.trimmer.trim(at_least=1)
        assert await one.real.start_offset(TOPICS.subscriptions, 0) == 1
        await check_node(one.node, one.real)


# A failing disk


async def test_a_store_that_cannot_be_written_ends_the_process() -> None:
    """The batch is in the changelog, the next start sets the store aside, and everything comes back from there."""
    async with living() as one:
        await put_many(one, 2)
        await one.node.fetch(CONTEXT_EVENTS, 0)
        store = one.node.contexts.table.partitions[0].store

        async def close() -> None:
            store._database.close()

        one.log.gates[CONTEXTS_CHANGELOG] = close
        last = await one.node.dies(one.node.contexts)
        assert last.startswith(f"the contexts processor failed: the table in {store.path} failed")
        del one.node.contexts.table.partitions[0], one.node.contexts.table.files.open_partitions[0]
        one.node.close()
        node = one.another("a")
        await node.recover()
        assert node.contexts.table.files.set_aside == 1
        assert node.contexts.table.position(CONTEXT_EVENTS, 0) == 1
        await check_node_quietly(node, one)
        node.close()


# One recovery at a time


def lost(prefix: str) -> Troubles:
    """Lose the calls whose names begin so."""
    return lambda call: Trouble.LOST if call.startswith(prefix) else Trouble.NONE


async def test_recover_says_whether_the_log_answered() -> None:
    """A partition whose log is away is not claimed, and serves what it has."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.drain()
        owned = one.node.contexts.table.partitions[0]
        for call in ("claim", "end"):
            one.log.troubles = lost(call)
            assert not await recover(owned)
            assert owned.claim is None
            assert titles(one) == ["T0"]
        one.log.troubles = lambda _: Trouble.NONE
        assert await recover(owned)
        assert owned.claim is not None
