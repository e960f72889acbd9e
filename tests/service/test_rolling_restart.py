"""Three nodes restarted one after another, while clients go on: no write of an item and no list fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.domain.nodes import TableName
from tests.service.oracle import Context, Household
from tests.support.balanced import Balanced, Tally
from tests.support.fleets import Fleet, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import Answer, Caller, NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PARTITIONS = 6
TABLES = len(TableName)
SETTLED_S = 60.0
COMMANDS_AWAY_S = 10.0
PAUSE_S = 0.02
"""Between two calls of one client: enough calls to meet every moment of a restart, and time for the nodes to go on."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
async def fleet(tmp_path: Path, broker: Broker, http: aiohttp.ClientSession) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path, broker, http, "abc", PARTITIONS) as fleet:
        yield fleet


async def partitions(node: NodeProcess, state: str) -> float:
    """Return how many partitions of both tables are in a state on a node; none where it does not answer yet."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{node.internal_url}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
    except aiohttp.ClientError:
        return 0.0
    samples = (sample for family in families for sample in family.samples if sample.name == "upnext_partitions")
    return sum(sample.value for sample in samples if sample.labels["state"] == state)


async def covered(fleet: Fleet) -> None:
    """Return once every partition is served by one node and copied by another, and each node has some."""
    async with asyncio.timeout(SETTLED_S):
        while True:
            ready = [await partitions(node, "ready") for node in fleet.nodes]
            copied = [await partitions(node, "copied") for node in fleet.nodes]
            if all(ready) and sum(ready) == sum(copied) == PARTITIONS * TABLES:
                return
            await asyncio.sleep(0.05)


class Load:
    """Clients of each kind, each with a node that it asks first; none has two calls under way."""

    def __init__(self, fleet: Fleet, household: Household) -> None:
        self._fleet, self._household = fleet, household
        self.tally = Tally()
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have clients call meanwhile; whatever they find wrong ends the test."""
        async with asyncio.TaskGroup() as clients:
            for n, context in enumerate(self._household.contexts):
                clients.create_task(self._write(n, context))
            for n, session in enumerate(self._household.sessions):
                for first in range(len(self._fleet.nodes)):
                    clients.create_task(self._read(first, session))
                clients.create_task(self._command(n, session))
            try:
                yield
            finally:
                self._stop.set()

    def _client(self, caller: Caller, first: int, kind: str) -> Balanced:
        return Balanced.like(caller, self._fleet.nodes, first, kind, self.tally)

    async def _write(self, n: int, context: Context) -> None:
        """Write items of a context, each through the next node."""
        context.app = app = self._client(context.app, n, "item")
        while not self._stop.is_set():
            await self._household.write(context)
            app.first = (app.first + 1) % len(app.nodes)
            await asyncio.sleep(PAUSE_S)

    async def _read(self, first: int, session: str) -> None:
        """Read a list through one node as long as that listens, never an older one than the last."""
        platform = self._client(self._household.platform, first, "list")
        position = ""
        while not self._stop.is_set():
            answer = await platform.call("GET", f"/v1/sessions/upnext/{session}", after=position)
            position = answer.headers.get("Paket-Position", position)
            await asyncio.sleep(PAUSE_S)

    async def _command(self, n: int, session: str) -> None:
        """Attach what is attached, through one node after another."""
        context = self._household.contexts[n % len(self._household.contexts)]
        platform = self._client(self._household.platform, n, "command")
        body = {"app_id": context.app.tenant, "context_id": context.id}
        while not self._stop.is_set():
            answer = await platform.call("PUT", f"/v1/sessions/upnext/{session}", body)
            assert answer.status == 200 or is_told_when(answer), (answer.status, answer.headers, answer.body)
            platform.first = (platform.first + 1) % len(platform.nodes)
            await asyncio.sleep(PAUSE_S)


def is_told_when(answer: Answer) -> bool:
    """Say whether an answer is a 503 that says when to ask again."""
    return answer.status == 503 and int(answer.headers["Retry-After"]) < COMMANDS_AWAY_S


async def test_nodes_are_restarted_in_turn(fleet: Fleet) -> None:
    """Each is told to stop, and started again: lists and writes go on, commands wait for seconds at most."""
    await covered(fleet)
    household = await Household.make(fleet, seed=46, contexts=8, sessions=6)
    await household.attach_all()
    load = Load(fleet, household)
    async with load.running():
        await household.acknowledge(100)
        for node in fleet.nodes:
            began_s = time.monotonic()
            assert await asyncio.to_thread(node.terminate) == 0, node.tail()
            stopped_s = time.monotonic()
            node.spawn()
            await covered(fleet)
            print(f"stopped in {stopped_s - began_s:.1f} s, all covered {time.monotonic() - stopped_s:.1f} s later")
            await household.acknowledge(100)
    tally = load.tally
    for kind in ("item", "list", "command"):
        print(tally.told(kind))
    print(f"{tally.asked_again} connections broke before an answer")
    assert not tally.failed("item"), tally.failed("item")[:10]
    assert not tally.failed("list"), tally.failed("list")[:10]
    assert tally.away_s("command") < COMMANDS_AWAY_S, tally.failed("command")
    await household.check()
    for node in fleet.nodes:
        assert await asyncio.to_thread(node.terminate) == 0, node.tail()
