"""`Idempotency-Key` on real nodes: whoever repeats a request, wherever, and whatever died, it is executed once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.service.conftest import Connect, OwnNode, Pair, make_pair
from tests.support.bugs import VARIABLE
from tests.support.kafka import Broker
from tests.support.node_faults import FREEZES_BEFORE_ANSWERS, FREEZES_BEFORE_WRITES, SHORT_LEASES
from tests.support.nodes import Answer, Caller, Deployment, NodeProcess, item

KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
PARTITIONS = 4
AGAIN_S = 40.0
"""Within which another node has taken over, and a lease has run out."""


async def repeated(caller: Caller, method: str, path: str, body: Any, key: str) -> Answer:
    """Repeat a request until it is answered; nothing but 409 while it is executed, 503 and lost connections come."""
    end = time.monotonic() + AGAIN_S
    while True:
        try:
            answer = await caller.call(method, path, body, headers={KEY: key})
        except (aiohttp.ClientError, OSError):
            assert time.monotonic() < end
        else:
            if answer.status == 200:
                return answer
            assert answer.status == 503 or answer.code == "idempotency_in_progress", answer.body
            assert time.monotonic() < end, answer.body
        await asyncio.sleep(0.1)


async def sure(caller: Caller, method: str, path: str, body: Any = None) -> Answer:
    """Call until it is known to be done: partitions may be on their way to a node that has just come."""
    end = time.monotonic() + AGAIN_S
    while (answer := await caller.call(method, path, body)).status == 503:
        assert time.monotonic() < end, answer.body
        await asyncio.sleep(0.1)
    assert answer.status in {200, 204}, answer.body
    return answer


async def title(pair: Pair, after: str) -> str:
    """Return the title of the context's only item."""
    (only,) = (await pair.app.ok("GET", pair.context_path, after=after)).json["items"]
    return str(only["title"])


async def test_many_at_once(pair: Pair) -> None:
    """One is executed; the others hear that it is, or its answer."""
    path, body = pair.context_path, item("c1")
    answers = await asyncio.gather(*(pair.app.call("PUT", path, body, headers={KEY: "k"}) for _ in range(12)))
    done = [answer for answer in answers if answer.status == 200]
    assert sum(REPLAYED not in answer.headers for answer in done) == 1
    assert len({answer.position for answer in done}) == 1
    assert {answer.code for answer in answers if answer.status != 200} <= {"idempotency_in_progress"}
    again = await pair.app.ok("PUT", path, body, headers={KEY: "k"})
    assert (again.position, again.headers[REPLAYED]) == (done[0].position, "true")


async def test_a_repeat_changes_nothing(pair: Pair) -> None:
    """Whatever was written with a key and changed since stays as it is; the answer is the first one."""
    await pair.attach()
    app, platform, path = pair.app, pair.platform, pair.context_path
    attach = {"app_id": app.tenant, "context_id": pair.context}
    hide = {"content_id": "c1", "action": "hide"}
    of_context = f"{pair.session_path}/{pair.context}"
    calls: list[tuple[Caller, str, str, Any]] = [
        (app, "PUT", path, item("c1")),
        (app, "POST", f"{path}/items", {"items": [item("c1", title="bulk")]}),
        (app, "PUT", f"{path}/items", {"items": [item("c1", title="all")]}),
        (app, "POST", "/v1/contexts/bulk", {"contexts": [{"context_id": pair.context, "items": [item("c1")]}]}),
        (platform, "PUT", of_context, hide),
        (platform, "PUT", pair.session_path, attach),
        (app, "POST", "/v1/contexts", None),
        (platform, "POST", "/v1/sessions", None),
    ]
    first, position = [], ""
    for caller, method, where, body in calls:
        first.append(await caller.ok(method, where, body, after=position, headers={KEY: "k " + method + where}))
        position = first[-1].position
    newer = await app.ok("PUT", path, item("c1", title="newer", hidden=False))
    detached = await platform.ok("DELETE", of_context)
    for (caller, method, where, body), before in zip(calls, first, strict=True):
        again = await caller.ok(method, where, body, headers={KEY: "k " + method + where})
        assert (again.body, again.position) == (before.body, before.position)
        assert (REPLAYED in before.headers, again.headers[REPLAYED]) == (False, "true")
    (only,) = (await app.ok("GET", path, after=newer.position)).json["items"]
    assert (only["title"], only["hidden"]) == ("newer", False)
    assert (await platform.call("GET", of_context, after=detached.position)).status == 404


@pytest.mark.timeout(240)
async def test_killed_between_append_and_answer(own_node: OwnNode, connect: Connect) -> None:
    """The repeat is the same write: it is there once, and overwrites nothing that came after it."""
    own_node.node.flags = "--partitions", str(PARTITIONS)
    first = own_node.node
    first.env[VARIABLE] = FREEZES_BEFORE_ANSWERS
    other = own_node.another("other", *first.flags, **{VARIABLE: SHORT_LEASES})
    await first.start()
    if own_node.broker is not None:
        await other.start()
    try:
        pair = await make_pair(connect(first))
        attach = {"app_id": pair.app.tenant, "context_id": pair.context}
        calls: list[tuple[Caller, str, str, Any, str]] = [
            (pair.app, "PUT", pair.context_path, item("c1", title="old"), "put"),
            (pair.platform, "PUT", pair.session_path, attach, "attach"),
            (pair.app, "POST", "/v1/contexts", None, "create"),
        ]
        lost = [asyncio.create_task(repeated(*call)) for call in calls]
        await until_seen(pair)
        newer = await sure(pair.app, "PUT", pair.context_path, item("c1", title="newer"))
        contexts = (await sure(pair.platform, "GET", f"{pair.session_path}/contexts")).json["items"]
        detached = await sure(pair.platform, "DELETE", f"{pair.session_path}/{pair.context}")
        assert not any(task.done() for task in lost)
        await asyncio.to_thread(first.kill)
        for task in lost:
            task.cancel()
        await asyncio.wait(lost)
        if own_node.broker is None:
            await other.start()
        for caller in (pair.app, pair.platform):
            caller.url = other.url
        put, attached, created = [await repeated(*call) for call in calls]
        assert [REPLAYED in answer.headers for answer in (put, attached, created)] == [False] * 3
        assert await title(pair, f"{newer.position},{put.position}") == "newer"
        assert attached.json["created_at"] == contexts[0]["created_at"]
        left = await pair.platform.ok(
            "GET", f"{pair.session_path}/contexts", after=f"{attached.position},{detached.position}"
        )
        assert left.json["total"] == 0
        assert (await repeated(*calls[2])).body == created.body
    finally:
        for node in (first, other):
            if node.process is not None and node.process.poll() is None:
                node.kill()


async def until_seen(pair: Pair) -> None:
    """Return once the item is in the list, and the context attached."""
    async with asyncio.timeout(AGAIN_S):
        while not (await sure(pair.app, "GET", pair.context_path)).json["items"]:
            await asyncio.sleep(0.02)
        while not (await sure(pair.platform, "GET", f"{pair.session_path}/contexts")).json["items"]:
            await asyncio.sleep(0.02)


@pytest.mark.kafka
@pytest.mark.timeout(240)
async def test_from_two_nodes(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """A repeat elsewhere waits for the first, or for the lease of a node that does not write; each is executed once."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    flags = "--partitions", str(PARTITIONS)
    faults = {"a": SHORT_LEASES, "b": SHORT_LEASES, "frozen": FREEZES_BEFORE_WRITES}
    nodes = [
        NodeProcess(tmp_path / name, *flags, kafka=broker.bootstrap, env={VARIABLE: fault})
        for name, fault in faults.items()
    ]
    a, b, frozen = nodes
    frozen.flags = (*flags, "--roles", "api")
    try:
        await a.start()
        await asyncio.gather(b.start(), frozen.start())
        pair = await make_pair(Deployment(a, http))
        apps = [replace(pair.app, url=node.url) for node in nodes]
        path = pair.context_path
        for n in range(8):
            body, key = item("c1", title=f"t{n}"), f"k{n}"
            answers = await asyncio.gather(*(repeated(apps[m % 2], "PUT", path, body, key) for m in range(6)))
            assert sum(REPLAYED not in answer.headers for answer in answers) == 1
            assert len({answer.position for answer in answers}) == 1
        for n in range(4):
            key = f"frozen {n}"
            stuck = asyncio.create_task(apps[2].call("PUT", path, item("c1", title=key), headers={KEY: key}))
            other = asyncio.create_task(repeated(apps[n % 2], "PUT", path, item("c1", title=key), key))
            written = await other
            assert await title(pair, written.position) == key
            stuck.cancel()
    finally:
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
        broker.stop()
