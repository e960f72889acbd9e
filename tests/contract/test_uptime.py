"""A table that has been in use for long."""

from __future__ import annotations

import asyncio
import os
import time

from streams.engine.table_files import TOO_OLD_S, PartitionStore
from streams.engine.trimmer import Trimmer
from tests.support.engine_examples import put_many
from tests.support.engine_nodes import Living, living

LIMIT_S = 20


def age_s(store: PartitionStore) -> float:
    return time.time() - (store.path / "used").stat().st_mtime


def grow_old(one: Living) -> list[PartitionStore]:
    """Have the stores' last note be of before the time after which they would count as too old."""
    stores = [store for _, _, store in one.node.stores()]
    for store in stores:
        then = time.time() - TOO_OLD_S - 3_600
        os.utime(store.path / "used", (then, then))
    return stores


async def test_a_table_that_served_for_weeks_is_not_taken_for_one_that_was_off() -> None:
    """It was last opened long ago, and has missed nothing: a start after that restores none of it."""
    async with living() as one:
        await put_many(one, 3)
        await one.node.drain()
        stores = grow_old(one)
        trimmer = Trimmer(one.log, one.node.processors, every_s=0)
        trimmer.start()
        async with asyncio.timeout(LIMIT_S):
            while any(age_s(store) > LIMIT_S for store in stores):
                await asyncio.sleep(0)
        await trimmer.stop()
        one.node.close()
        node = one.another("a")
        await node.recover()
        assert [processor.table.files.set_aside for processor in node.processors] == [0, 0]
        node.close()


async def test_a_table_whose_log_is_away_is_not_in_use() -> None:
    """It may be missing what others wrote by then."""
    async with living() as one:
        stores = grow_old(one)
        one.node.clock.now_s += 10
        for processor in one.node.processors:
            processor.table.note_use()
        assert all(age_s(store) > TOO_OLD_S for store in stores)
        one.node.contact.made()
        one.node.contexts.table.partitions[0].claim = None
        for processor in one.node.processors:
            processor.table.note_use()
        assert [age_s(store) > TOO_OLD_S for store in stores] == [True, False]
