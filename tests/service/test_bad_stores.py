"""Two nodes, of which one has a disk that damages or refuses what is written: lists stay right through the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.service.oracle import Household
from tests.service.test_two_nodes import copied, household_of, sampled, settled, written_to
from tests.support.balanced import Balanced, Tally
from tests.support.fleets import Fleet, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

PARTITIONS = 4
MENDED_S = 60.0
PAUSE_S = 0.02
ROOM_BYTES = 200_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
async def fleet(tmp_path: Path, broker: Broker, http: aiohttp.ClientSession) -> AsyncIterator[Fleet]:
    """Two nodes that serve half of the partitions each, and have copies of the other's."""
    async with fleet_in(tmp_path, broker, http, "ab", PARTITIONS) as fleet:
        yield fleet


@asynccontextmanager
async def read_from(node: NodeProcess, household: Household) -> AsyncIterator[Tally]:
    """Have one node asked for every list of every session meanwhile, by clients that never want an older one."""
    stop, tally = asyncio.Event(), Tally()

    async def read(path: str) -> None:
        platform = Balanced.like(household.platform, [node], 0, "list", tally)
        position = ""
        while not stop.is_set():
            answer = await platform.call("GET", f"{path}?limit=200", after=position)
            position = answer.headers.get("Paket-Position", position)
            await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as clients:
        for session in household.sessions:
            clients.create_task(read(f"/v1/sessions/upnext/{session}"))
            for context in household.contexts[:2]:
                clients.create_task(read(f"/v1/sessions/upnext/{session}/{context.id}"))
        try:
            yield tally
        finally:
            stop.set()


def damage(tables: Path, source: random.Random) -> int:
    """Flip bits all over the blocks of rows, while they are open; return in how many stores."""
    damaged = set()
    for path in tables.rglob("*.sst"):
        with path.open("r+b") as file:
            size = path.stat().st_size
            for at in range(0, size * 3 // 4, 512):
                file.seek(at + source.randrange(256))
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 0x5A]))
        damaged.add(path.parent)
    return len(damaged)


async def test_a_store_that_is_damaged_while_it_is_in_use(fleet: Fleet) -> None:
    """No list of that node fails: another's copies answer, until it has restored its tables by itself."""
    first, second = fleet.nodes
    household = await household_of(fleet, seed=48)
    household.items, household.description_bytes = 30, 2_000
    async with written_to(household):
        await household.acknowledge(400)
    # What is written out when a store is closed is read from the disk afterwards.
    assert await asyncio.to_thread(second.terminate) == 0, second.tail()
    await second.start()
    await settled(fleet, household)
    await copied(fleet)
    async with read_from(second, household) as tally, written_to(household):
        assert damage(second.directory / "tables", random.Random(48)) > 1
        async with asyncio.timeout(MENDED_S):
            while await sampled(second, "upnext_stores_set_aside_total") < 2:
                await asyncio.sleep(0.05)
        await household.acknowledge(100)
    print(tally.told("list"))
    assert not tally.failed("list"), tally.failed("list")[:10]
    await settled(fleet, household)
    await household.check()
    aside = list((second.directory / "tables").rglob("*.failed-*"))
    assert len(aside) == await sampled(second, "upnext_stores_set_aside_total")
    assert await sampled(first, "upnext_stores_set_aside_total") == 0
    for node in fleet.nodes:
        assert await asyncio.to_thread(node.terminate) == 0, node.tail()


async def test_a_disk_that_is_full_ends_one_of_two_nodes(fleet: Fleet) -> None:
    """The other has its lists at once, and then its partitions; with room again it comes back."""
    first, second = fleet.nodes
    household = await household_of(fleet, seed=49)
    assert await asyncio.to_thread(second.terminate) == 0, second.tail()
    largest = max(path.stat().st_size for path in second.directory.rglob("*") if path.is_file())
    second.file_limit = largest + ROOM_BYTES
    await second.start()
    await settled(fleet, household)
    await copied(fleet)
    household.items, household.description_bytes = 30, 4_000
    assert second.process is not None
    async with read_from(first, household) as tally, written_to(household):
        assert await asyncio.to_thread(second.process.wait, 120) == 70, second.tail()
        await household.acknowledge(50)
    print(tally.told("list"))
    assert not tally.failed("list"), tally.failed("list")[:10]
    assert "failed" in second.tail().strip().splitlines()[-1]
    await settled(fleet, household)
    await household.check()
    second.file_limit = None
    await second.start()
    await settled(fleet, household)
    await household.check()
    for node in fleet.nodes:
        assert await asyncio.to_thread(node.terminate) == 0, node.tail()
