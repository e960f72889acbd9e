"""A node that is frozen while it has partitions: their lists are read from a copy, until they are another node's."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.service.oracle import Household
from tests.support.balanced import Balanced, Tally
from tests.support.fleets import Fleet, FleetCaller
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 4
SETTLED_S = 60.0
READ_S = 1.5
"""How long a read of what the frozen node has may take."""
FAST_S = 0.4
"""How long reads take at most, but for the few that find out: less than what those wait."""
PAUSE_S = 0.02


@dataclass
class Nodes:
    """One that keeps copies, one that is frozen, one in front that has neither."""

    copies: NodeProcess
    frozen: NodeProcess
    front: NodeProcess

    @property
    def every(self) -> list[NodeProcess]:
        return [self.copies, self.frozen, self.front]


@asynccontextmanager
async def three_nodes(directory: Path) -> AsyncIterator[Nodes]:
    broker = Broker(directory / "broker")
    broker.start()

    def node(name: str, *flags: str) -> NodeProcess:
        return NodeProcess(directory / name, "--partitions", str(PARTITIONS), *flags, kafka=broker.bootstrap)

    nodes = Nodes(node("copies"), node("frozen", "--roles", "streams"), node("front", "--roles", "api"))
    try:
        await nodes.copies.start()
        await nodes.frozen.start()
        await nodes.front.start()
        yield nodes
    finally:
        for one in nodes.every:
            one.kill()
        broker.stop()


async def served_by(node: NodeProcess, household: Household) -> list[str]:
    """Return the paths of those sessions whose lists are that node's."""
    caller = household.platform
    alone = FleetCaller(caller.http, "", caller.headers, caller.tenant, caller.client_id, caller.secret, nodes=[node])
    paths = [f"/v1/sessions/upnext/{session}" for session in household.sessions]
    return [path for path in paths if await alone.where(path) == [200]]


async def copied(fleet: Fleet, nodes: Nodes) -> None:
    """Return once the one has copies of all that the other has, and everybody has heard of it."""
    async with asyncio.timeout(SETTLED_S):
        while True:
            async with fleet.http.get(f"{nodes.front.internal_url}/nodes") as answer:
                said = {node["url"]: node for node in (await answer.json())["nodes"]}
            one, other = said.get(nodes.copies.internal_url, {}), said.get(nodes.frozen.internal_url, {})
            if other.get("sessions") and other["sessions"] == one.get("session_copies"):
                return
            await asyncio.sleep(0.05)


async def test_lists_of_a_frozen_node_are_read_from_a_copy(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Each within a second and a half, nearly all at once, and none fails: to the take-over, and beyond it."""
    async with three_nodes(tmp_path) as nodes:
        fleet = Fleet(nodes.copies, http, nodes=[nodes.copies, nodes.front])
        household = await Household.make(fleet, seed=47, contexts=4, sessions=16)
        await household.attach_all()
        await copied(fleet, nodes)
        paths = await served_by(nodes.frozen, household)
        assert paths
        tally, taken_over = Tally(), asyncio.Event()

        async def read(path: str, node: NodeProcess) -> None:
            platform = Balanced.like(household.platform, [node], 0, "list", tally)
            position = ""
            while not taken_over.is_set():
                answer = await platform.call("GET", path, after=position)
                position = answer.headers.get("Paket-Position", position)
                await asyncio.sleep(PAUSE_S)

        assert nodes.frozen.process is not None
        async with asyncio.TaskGroup() as clients:
            for path in paths:
                for node in (nodes.copies, nodes.front):
                    clients.create_task(read(path, node))
            nodes.frozen.process.send_signal(signal.SIGSTOP)
            frozen_s = time.monotonic()
            async with asyncio.timeout(SETTLED_S):
                while await served_by(nodes.copies, household) != [
                    f"/v1/sessions/upnext/{session}" for session in household.sessions
                ]:
                    await asyncio.sleep(0.1)
            print(f"taken over after {time.monotonic() - frozen_s:.1f} s")
            taken_over.set()
        print(tally.told("list"))
        slow = [call for call in tally.of("list") if call.ended_s - call.began_s > FAST_S]
        print(f"{len(slow)} took longer than {FAST_S} s")
        assert not tally.failed("list"), tally.failed("list")[:10]
        assert tally.slowest_s("list") < READ_S
        # Each client may meet a silent node twice: when it freezes, and when it is tried again.
        assert len(slow) <= 3 * 2 * len(paths)
        await household.check()
