"""Webhooks of two nodes on one Kafka, of which one is killed while it sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.service.conftest import LOOPBACK, make_pair
from tests.support.fleets import fleet_in
from tests.support.kafka import Broker
from tests.support.webhooks import Received, receiving

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PARTITIONS = 4
CONTEXTS = 12
LIMIT_S = 40.0


async def test_what_a_dead_node_was_to_send_arrives(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Each event, with the id that it had, from the node that is left; and nothing that did not happen."""
    with Broker(tmp_path / "broker") as broker:
        async with fleet_in(tmp_path, broker, http, "ab", PARTITIONS, running=0) as fleet, receiving() as receiver:
            for node in fleet.nodes:
                node.env |= LOOPBACK
                await node.start()
            pair = await make_pair(fleet)
            await pair.be_told(receiver.url(), ordered=True)
            killed = asyncio.Event()
            arrived: dict[str, Received] = {}

            async def answer(received: Received) -> web.Response:
                if not killed.is_set():
                    await killed.wait()
                    return web.Response(status=503)
                arrived[received.id] = received
                return web.Response(status=204)

            receiver.answer = answer
            made = await asyncio.gather(*(pair.app.ok("POST", "/v1/contexts") for _ in range(CONTEXTS)))
            contexts = [one.json["context_id"] for one in made]
            for context in contexts:
                attached = {"app_id": pair.app.tenant, "context_id": context}
                await pair.platform.ok("PUT", pair.session_path, attached)
            # An endpoint that has not answered yet gets one event at a time of each node.
            await receiver.until(lambda all_of: len(all_of) >= 2)
            before = {one.id for one in receiver.received}
            fleet.nodes[0].kill()
            killed.set()
            await receiver.until(lambda _: len(arrived) == CONTEXTS, LIMIT_S)
            assert {one.json["data"]["context_id"] for one in arrived.values()} == set(contexts)
            assert before <= arrived.keys()
            bodies = {(one.id, one.body) for one in receiver.received}
            assert len(bodies) == CONTEXTS
