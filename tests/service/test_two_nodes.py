"""Two nodes on one Kafka: whoever comes, goes, dies, freezes or is cut off, what was acknowledged is in the lists."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.oracle import Household
from tests.support.fleets import Fleet, FleetCaller, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess
from tests.support.ports import free_ports
from tests.support.proxy import Proxy

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PARTITIONS = 4
AWAY_S = 10.0
"""Longer than a session with the group, 6 s, so that another node has taken over."""
SESSION_S = 6.0
READ_AGAIN_S = 1.0
"""How long lists may be away when their owner is killed."""
SETTLED_S = 60.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker with a second way to it, for a node that is to be cut off."""
    (public,) = free_ports(1)
    with Broker(tmp_path / "broker", listeners={"CUT": "PLAINTEXT"}, advertised={"CUT": public}) as broker:
        yield broker


@pytest.fixture
async def fleet(tmp_path: Path, broker: Broker, http: aiohttp.ClientSession) -> AsyncIterator[Fleet]:
    """A node that serves, and one that has not begun yet."""
    async with fleet_in(tmp_path, broker, http, "ab", PARTITIONS, running=1) as fleet:
        yield fleet


async def household_of(fleet: Fleet, seed: int) -> Household:
    household = await Household.make(fleet, seed=seed, contexts=8, sessions=4)
    await household.attach_all()
    return household


@asynccontextmanager
async def written_to(household: Household) -> AsyncIterator[None]:
    """Have every context written to meanwhile."""
    stop = asyncio.Event()
    writing = asyncio.create_task(household.write_until(stop))
    try:
        yield
    finally:
        stop.set()
        await writing


def alone(fleet: Fleet, household: Household) -> FleetCaller:
    """Return the platform, who calls each node that runs by itself."""
    caller = household.platform
    return FleetCaller(
        caller.http, "", caller.headers, caller.tenant, caller.client_id, caller.secret, nodes=running(fleet)
    )


def running(fleet: Fleet) -> list[NodeProcess]:
    return [node for node in fleet.nodes if node.process is not None and node.process.poll() is None]


async def settled(fleet: Fleet, household: Household) -> list[list[int]]:
    """Return, once every session is served by exactly one node and every node answers for it, who serves what."""
    caller = alone(fleet, household)
    paths = [f"/v1/sessions/upnext/{session}" for session in household.sessions]
    async with asyncio.timeout(SETTLED_S):
        while True:
            statuses = [await caller.where(path) for path in paths]
            answered = [await caller.from_each(path) for path in paths]
            if all(each.count(200) == 1 for each in statuses) and all({*each} == {200} for each in answered):
                return statuses
            await asyncio.sleep(0.1)


async def sampled(node: NodeProcess, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal_url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


async def copied(fleet: Fleet) -> None:
    """Return once each of two nodes has a warm copy of all that is the other's."""
    first, second = fleet.nodes
    async with asyncio.timeout(SETTLED_S):
        for one, other in ((first, second), (second, first)):
            while await sampled(one, "upnext_partitions", state="copied") != await sampled(
                other, "upnext_partitions", state="ready"
            ):
                await asyncio.sleep(0.1)


async def answered(node: NodeProcess, household: Household) -> None:
    """Return once a node answers for every session."""
    caller = household.platform
    assert isinstance(caller, FleetCaller)
    only = FleetCaller(caller.http, "", caller.headers, caller.tenant, caller.client_id, caller.secret, nodes=[node])
    for session in household.sessions:
        while await only.from_each(f"/v1/sessions/upnext/{session}") != [200]:
            await asyncio.sleep(0.01)


async def gives_way(node: NodeProcess) -> None:
    """Have a node that has ended, as its changelogs are another's, started again."""
    assert node.process is not None
    if node.process.poll() is not None:
        assert "claimed" in node.tail().strip().splitlines()[-1]
        await node.start()


async def test_a_node_comes_is_killed_comes_back_and_is_stopped(fleet: Fleet) -> None:
    """Partitions go to and fro, under writes; each is served by one node at a time, which the other asks."""
    first, second = fleet.nodes
    household = await household_of(fleet, seed=41)
    async with written_to(household):
        await household.acknowledge(100)
        await second.start()
        await household.acknowledge(100)
    await settled(fleet, household)
    assert await sampled(second, "upnext_partitions", state="ready"), "the second node was given nothing"
    await household.check()
    async with written_to(household):
        await household.acknowledge(50)
        second.kill()
        await household.acknowledge(300)
    await settled(fleet, household)
    await household.check()
    async with written_to(household):
        await second.start()
        await household.acknowledge(100)
        status = await asyncio.to_thread(first.terminate)
        assert status == 0, first.tail()
        left = time.monotonic()
        await settled(fleet, household)
        assert time.monotonic() - left < SESSION_S / 2, "the group was not told, and waited for the session to end"
        await household.acknowledge(100)
    await settled(fleet, household)
    await household.check()
    assert second.terminate() == 0, second.tail()


async def test_what_a_killed_node_had_is_taken_over_from_warm_copies(fleet: Fleet) -> None:
    """They are read from at once, and go on from there: nothing is restored but what was written last."""
    first, second = fleet.nodes
    household = await household_of(fleet, seed=44)
    await second.start()
    async with written_to(household):
        await household.acknowledge(200)
    await settled(fleet, household)
    await copied(fleet)
    before = await sampled(first, "upnext_recovered_rows_total")
    async with written_to(household):
        await household.acknowledge(50)
        second.kill()
        killed = time.monotonic()
        await answered(first, household)
        assert time.monotonic() - killed < READ_AGAIN_S
        await household.acknowledge(50)
        await settled(fleet, household)
    await household.check()
    # Claims leave a record in each changelog; the rest is what the copies had not got yet.
    assert await sampled(first, "upnext_recovered_rows_total") - before < 100
    assert await sampled(first, "upnext_partitions", state="copied") == 0
    assert first.terminate() == 0, first.tail()


async def test_a_node_that_is_given_nothing_is_ready(
    tmp_path: Path, broker: Broker, http: aiohttp.ClientSession
) -> None:
    """Of one partition there is nothing for a second node but a copy; it answers, and takes over."""
    nodes = [NodeProcess(tmp_path / name, "--partitions", "1", kafka=broker.bootstrap) for name in "cd"]
    first, second = nodes
    async with first, second:
        household = await household_of(Fleet(first, http, nodes=nodes), seed=45)
        assert await sampled(second, "upnext_partitions", state="ready") == 0
        async with written_to(household):
            await household.acknowledge(20)
            assert await asyncio.to_thread(first.terminate) == 0, first.tail()
            await household.acknowledge(20)
        await household.check()
        assert second.terminate() == 0, second.tail()


async def test_a_node_that_was_frozen_past_its_session_writes_nothing(fleet: Fleet) -> None:
    """It wakes up to partitions that are another's: it gives way, and the other never notices."""
    first, second = fleet.nodes
    await second.start()
    household = await household_of(fleet, seed=42)
    async with written_to(household):
        await household.acknowledge(100)
        assert second.process is not None
        second.process.send_signal(signal.SIGSTOP)
        fleet.nodes.remove(second)
        await household.acknowledge(20)
        await asyncio.sleep(AWAY_S)
        await settled(fleet, household)
        fleet.nodes.append(second)
        second.process.send_signal(signal.SIGCONT)
        await household.acknowledge(300)
    assert first.process is not None
    assert first.process.poll() is None, first.tail()
    await gives_way(second)
    await settled(fleet, household)
    await household.check()
    assert first.terminate() == 0, first.tail()
    assert second.terminate() == 0, second.tail()


async def test_a_node_that_was_cut_off_does_not_take_back_what_is_anothers(fleet: Fleet, broker: Broker) -> None:
    """Cut off from Kafka past its session, in the middle of turns: back again, it claims only what is given to it."""
    first, second = fleet.nodes
    proxy = Proxy(broker.advertised["CUT"], broker.ports["CUT"])
    await proxy.start()
    try:
        second.kafka = f"127.0.0.1:{broker.advertised['CUT']}"
        await second.start()
        household = await household_of(fleet, seed=43)
        async with written_to(household):
            await household.acknowledge(200)
            await proxy.stop()
            fleet.nodes.remove(second)
            await asyncio.sleep(AWAY_S)
            await settled(fleet, household)
            await proxy.start()
            await household.acknowledge(300)
            fleet.nodes.append(second)
            await household.acknowledge(100)
        assert first.process is not None
        assert first.process.poll() is None, first.tail()
        await gives_way(second)
        await settled(fleet, household)
        await household.check()
        for node in fleet.nodes:
            assert await asyncio.to_thread(node.terminate) == 0, node.tail()
    finally:
        await proxy.stop()
