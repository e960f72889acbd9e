"""Kafka goes away and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.conftest import Connect, client_of
from tests.service.oracle import Household
from tests.support.kafka import Broker
from tests.support.nodes import NodeProcess, item


@pytest.mark.kafka
@pytest.mark.timeout(240)
async def test_writes_are_refused_lists_go_on_and_everything_resumes(tmp_path: Path, connect: Connect) -> None:
    """Writes: 503 within 5 s. Lists: go on, their age told; test keys too. Back again: nothing acknowledged is lost."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    node = NodeProcess(tmp_path / "node", kafka=broker.bootstrap)
    loop = asyncio.get_running_loop()
    try:
        await node.start()
        deployment = connect(node)
        household = await Household.make(deployment, seed=20_264)
        await household.attach_all()
        stop = asyncio.Event()
        writing = asyncio.create_task(household.write_until(stop))
        await household.acknowledge(100)
        stop.set()
        await writing
        await household.check()

        company = await deployment.company()
        app = (await deployment.admin.ok("POST", f"/api/v1/apps?context={company}", {"name": "Tests"})).json
        _, test = await client_of(deployment, app["id"], company)

        broker.kill()
        began = loop.time()
        context = household.contexts[0]
        refused = await context.app.call("PUT", context.path, item("while-away"))
        assert refused.status == 503, refused.body
        assert refused.code == "log_unavailable"
        assert int(refused.headers["Retry-After"]) > 0
        assert loop.time() - began < 7
        context.maybe["while-away"] = {None, "Title of while-away"}
        created = await test.ok("POST", "/v1/contexts")
        await test.ok("PUT", f"/v1/contexts/upnext/{created.json['context_id']}", item())
        path = f"/v1/sessions/upnext/{household.sessions[0]}"
        async with asyncio.timeout(30):
            while "Age" not in (answer := await household.platform.call("GET", path)).headers:
                assert answer.status == 200, answer.body
        until = loop.time() + 15
        while loop.time() < until:
            answer = await household.platform.call("GET", path)
            assert answer.status == 200, (answer.status, answer.body)
        assert int(answer.headers["Age"]) > 0

        broker.start()
        back = loop.time()
        async with asyncio.timeout(60):
            while (await context.app.call("PUT", context.path, item("back"))).status != 200:
                pass
        context.items["back"] = "Title of back"
        print(f"writes resumed {loop.time() - back:.1f} s after the broker came back")
        stop = asyncio.Event()
        writing = asyncio.create_task(household.write_until(stop))
        await household.acknowledge(100)
        stop.set()
        await writing
        await household.check()
        assert node.process is not None
        assert node.process.poll() is None, node.tail()
        assert node.terminate() == 0, node.tail()
    finally:
        node.kill()
        broker.stop()
