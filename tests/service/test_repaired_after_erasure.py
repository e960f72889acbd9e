"""Damaged lists are repaired of what is left, where a context of the session was erased: on Kafka, with holes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.service.conftest import Connect, Pair, make_pair
from tests.service.test_erased_contexts import LOOKS_OFTEN, erase
from tests.service.test_repaired_lists import Writer, audited, harm, upnext
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess, item

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(400)]

LIMIT_S = 120.0


async def another_context(pair: Pair) -> Pair:
    """Return the pair with another context of the app, which is attached to the session and has three items."""
    other = replace(pair, context=(await pair.app.ok("POST", "/v1/contexts")).json["context_id"])
    await other.attach()
    for content_id in ("x", "y", "z"):
        await other.app.ok("PUT", other.context_path, item(content_id))
    return other


async def erased(node: NodeProcess, *pairs: Pair) -> None:
    """Have the pairs' contexts erased, and return once nothing of them is left."""
    for pair in pairs:
        await pair.app.ok("DELETE", f"/v1/contexts/{pair.context}")
    for pair in pairs:
        end = time.monotonic() + LIMIT_S
        while await erase(node, "receipt", pair.context) or await erase(node, "verify", pair.context):
            assert time.monotonic() < end
            await asyncio.sleep(0.2)


async def test_what_was_erased_does_not_come_back(tmp_path: Path, connect: Connect) -> None:
    """The session has what its other context has, while that one is written to; of the erased ones, nothing."""
    with Broker(tmp_path / "broker", settings=LOOKS_OFTEN) as broker:
        node = NodeProcess(tmp_path / "node", "--erasure-within-s", "4", kafka=broker.bootstrap)
        async with node:
            pair = await make_pair(connect(node))
            first = await another_context(pair)
            await pair.attach()
            writer = Writer(pair)
            for n in range(20):
                await writer.write(f"c{n:02}")
            second = await another_context(pair)
            await first.platform.ok("DELETE", f"{second.session_path}/{second.context}")
            third = await another_context(pair)
            await erased(node, first, second, third)
            await writer.check()
            assert (await audited(node))[0] == 0

            assert node.terminate() == 0, node.tail()
            harm(node, pair)
            await node.start()
            status, said = await audited(node)
            assert status == 1
            assert f"upnext session repair --contexts {pair.session}" in said
            done = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.go_on(done))
                status, said = await upnext(node, "session", "repair", "--contexts", pair.session)
                done.set()
            assert (status, "was repaired" in said) == (0, True)
            await writer.check()
            for gone in (first, second, third):
                assert (await upnext(node, "context", "repair", gone.context))[0] == 0
                assert await erase(node, "verify", gone.context) == 0
                assert (await gone.app.call("GET", gone.context_path)).status == 404
            await writer.check()
            assert (await audited(node))[0] == 0
            assert node.terminate() == 0, node.tail()
