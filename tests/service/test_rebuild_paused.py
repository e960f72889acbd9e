"""On Kafka, the next version of the views is folded only while the live one keeps up, as its nodes say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from streams.domain.nodes import NodeSaid
from streams.log.kafka import KafkaConfig, KafkaLog
from streams.nodes import encode_said
from streams.topics import NODES
from tests.service.oracle import Household
from tests.service.test_bad_days import metric
from tests.service.test_rebuild_beside import V1, V2, views
from tests.service.test_rebuild_killed import LIMIT_S, PARTITIONS, builders_of, until_folding, written_to
from tests.support.fleets import fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess

LOOKS, LOOK_S = 20, 0.1
"""In that time some 40 events are folded, where nothing holds that back."""


@asynccontextmanager
async def said_to_be_behind(broker: Broker) -> AsyncIterator[None]:
    """Have one more node of the live version say all the while that it has much to fold; then it stops."""
    log = KafkaLog(KafkaConfig(broker.bootstrap))
    said = NodeSaid(name="slow", url="http://127.0.0.1:9", roles=("streams",), view=V1, lag_events=5_001)

    async def say() -> None:
        while True:
            await log.append(NODES, 0, said.name.encode(), encode_said(said))
            await asyncio.sleep(1)

    await log.start()
    saying = asyncio.create_task(say())
    try:
        yield
    finally:
        saying.cancel()
        with suppress(asyncio.CancelledError):
            await saying  # where it has failed, the build was held back by nobody
        await log.append(NODES, 0, said.name.encode(), None)
        await log.stop()


async def folded(node: NodeProcess) -> float:
    return await metric(node, "upnext_rebuild_folded_events_total")


async def until_still(builder: NodeProcess) -> float:
    """Return how much it has folded once that is the same at so many looks."""
    last, same = -1.0, 0
    async with asyncio.timeout(LIMIT_S):
        while same < LOOKS:
            await asyncio.sleep(LOOK_S)
            now = await folded(builder)
            last, same = now, same + 1 if now == last else 0
    return last


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_it_pauses_while_the_live_version_is_behind(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """It stands still in the middle, however fast it may be folded, and goes on where it stopped."""
    with Broker(tmp_path / "broker") as broker:
        async with fleet_in(tmp_path, broker, http, "a", PARTITIONS) as fleet:
            (live,) = fleet.nodes
            (builder,) = builders_of(fleet, tmp_path, "x")
            household = await Household.make(fleet, seed=89)
            await household.attach_all()
            async with written_to(household):
                await household.acknowledge(600)
            try:
                builder.spawn()
                await until_folding([builder])
                async with said_to_be_behind(broker):
                    before = await until_still(builder)
                    assert (await views(live))[V2]["lag"] > 0
                async with asyncio.timeout(LIMIT_S):
                    while await folded(builder) <= before:
                        await asyncio.sleep(LOOK_S)
                assert builder.terminate() == 0, builder.tail()
            finally:
                builder.kill()
