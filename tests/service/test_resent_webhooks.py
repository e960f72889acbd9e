"""Deliveries of webhooks, as whoever looks after an endpoint sees them; those that hang hold back no others."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from tests.service.conftest import LOOPBACK, Connect, OwnNode, Pair, make_pair
from tests.support.webhooks import Received, receiving

PATH = "/api/v1/webhookdeliveries"
GOOD, HANGING, EVENTS = 10, 100, 40
P99_S = 2.0


async def read(pair: Pair, path: str = "", query: str = "") -> Any:
    admin = pair.deployment.admin
    return (await admin.ok("GET", f"{PATH}{path}?context={pair.company}{query}")).json


async def until(pair: Pair, status: str, attempts: int) -> dict[str, Any]:
    """Return the only delivery, once this has become of it."""
    async with asyncio.timeout(30):
        while True:
            results: list[dict[str, Any]] = (await read(pair))["results"]
            if results and results[0]["status"] == status and len(results[0]["attempts"]) == attempts:
                (one,) = results
                return one
            await asyncio.sleep(0.05)


async def test_what_failed_is_seen_and_sent_again(own_node: OwnNode, connect: Connect) -> None:
    """With each attempt; sent again by hand it arrives, and has the same id; after a restart all is still there."""
    own_node.node.env |= LOOPBACK
    async with receiving() as receiver:

        async def fails(_: Received) -> web.Response:
            return web.Response(status=503, headers={"Retry-After": "3600"})

        async with own_node.node:
            pair = await make_pair(connect(own_node.node))
            (endpoint,) = await pair.be_told(receiver.url())
            receiver.answer = fails
            await pair.attach()
            failed = await until(pair, "PENDING", 1)
            assert failed["endpoint"]["id"] == endpoint["id"]
            assert failed["eventType"] == "context.session.context_added"
            assert [(one["status"], one["error"]) for one in failed["attempts"]] == [(503, None)]
            assert failed["nextAttempt"] > failed["attempts"][0]["time"]
            receiver.answer = None
            again = await pair.deployment.admin.ok("POST", f"{PATH}/{failed['id']}/resend?context={pair.company}")
            assert again.json["id"] == failed["id"]
            delivered = await until(pair, "DELIVERED", 2)
            assert (delivered["nextAttempt"], delivered["attempts"][1]["status"]) == (None, 204)
            assert [one.id for one in receiver.received] == [failed["eventId"]] * 2
            assert (await read(pair, query="&status=PENDING"))["totalCount"] == 0
        async with own_node.node as node:
            pair = replace(pair, deployment=connect(node))
            assert await until(pair, "DELIVERED", 2) == {**delivered}


@pytest.mark.timeout(180)
async def test_those_that_hang_hold_back_no_others(own_node: OwnNode, connect: Connect) -> None:
    """Beside a hundred endpoints that take connections and never answer, ten that do hear of everything at once."""
    own_node.node.env |= LOOPBACK
    ended = asyncio.Event()
    waited_s: list[float] = []

    async def answer(received: Received) -> web.Response:
        if received.path == "/hangs":
            await ended.wait()
        else:
            waited_s.append(time.time() - received.json["created"] / 1000)
        return web.Response(status=204)

    async with receiving() as receiver, own_node.node:
        receiver.answer = answer
        pair = await make_pair(connect(own_node.node))
        await pair.be_told(*[receiver.url("/hangs")] * HANGING, *[receiver.url("/good")] * GOOD)
        for _ in range(EVENTS):
            context = (await pair.app.ok("POST", "/v1/contexts")).json["context_id"]
            await replace(pair, context=context).attach()
            await asyncio.sleep(0.1)
        await receiver.until(lambda _: len(receiver.of("/good")) >= EVENTS * GOOD, 60)
        hung = len(receiver.of("/hangs"))
        ended.set()
    waited_s.sort()
    p50, p99 = waited_s[len(waited_s) // 2], waited_s[len(waited_s) * 99 // 100]
    print(f"{len(waited_s)} arrived, p50 {p50:.3f} s, p99 {p99:.3f} s, worst {waited_s[-1]:.3f} s; {hung} hung")
    assert hung >= HANGING
    assert p99 < P99_S
