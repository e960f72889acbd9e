"""A switch to the next version of the views moves the reads of every node within a second, and none fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.service.oracle import Household
from tests.service.test_rebuild_beside import V1, V2, Builder
from tests.support.fleets import fleet_in
from tests.support.kafka import Broker
from tests.support.nodes import Caller
from tests.support.switches import Watch, until_built

PARTITIONS = 4
MOVED_S = 1.0


@pytest.mark.kafka
@pytest.mark.timeout(240)
async def test_reads_move_on_every_node_within_a_second(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """There and back and there again, at three nodes that are read from all the while, by whichever it is said."""
    with Broker(tmp_path / "broker") as broker:
        async with fleet_in(tmp_path, broker, http, "abc", PARTITIONS) as fleet:
            household = await Household.make(fleet, seed=92, contexts=4)
            await household.attach_all()
            for n in range(120):
                await household.write(household.contexts[n % 4])
            builder = Builder(tmp_path / "next", "--partitions", str(PARTITIONS), kafka=broker.bootstrap)
            builder.beside = fleet.node
            builder.spawn()
            try:
                platform = household.platform
                clients = [
                    Caller(http, node.url, platform.headers, platform.tenant, platform.client_id, platform.secret)
                    for node in fleet.nodes
                ]
                paths = [f"/v1/sessions/upnext/{session}" for session in household.sessions]
                for n, (how, to) in enumerate((("switch", V2), ("rollback", V1), ("rollback", V2))):
                    await until_built(fleet.node, to)
                    watch = Watch([replace(client) for client in clients], paths)
                    moved_s = await watch.switched(fleet.nodes[n], how)
                    print(f"{how} to {to}: moved after {moved_s:.3f} s, {watch.reads} reads")
                    assert not watch.failed
                    assert moved_s < MOVED_S
                await household.check()
            finally:
                builder.kill()
