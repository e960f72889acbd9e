"""Three nodes on Kafka, of which the one that erases is killed in the middle: another one does it, and all is gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from streams.domain.nodes import TableName
from tests.service.oracle import Household
from tests.service.test_erased_contexts import LOOKS_OFTEN, erase, erase_said
from tests.service.test_rebuild_killed import written_to
from tests.support.fleets import Fleet, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

PARTITIONS = 4
WITHIN_S = 8
"""Records are there for a quarter of this after they were asked for: long enough to be killed meanwhile."""
LIMIT_S = 120.0


async def eraser_of(fleet: Fleet) -> NodeProcess:
    """Return the node that has the first partition of contexts."""
    async with fleet.http.get(f"{fleet.node.internal_url}/nodes") as answer:
        nodes = (await answer.json())["nodes"]
    (url,) = [node["url"] for node in nodes if 0 in node["contexts"]]
    (found,) = [node for node in fleet.nodes if node.internal_url == url]
    return found


async def erased(household: Household) -> list[str]:
    """Erase two contexts of a household and delete a session of it; return their ids."""
    contexts, session = household.contexts[:2], household.sessions.pop()
    del household.contexts[:2]
    for context in contexts:
        await context.app.ok("DELETE", f"/v1/contexts/{context.id}")
    await household.platform.ok("DELETE", f"/v1/sessions/upnext/{session}")
    return [*(context.id for context in contexts), session]


async def until_erasing(node: NodeProcess) -> None:
    """Return once a node has found what it has to erase, and has begun to."""
    async with asyncio.timeout(LIMIT_S):
        while '"event":"erasing"' not in node.tail(100_000):
            await asyncio.sleep(0.02)


async def until_done(node: NodeProcess, what: str, ids: list[str]) -> None:
    """Return once `upnext erase` finds receipts of all of *ids*, or nothing that is left of them."""
    async with asyncio.timeout(LIMIT_S):
        while await erase(node, what, *ids) != 0:
            pass


async def until_tables_are_in(node: NodeProcess, ids: list[str], count: int) -> None:
    """Return once the receipts of all of *ids* say of as many nodes that their tables have nothing either."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            status, said = await erase_said(node, "receipt", *ids)
            assert status == 0
            receipts = json.loads(said)
            if all(len(receipt["tables"]) == count and not receipt["not_yet"] for receipt in receipts):
                break
    for receipt in receipts:
        assert len({tables["node"] for tables in receipt["tables"]}) == count
        owned = {store for tables in receipt["tables"] for store in tables["stores"]}
        assert {f"upnext-v1/{table}/{n}" for table in TableName for n in range(PARTITIONS)} <= owned


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_the_node_that_erases_is_killed(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """
    Nothing is left of what was erased, not in the tables of the node that was killed either, once it is back.

    Meanwhile others are written to, and all of that is in every list.
    """
    flags = "--erasure-within-s", str(WITHIN_S)
    with Broker(tmp_path / "broker", settings=LOOKS_OFTEN) as broker:
        async with fleet_in(tmp_path, broker, http, "abc", PARTITIONS, flags=flags) as fleet:
            household = await Household.make(fleet, seed=85)
            await household.attach_all()
            for _ in range(10):
                for context in household.contexts:
                    await household.write(context)
            await household.check()
            eraser = await eraser_of(fleet)
            ids = await erased(household)
            async with written_to(household):
                await until_erasing(eraser)
                eraser.kill()
                assert await erase(eraser, "receipt", *ids) != 0
                other = next(node for node in fleet.nodes if node is not eraser)
                await until_done(other, "receipt", ids)
                await household.acknowledge(100)
                await eraser.start()
                for node in fleet.nodes:
                    await until_done(node, "verify", ids)
                await until_tables_are_in(eraser, ids, len(fleet.nodes))
            await household.check()
            print(f"{household.acknowledged} writes acknowledged, of {household.unknown} the outcome is unknown")
            assert [await erase(node, "verify", *ids) for node in fleet.nodes] == [0, 0, 0]
            for node in fleet.nodes:
                assert node.terminate() == 0, node.tail()
