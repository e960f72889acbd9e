"""The internal listener: what whoever watches over a node is told, and what Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.health import NodeHealth, awaited
from service.adapters.node_metrics import NodeCollector
from service.http.forward import REFUSED
from service.http.internal import build_internal_app
from service.http.internal_connections import INTERNAL_LIMITS, InternalRunner
from service.http.metrics import HttpMetrics
from service.listeners import bound, where
from service.setting_kinds import Address
from streams.domain.errors import RefusedStartError
from streams.status import NodeStatus, ProcessorStatus

CONTEXTS = ProcessorStatus(
    name="contexts",
    folded={"context-events": 12, "upnext-v1-context-subscriptions": 3},
    lag_events=4,
    lag_ms=56,
    dead_letters=1,
    noticed={"refused": 2},
    holes=1,
    ready=6,
    recovering=2,
    recovered_rows=1_000,
    recovery_s=1.5,
    stores_set_aside=1,
    copied=3,
)
SESSIONS = CONTEXTS._replace(
    name="sessions", folded={"session-events": 7}, noticed={"digest_difference": 5, "gap": 1}, ready=8, recovering=0
)
STATUS = NodeStatus(
    ready=False,
    writes=20,
    write_failures=1,
    silent_s=0.25,
    registry_objects=9,
    registry_lag_s=0.0,
    processors=(CONTEXTS, SESSIONS),
)
READY = STATUS._replace(ready=True)


class World:
    """A node whose status a test says."""

    def __init__(self) -> None:
        self.status = STATUS
        self.health = NodeHealth(lambda: self.status)
        self.metrics = CollectorRegistry()
        self.metrics.register(NodeCollector(self.health.status))
        self.limits = INTERNAL_LIMITS
        self.port = 0


@asynccontextmanager
async def answering(world: World) -> AsyncIterator[Callable[..., AbstractAsyncContextManager[aiohttp.ClientResponse]]]:
    """Serve the internal listener; yields a function that gets a path."""
    with bound(Address("127.0.0.1", 0), "internal") as sockets:
        runner = InternalRunner(build_internal_app(world.health.awaited, world.metrics), world.metrics, world.limits)
        await runner.setup()
        try:
            await web.SockSite(runner, sockets[0]).start()
            world.port = where(sockets).port
            async with aiohttp.ClientSession(f"http://{where(sockets)}") as http:
                yield http.request
        finally:
            await runner.cleanup()


def cut(world: World, reason: str) -> float | None:
    return world.metrics.get_sample_value("upnext_internal_connections_cut_total", {"reason": reason})


async def test_half_a_head_is_not_waited_for() -> None:
    """Whoever sends no more of it is cut off, and counted."""
    world = World()
    world.limits = INTERNAL_LIMITS._replace(head_s=0.2)
    async with answering(world):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    assert cut(world, "head") == 1


async def test_more_connections_than_there_may_be() -> None:
    """On those beyond nothing is done, and a node that forwards is told so; when others end, there is room again."""
    world = World()
    world.limits = INTERNAL_LIMITS._replace(connections=2)
    asked = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    async with answering(world):
        kept = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(2)]
        for reader, writer in kept:
            writer.write(asked)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(asked)
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert f"{REFUSED}: there are as many".encode() in answer
        writer.close()
        kept[0][1].close()
        async with asyncio.timeout(5):
            while not (await asked_on_a_new_connection(world.port, asked)).startswith(b"HTTP/1.1 200 "):
                await asyncio.sleep(0.01)
        kept[1][1].close()
    assert (cut(world, "surplus") or 0) >= 1


async def asked_on_a_new_connection(port: int, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked)
    try:
        return await reader.readuntil(b"\r\n")
    finally:
        writer.close()


async def test_live_from_the_first_moment_to_the_last() -> None:
    """A process whose loop runs is alive, whether it can serve or not."""
    world = World()
    async with answering(world) as call:
        changes: list[Callable[[], None]] = [lambda: None, world.health.started, world.health.stopping]
        for change in changes:
            change()
            async with call("GET", "/health/live") as answer:
                assert answer.status == 200


async def test_ready_only_between_recovery_and_stop() -> None:
    """503 says in words what is awaited: the start, the partitions, and in the end nothing more."""
    world = World()
    async with answering(world) as call:

        async def ready() -> tuple[int, list[str]]:
            async with call("GET", "/health/ready") as answer:
                body = await answer.json()
                assert body["ready"] is (answer.status == 200)
                return answer.status, body["awaited"]

        assert await ready() == (503, ["the log, its topics and the registry"])
        world.health.started()
        assert await ready() == (503, ["contexts: 2 of 8 partitions are being recovered"])
        world.status = READY
        assert await ready() == (200, [])
        world.health.stopping()
        status, waits = await ready()
        assert (status, len(waits)) == (503, 1)


def test_what_is_awaited() -> None:
    """Whatever keeps a node from being ready has its sentence; a node that is not ready never has none."""
    idle = CONTEXTS._replace(ready=0, recovering=0)
    assert awaited(STATUS._replace(processors=(idle,))) == ["contexts: no partition is assigned to this node yet"]
    done = CONTEXTS._replace(recovering=0)
    behind = STATUS._replace(processors=(done,), registry_lag_s=7.2)
    assert awaited(behind) == ["the registry is 7 s behind its log"]
    assert awaited(STATUS._replace(processors=(), silent_s=61.0)) == ["the log, last heard of 61 s ago"]
    assert awaited(READY) == []


async def test_metrics_of_a_node() -> None:
    """Every number of the status is a metric under its own name, beside what the public listener counts."""
    world = World()
    HttpMetrics(world.metrics).count("GET", "/v1/sessions/upnext/{session_id}", 200, 0.002)
    world.health.started()
    async with answering(world) as call, call("GET", "/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = await answer.text()
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    expected = {
        ("upnext_writes_total",): 20,
        ("upnext_write_failures_total",): 1,
        ("upnext_ready",): 0,
        ("upnext_folded_events_total", "context-events", "contexts"): 12,
        ("upnext_folded_events_total", "contexts", "upnext-v1-context-subscriptions"): 3,
        ("upnext_folded_events_total", "session-events", "sessions"): 7,
        ("upnext_fold_lag_events", "contexts"): 4,
        ("upnext_fold_lag_ms", "sessions"): 56,
        ("upnext_dead_letters_total", "contexts"): 1,
        ("upnext_noticed_total", "contexts", "refused"): 2,
        ("upnext_noticed_total", "gap", "sessions"): 1,
        ("upnext_digest_differences_total", "sessions"): 5,
        ("upnext_digest_differences_total", "contexts"): 0,
        ("upnext_holes_total",): 2,
        ("upnext_stores_set_aside_total",): 2,
        ("upnext_recovered_rows_total", "contexts"): 1_000,
        ("upnext_recovery_seconds", "contexts"): 1.5,
        ("upnext_partitions", "contexts", "ready"): 6,
        ("upnext_partitions", "contexts", "recovering"): 2,
        ("upnext_partitions", "contexts", "copied"): 3,
        ("upnext_partitions", "recovering", "sessions"): 0,
        ("upnext_log_silent_seconds",): 0.25,
        ("upnext_registry_objects",): 9,
        ("upnext_registry_lag_seconds",): 0,
        ("upnext_http_requests_total", "/v1/sessions/upnext/{session_id}", "200", "GET"): 1,
    }
    assert {name: samples.get(name) for name in expected} == expected


async def test_metrics_before_there_is_a_node() -> None:
    """A node that is still starting has metrics, and none that it does not know."""
    world = World()
    async with answering(world) as call, call("GET", "/metrics") as answer:
        assert answer.status == 200
        assert "upnext_writes" not in await answer.text()


async def test_a_port_in_use_is_known_before_anything_is_started() -> None:
    """Binding tells: no listener has to be tried."""
    with bound(Address("127.0.0.1", 0), "listen") as sockets:
        sockets[0].listen()
        with (
            pytest.raises(RefusedStartError, match=rf"{where(sockets).port} .*--listen"),
            bound(where(sockets), "listen"),
        ):
            pass


async def test_every_address_of_a_host_is_bound() -> None:
    """Clients that try IPv6 first find the same node."""
    with bound(Address("127.0.0.1", 0), "listen") as sockets:
        port = where(sockets).port
    with bound(Address("localhost", port), "listen") as sockets:
        addresses = {made.getsockname()[0] for made in sockets}
        assert "127.0.0.1" in addresses
        assert {made.getsockname()[1] for made in sockets} == {port}


async def test_an_address_that_is_not_ours() -> None:
    """The sentence names the address and the flag."""
    with (
        pytest.raises(RefusedStartError, match=r"203\.0\.113\.1:80 .*--internal"),
        bound(Address("203.0.113.1", 80), "internal"),
    ):
        pass
