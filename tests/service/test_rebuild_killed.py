"""The next version of the views built on Kafka under load, while nodes of either version are killed, and compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.service.oracle import Household
from tests.service.test_bad_days import metric
from tests.service.test_rebuild_beside import V1, V2, Builder, are_the_same, rebuild, until_caught_up, views
from tests.service.test_rebuilt_tables import Lists
from tests.support.fleets import Fleet, fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess
from tests.support.switches import until_built

PARTITIONS = 4
LIMIT_S = 60.0
SLOWLY = ("--max-events-per-second", "20")
"""So that there is much left to fold whenever something is killed, however slow the machine is."""
PAUSE_S = 0.03
"""Between two writes of one context: what is written to all the while stands still for no comparison."""


def builders_of(fleet: Fleet, directory: Path, names: str) -> list[Builder]:
    """Return nodes that build the next version, one a letter of *names*, not started yet."""
    live = fleet.nodes[0]
    builders = [Builder(directory / n, "--partitions", str(PARTITIONS), *SLOWLY, kafka=live.kafka) for n in names]
    for builder in builders:
        builder.beside = live
    return builders


@asynccontextmanager
async def written_to(household: Household) -> AsyncIterator[None]:
    """Have every context written to meanwhile."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(household.write_until(stop, pause_s=PAUSE_S))
        try:
            yield
        finally:
            stop.set()


async def until_folding(builders: Sequence[NodeProcess]) -> None:
    """Return once each of them has folded something since its last start."""
    async with asyncio.timeout(LIMIT_S):
        for builder in builders:
            while not await _folded(builder):
                await asyncio.sleep(0.05)


async def _folded(builder: NodeProcess) -> float:
    try:
        return await metric(builder, "upnext_rebuild_folded_events_total")
    except aiohttp.ClientError:
        return 0.0


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_a_version_is_built_while_nodes_are_killed(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """
    Three nodes serve, two build; some of both are killed while it is built, and again when it is compared.

    All that was acknowledged is in every list, before the switch, after it and on the way back, byte for byte.
    """
    with Broker(tmp_path / "broker") as broker:
        async with fleet_in(tmp_path, broker, http, "abc", PARTITIONS) as fleet:
            live, second, third = fleet.nodes
            x, y = builders = builders_of(fleet, tmp_path, "xy")
            household = await Household.make(fleet, seed=88)
            await household.attach_all()
            try:
                async with written_to(household):
                    await household.acknowledge(400)
                    for builder in builders:
                        builder.spawn()
                    await until_folding(builders)
                    y.kill()
                    third.kill()
                    await household.acknowledge(100)
                    x.kill()
                    for node in (x, y, third):
                        node.spawn()
                    await until_folding(builders)
                    assert not (await views(live))[V2]["isWhole"]
                    # As fast as they can, from here on.
                    await rebuild(live, "start")
                    await until_caught_up(live, 500)
                    second.kill()
                    x.kill()
                    await are_the_same(live, (V1, V2), is_quiet=False)
                    await until_caught_up(live, 500)
                    await rebuild(live, "switch")
                    await household.acknowledge(100)
                await household.check()
                await until_built(live, V1)
                await are_the_same(live, (V2, V1), is_quiet=True)
                lists = Lists(household)
                await lists.read()
                await rebuild(live, "rollback")
                assert await lists.compare(live) == 0
                await lists.hold()
                await household.check()
                print(f"{household.acknowledged} writes acknowledged, of {household.unknown} the outcome is unknown")
                for node in (live, third, y):
                    assert node.terminate() == 0, node.tail()
            finally:
                for builder in builders:
                    builder.kill()
