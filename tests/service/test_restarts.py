"""Whatever ends the process, every acknowledged write is in every view, once."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.service.conftest import Connect, OwnNode
from tests.service.oracle import Household
from tests.support.bulks import large_items, largest_bulk

TABLES = "tables"


@pytest.mark.timeout(240)
async def test_kill_and_restart_in_the_middle_of_writes(own_node: OwnNode, connect: Connect) -> None:
    """SIGKILL, again and again, loses and doubles nothing."""
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=20_261)
    await household.attach_all()
    for _ in range(4):
        stop = asyncio.Event()
        writing = asyncio.create_task(household.write_until(stop))
        await household.acknowledge(150)
        node.kill()
        stop.set()
        await writing
        await node.start()
        await household.check()
    assert household.acknowledged >= 600
    assert node.terminate() == 0, node.tail()


@pytest.mark.timeout(240)
async def test_recovery_on_an_empty_disk(own_node: OwnNode, connect: Connect) -> None:
    """The tables can be thrown away: the changelog has them whole."""
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=20_262)
    await household.attach_all()
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    await household.acknowledge(300)
    # One record batch of the changelog is as large as it can be.
    app = household.contexts[0].app
    path = f"/v1/contexts/upnext/{(await app.ok('POST', '/v1/contexts')).json['context_id']}"
    for first in (0, 500):
        await app.ok("POST", f"{path}/items", {"items": large_items(first)})
    replaced = await app.ok("PUT", f"{path}/items", data=largest_bulk(1_000))
    before = (await app.ok("GET", f"{path}?limit=200", after=replaced.position)).json
    assert before["total"] == 500
    node.kill()
    stop.set()
    await writing
    tables = node.directory / TABLES
    assert tables.is_dir(), sorted(p.name for p in node.directory.iterdir())
    shutil.rmtree(tables)
    await node.start()
    await household.check()
    assert (await app.ok("GET", f"{path}?limit=200", after=replaced.position)).json == before
    assert node.terminate() == 0, node.tail()


@pytest.mark.timeout(240)
async def test_an_orderly_stop_finishes_what_was_begun(own_node: OwnNode, connect: Connect) -> None:
    """SIGTERM under load: nothing acknowledged is lost, exit status 0, and the next start needs no recovery."""
    node = await own_node.node.start()
    household = await Household.make(connect(node), seed=20_263)
    await household.attach_all()
    for _ in range(2):
        stop = asyncio.Event()
        writing = asyncio.create_task(household.write_until(stop))
        await household.acknowledge(100)
        status = await asyncio.to_thread(node.terminate)
        stop.set()
        await writing
        assert status == 0, node.tail()
        await node.start()
        await household.check()
    assert node.terminate() == 0, node.tail()
