"""A repair whose node dies is made good by the one that takes over, whose copy is as damaged."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.service.conftest import make_pair
from tests.service.test_repaired_lists import Writer, audited, harm, upnext
from tests.support.fleets import Fleet, FleetCaller, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(240)]

PARTITIONS = 2
TABLES = (("contexts", "context_copies"), ("sessions", "session_copies"))
LIMIT_S = 60.0


async def copied(fleet: Fleet) -> None:
    """Return once each node has a copy of all that it does not own."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            async with fleet.http.get(f"{fleet.nodes[0].internal_url}/nodes") as answer:
                nodes = (await answer.json())["nodes"]
            held = [len(node[owned]) + len(node[copies]) for node in nodes for owned, copies in TABLES]
            if held == [PARTITIONS] * 4:
                return
            await asyncio.sleep(0.1)


async def repaired(node: NodeProcess, session: str) -> None:
    """Have a session and its contexts repaired, once somebody can."""
    end = time.monotonic() + LIMIT_S
    while (await upnext(node, "session", "repair", "--contexts", session))[0] != 0:
        assert time.monotonic() < end


async def owner(caller: FleetCaller, path: str) -> int:
    """Return the number of the node that serves a session, once one does."""
    async with asyncio.timeout(LIMIT_S):
        while 200 not in (statuses := await caller.where(path)):
            await asyncio.sleep(0.1)
    return statuses.index(200)


async def test_its_node_is_killed(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """The other one repairs what it has taken over; the first has the same once it is back."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with Broker(tmp_path / "broker") as broker:
        async with fleet_in(tmp_path, broker, http, "ab", PARTITIONS) as fleet:
            pair = await make_pair(fleet)
            await pair.attach()
            writer = Writer(pair)
            for n in range(20):
                await writer.write(f"c{n:02}")
            await writer.check()
            await copied(fleet)
            for node in fleet.nodes:
                assert node.terminate() == 0
                harm(node, pair)
            for node in fleet.nodes:
                await node.start()
            await copied(fleet)
            assert isinstance(pair.platform, FleetCaller)
            number = await owner(pair.platform, pair.session_path)
            first, other = fleet.nodes[number], fleet.nodes[1 - number]
            assert (await audited(other))[0] == 1
            repairing = asyncio.create_task(upnext(other, "session", "repair", "--contexts", pair.session))
            await asyncio.sleep(random.Random(seed).uniform(0.3, 1.2))  # until it is killed
            first.kill()
            await repairing
            await repaired(other, pair.session)
            await writer.check()
            await first.start()
            await copied(fleet)
            other.kill()
            await owner(replace(pair.platform, nodes=[first]), pair.session_path)
            await writer.check()
            # Until it counts as silent, the audit would ask the other one too.
            end = time.monotonic() + LIMIT_S
            while (await audited(first))[0] != 0:
                assert time.monotonic() < end
