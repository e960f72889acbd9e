"""The files of tables are written anew: all that are here, each once it has what its changelog had."""

from __future__ import annotations

import asyncio

from streams.engine.processor import is_alone
from streams.engine.rewriting import Rewriting
from streams.engine.table import OwnedTable
from tests.contract.test_copies import caught_up, copying
from tests.support.engine_examples import CONTEXT, SESSION, put_many
from tests.support.engine_nodes import Living, Node, living

LIMIT_S = 20.0


def tables_of(node: Node) -> list[OwnedTable]:
    return [processor.table for processor in node.processors]


def offsets_of(node: Node) -> dict[str, int]:
    return {
        f"{table.name}/{number}": store.offset
        for table in tables_of(node)
        for number, store in table.files.open_partitions.items()
    }


async def fill(one: Living) -> None:
    await one.writes.attach(SESSION, CONTEXT)
    await put_many(one, 3)
    await one.node.drain()


async def test_copies_that_are_behind_are_rewritten_later() -> None:
    """However new they are: what was deleted since they were last at the end would stay in their files."""
    async with living() as one, copying(one) as node:
        await fill(one)
        await caught_up(node, one.node)
        rewriting = Rewriting(tables_of(node), node.clock.now_s + 1, is_alone)
        assert not await rewriting.go_on()
        assert rewriting.offsets == {}
        node.clock.now_s += 2
        node.contact.made()
        async with asyncio.timeout(LIMIT_S):
            while not await rewriting.go_on():
                await asyncio.sleep(0.005)
        assert rewriting.offsets == offsets_of(node) == offsets_of(one.node)


async def test_what_is_opened_meanwhile_is_rewritten_too() -> None:
    """Once it is recovered: its files may be from before what was deleted."""
    async with living(partitions=2) as one:
        await fill(one)
        await one.node.recover(range(1))
        rewriting = Rewriting(tables_of(one.node), one.node.clock.now_s, is_alone)
        going = asyncio.create_task(rewriting.go_on())
        await asyncio.sleep(0)
        for table in tables_of(one.node):
            await table.assign({0, 1})
        assert not await going
        assert not await rewriting.go_on()
        await one.node.recover()
        assert await rewriting.go_on()
        assert rewriting.offsets == offsets_of(one.node)
        assert len(rewriting.offsets) == 4


async def test_what_was_let_go_is_removed() -> None:
    """Not before it is known what is to be here, nor once others have what is on the disk."""
    async with living(partitions=2) as one:
        await fill(one)
        one.node.close()
        there = sorted(one.directory.glob("a/*/[01]"))
        rewriting = Rewriting(tables_of(one.node), 0.0, is_alone)
        assert not await rewriting.go_on()
        node = one.another("a")
        rewriting = Rewriting(tables_of(node), 0.0, is_alone)
        assert not await rewriting.go_on()
        assert sorted(one.directory.glob("a/*/[01]")) == there
        await node.recover(range(1))
        assert await rewriting.go_on()
        assert sorted(one.directory.glob("a/*/[01]")) == [path for path in there if path.name == "0"]
        node.close()


async def test_who_is_no_member_rewrites_nothing() -> None:
    """It may own what is another's by now, and have not heard what that one has deleted."""
    async with living() as one:
        await fill(one)
        members = [False, True]

        async def is_member() -> bool:
            return members.pop(0)

        rewriting = Rewriting(tables_of(one.node), 0.0, is_member)
        assert not await rewriting.go_on()
        assert rewriting.offsets == {}
        assert await rewriting.go_on()
        assert rewriting.offsets == offsets_of(one.node)
