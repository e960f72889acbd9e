"""Warm copies of what other nodes fold: exact, served once they have been at the end, and the next owner's start."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from streams.domain.errors import ViewUnavailableError
from streams.engine.batch import Batch
from streams.engine.copies import Copies, Folders, WarmCopy
from streams.engine.processor import Processor
from streams.topics import CONTEXT_EVENTS
from tests.support.engine_checks import check_node, stored_rows
from tests.support.engine_examples import CONTEXT, CONTEXTS_CHANGELOG, SESSION, TOPICS, put_many
from tests.support.engine_follower import EmbeddedFollower
from tests.support.engine_nodes import ENGINE, Living, Node, die, living

LIMIT_S = 20.0


@asynccontextmanager
async def copying(one: Living, name: str = "b", most: int = 10_000) -> AsyncIterator[Node]:
    """Give a node that owns nothing, and has copies of all that *one* owns."""
    node = one.another(name)
    node.engine.copies = Copies(EmbeddedFollower(one.real, most), one.real, die)
    node.engine.copies.start()
    try:
        await node.engine.recover((), changelogs_of(node))
        yield node
    finally:
        await node.engine.copies.stop()
        node.close()


def changelogs_of(node: Node) -> set[tuple[str, int]]:
    return {(p.fold.changelog, number) for p in node.processors for number in range(node.partitions)}


async def caught_up(copying: Node, owner: Node) -> None:
    """Return once every copy is as new as its owner's table."""
    async with asyncio.timeout(LIMIT_S):
        for processor, number, store in owner.stores():
            copies = next(p for p in copying.processors if p.fold.name == processor.fold.name).table.copies
            while copies[number].store.offset < store.offset or not copies[number].served:
                await asyncio.sleep(0.005)


def rows_of(node: Node) -> dict[tuple[str, int], object]:
    return {(p.fold.name, number): stored_rows(store) for p, number, store in node.stores()}


def copied_rows(node: Node) -> dict[tuple[str, int], object]:
    return {(p.fold.name, n): stored_rows(copy.store) for p in node.processors for n, copy in p.table.copies.items()}


async def test_a_copy_is_what_its_owner_has() -> None:
    """Row by row, with positions and offsets, as the owner goes on; and it can be read and waited for."""
    async with living(partitions=2) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 20)
        await one.node.drain()
        async with copying(one) as node:
            await caught_up(node, one.node)
            assert copied_rows(node) == rows_of(one.node)
            at = one.writes.partition(CONTEXT)
            table = node.contexts.table
            assert table.position(CONTEXT_EVENTS, at) == 19
            waiting = asyncio.create_task(
                table.until(at, b"", lambda: table.position(CONTEXT_EVENTS, at) >= 20, limit_s=LIMIT_S)
            )
            await one.writes.put(CONTEXT, "more")
            await one.node.drain()
            await waiting
            await caught_up(node, one.node)
            assert copied_rows(node) == rows_of(one.node)


async def test_a_copy_is_served_only_once_it_has_been_at_the_end() -> None:
    """Half of a changelog is no state of its table, as rows may be gone that were there then."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.drain()
        node = one.another("b")
        await node.engine.recover((), changelogs_of(node))
        copy, table = node.contexts.table.copies[0], node.contexts.table
        follower = EmbeddedFollower(one.real, most=3)
        follower.seek({copy.changelog: 0})
        seen: list[bool] = []
        while copy.store.offset < one.node.contexts.table.partitions[0].store.offset:
            (records,) = (await follower.fetched([copy.changelog], 1)).values()
            with pytest.raises(ViewUnavailableError):
                table.rows(0)
            copy.apply(records, follower.next_offset(copy.changelog))
            copy.look(follower.end_offset(copy.changelog), 0.0)
            seen.append(copy.served)
        assert seen == [False] * (len(seen) - 1) + [True]
        assert len(seen) > 1
        table.rows(0)
        node.close()


async def test_a_copy_of_which_a_record_is_missing_is_not_read_from_until_it_is_at_the_end() -> None:
    """It was away, and what it reads was compacted meanwhile: of older batches only some rows are left."""
    async with living() as one:
        await one.writes.put(CONTEXT, "first", title="old")
        await one.node.drain()
        node = one.another("b")
        await node.engine.recover((), changelogs_of(node))
        copy, table = node.contexts.table.copies[0], node.contexts.table
        follower = EmbeddedFollower(one.real)
        follower.seek({copy.changelog: 0})
        await follow(copy, follower)
        ends = []
        for title in ("new", "newer"):
            await one.writes.put(CONTEXT, title, title=title)
            await one.node.drain()
            ends.append(await one.real.end_offset(*copy.changelog))
        records = [r async for chunk in one.real.read(*copy.changelog, 0, ends[1]) for r in chunk.records]
        last = {record.key: record.offset for record in records}
        left = [r for r in records if r.offset > copy.store.offset and last[r.key] == r.offset]
        older, newer = ([r for r in left if (r.offset < ends[0]) is is_older] for is_older in (True, False))
        before = stored_rows(copy.store)
        assert older, "a batch of which nothing is left proves nothing"
        assert older[-1].offset < ends[0] - 1
        copy.apply(older, ends[0])
        assert stored_rows(copy.store) != before
        copy.look(ends[1], 0.0)
        with pytest.raises(ViewUnavailableError):
            table.rows(0)
        copy.apply(newer, ends[1])
        copy.look(ends[1], 0.0)
        table.rows(0)
        assert stored_rows(copy.store) == stored_rows(one.node.contexts.table.partitions[0].store)
        node.close()


async def follow(copy: WarmCopy, follower: EmbeddedFollower) -> None:
    """Have a copy take what there is."""
    for records in (await follower.fetched([copy.changelog], 1)).values():
        copy.apply(records, follower.next_offset(copy.changelog))
    copy.look(follower.end_offset(copy.changelog), follower.silent_s(copy.changelog))


async def test_a_copy_is_as_old_as_what_was_last_heard_of_its_changelog() -> None:
    """That it has all up to an end which nobody has confirmed for a minute does not make it new."""
    async with living() as one:
        await put_many(one, 1)
        await one.node.drain()
        node = one.another("b")
        await node.engine.recover((), changelogs_of(node))
        copy, table = node.contexts.table.copies[0], node.contexts.table
        follower = EmbeddedFollower(one.real)
        follower.seek({copy.changelog: 0})
        await follow(copy, follower)
        end = follower.end_offset(copy.changelog)
        node.clock.now_s += 62
        node.contact.made()
        for silent_s in (math.inf, 61.0):
            copy.look(end, silent_s)
            with pytest.raises(ViewUnavailableError):
                table.rows(0)
        # What is heard later of an earlier time, or of none, makes it no older.
        for silent_s in (59.0, 61.0, math.inf):
            copy.look(end, silent_s)
            table.rows(0)
        node.close()


async def test_a_copy_grows_old_while_nobody_folds() -> None:
    """However well its changelog is heard of: nothing comes in there of what is written meanwhile."""
    async with living() as one, copying(one) as node:
        assert node.engine.copies is not None
        owned = [True]
        folders = Folders(lambda _: owned[0], lambda: node.clock.now_s)
        node.engine.copies.unfolded_s = folders.unfolded_s
        await put_many(one, 3)
        await one.node.drain()
        await caught_up(node, one.node)
        copy = node.contexts.table.copies[0]

        async def passes(seconds: float) -> None:
            node.clock.now_s += seconds
            node.contact.made()
            looked = asyncio.Event()
            node.engine.copies.on_looked = looked.set  # type: ignore[union-attr]
            for _ in range(2):  # one may be under way
                looked.clear()
                async with asyncio.timeout(LIMIT_S):
                    await looked.wait()

        await passes(100)
        node.contexts.table.rows(0)
        owned[0] = False
        await passes(59)
        assert copy.behind_s == 59
        assert node.contexts.table.has_all_since(0, node.clock.now_s), "that it has all the same"
        node.contexts.table.rows(0)
        await passes(2)
        with pytest.raises(ViewUnavailableError):
            node.contexts.table.rows(0)
        owned[0] = True
        await passes(1)
        node.contexts.table.rows(0)


async def test_a_copy_that_becomes_the_owners_is_served_at_once() -> None:
    """It has been served so far, and whoever waits for it waits on: the new owner restores only what it lacks."""
    async with living(partitions=2) as one:
        await one.writes.attach(SESSION, CONTEXT)
        await put_many(one, 30)
        await one.node.drain()
        async with copying(one) as node:
            await caught_up(node, one.node)
            at, table = one.writes.partition(CONTEXT), node.contexts.table
            waiting = asyncio.create_task(
                table.until(at, b"", lambda: table.position(CONTEXT_EVENTS, at) >= 30, limit_s=LIMIT_S)
            )
            await asyncio.sleep(0)
            one.node.close()
            await one.writes.put(CONTEXT, "new")
            await table.assign({0, 1})
            assert not table.has_all_since(at, 0.0), "what it lacks is not known yet"
            await node.recover()
            assert table.has_all_since(at, node.clock.now_s)
            assert not table.has_all_since(2, 0.0), "it is not here"
            owned = [owned for p in node.processors for owned in p.table.partitions.values()]
            assert all(partition.served for partition in owned)
            assert sum(partition.recovered_rows for partition in owned) <= len(owned)  # the claims' own records
            assert not any(p.table.copies for p in node.processors)
            await node.drain()
            await waiting
            await check_node(node, one.real)


async def test_a_copy_that_has_not_been_at_the_end_for_long_is_not_read_from() -> None:
    """However well the log answers otherwise: a copy that stands still grows old."""
    async with living() as one, copying(one) as node:
        await put_many(one, 3)
        await one.node.drain()
        await caught_up(node, one.node)
        assert node.engine.copies is not None
        node.engine.copies.follow(())
        node.contexts.table.rows(0)
        node.clock.now_s += 61
        node.contact.made()
        with pytest.raises(ViewUnavailableError):
            node.contexts.table.rows(0)
        await node.contexts.table.assign({0})
        assert not node.contexts.table.partitions[0].served, "as old as it is, it is no better than a restored one"


async def test_what_others_were_told_of_is_settled_once_it_is_committed() -> None:
    """From a turn's outputs to its commit, a list may show what its context's rows do not have yet."""
    seen: list[bool] = []

    class Asking(Processor):
        async def _append_outputs(self, batches: list[Batch]) -> None:
            await super()._append_outputs(batches)
            waiting = asyncio.create_task(self.table.settled(batches[0].owned.partition))
            await asyncio.sleep(0)
            seen.append(waiting.done())
            waitings.append(waiting)

    waitings: list[asyncio.Task[None]] = []
    async with living(ENGINE._replace(processor=Asking)) as one:
        await one.node.contexts.table.settled(0)
        await put_many(one, 1)
        await one.node.drain()
        assert seen
        assert not any(seen)
        await asyncio.wait_for(asyncio.gather(*waitings), LIMIT_S)


async def test_an_owner_that_becomes_a_copy_follows_on() -> None:
    """It is read from as before, without a moment in between, and gets what the new owner writes."""
    async with living(partitions=2) as one:
        await put_many(one, 5)
        await one.node.drain()
        one.node.engine.copies = Copies(EmbeddedFollower(one.real), one.real, die)
        one.node.engine.copies.start()
        other = one.another("b")
        table = one.node.contexts.table
        assert all(partition.served for partition in table.partitions.values())
        at = one.writes.partition(CONTEXT)
        waiting = asyncio.create_task(
            table.until(at, b"", lambda: table.position(CONTEXT_EVENTS, at) >= 13, limit_s=LIMIT_S)
        )
        recovering = asyncio.create_task(one.node.engine.recover((), changelogs_of(one.node)))
        while not recovering.done():
            table.rows(at)
            await asyncio.sleep(0)
        await recovering
        assert one.node.engine.next_offsets() == {}
        await other.recover()
        await put_many(one, 9)
        await other.drain()
        await caught_up(one.node, other)
        await waiting
        assert copied_rows(one.node) == rows_of(other)
        await one.node.engine.copies.stop()
        other.close()


async def test_what_was_served_is_kept_until_another_node_serves_it() -> None:
    """It is read from and follows on, whoever is to have it, then is closed; what is served elsewhere is at once."""
    async with living(partitions=2) as one:
        await put_many(one, 5)
        await one.node.drain()
        served = {("sessions", 0), ("sessions", 1)}
        node, other = one.node, one.another("b")
        node.engine._is_elsewhere = lambda table, partition: (table, partition) in served
        node.engine.copies = Copies(EmbeddedFollower(one.real), one.real, die)
        node.engine.copies.on_looked = node.engine.let_go
        node.engine.copies.start()
        table, at = node.contexts.table, one.writes.partition(CONTEXT)
        waiting = asyncio.create_task(
            table.until(at, b"", lambda: table.position(CONTEXT_EVENTS, at) >= 13, limit_s=LIMIT_S)
        )
        recovering = asyncio.create_task(node.engine.recover((), ()))
        while not recovering.done():
            table.rows(at)
            await asyncio.sleep(0)
        await recovering
        assert (node.engine.next_offsets(), set(table.kept), set(table.copies)) == ({}, {0, 1}, {0, 1})
        assert not node.sessions.table.copies
        await other.recover()
        await put_many(one, 9)
        await other.drain()
        await waiting
        served.add(("contexts", at))
        async with asyncio.timeout(LIMIT_S):
            while at in table.copies:
                await asyncio.sleep(0.005)
        assert list(table.files.open_partitions) == [1 - at]
        with pytest.raises(ViewUnavailableError):
            table.rows(at)
        # It comes back before anybody else serves it.
        await node.engine.recover({(TOPICS.contexts_changelog, 1 - at)})
        assert (set(table.kept), set(table.copies), set(table.partitions)) == (set(), set(), {1 - at})
        # And goes, to nobody: what is kept of it is kept for no longer than a list may be old.
        await node.engine.recover((), ())
        assert set(table.kept) == {1 - at}
        node.clock.now_s += 61
        async with asyncio.timeout(LIMIT_S):
            while table.copies:
                await asyncio.sleep(0.005)
        await node.engine.copies.stop()
        other.close()


async def test_a_copy_that_is_not_wanted_any_more_is_closed() -> None:
    """Whoever waits for it is told, and its files can be opened by others."""
    async with living(partitions=2) as one, copying(one) as node:
        await node.engine.recover((), {(TOPICS.contexts_changelog, 1)})
        assert list(node.contexts.table.copies) == [1]
        assert not node.sessions.table.copies
        assert list(node.contexts.table.files.open_partitions) == [1]
        with pytest.raises(ViewUnavailableError):
            node.contexts.table.rows(0)


async def test_a_claim_is_no_row() -> None:
    """What a claim leaves in the changelog is read past."""
    async with living() as one, copying(one) as node:
        await one.real.claim(TOPICS.contexts_changelog, 0)
        await one.real.append(TOPICS.contexts_changelog, 0, b"\x00claim", b"1,2,3")
        end = await one.real.end_offset(TOPICS.contexts_changelog, 0)
        copy = node.contexts.table.copies[0]
        async with asyncio.timeout(LIMIT_S):
            while copy.store.offset < end - 1:
                await asyncio.sleep(0.005)
        assert copy.store.get(b"\x00claim") is None
        assert CONTEXTS_CHANGELOG.endswith("-0")


async def test_a_copy_that_cannot_be_written_ends_the_process() -> None:
    """A store that fails is not to be trusted: the next start sets it aside."""
    async with living() as one:
        await put_many(one, 3)
        await one.node.drain()
        deaths: list[str] = []

        def died(reason: str) -> NoReturn:
            deaths.append(reason)
            die(reason)

        node = one.another("b")
        node.engine.copies = Copies(EmbeddedFollower(one.real), one.real, died)
        await node.engine.recover((), changelogs_of(node))
        node.contexts.table.copies[0].store._database.close()
        node.engine.copies.start()
        async with asyncio.timeout(LIMIT_S):
            while not deaths:
                await asyncio.sleep(0.005)
        assert "warm copies failed" in deaths[0]
        await node.engine.copies.stop()
