"""Two nodes in one process: one that has every partition, on its internal listener, and one that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from service.adapters.forward import HELD_ROOM_BYTES, HopPool
from service.http.app import resources
from service.http.deps import Deps
from service.http.forward import ForwardMetrics
from service.http.forward_client import Forwarding
from service.http.forward_keys import KeysOfOthers
from service.http.forward_listener import ForwardedCalls, OnlyHere
from service.http.internal import OtherNodes, build_internal_app
from service.http.internal_connections import InternalRunner
from streams.domain.nodes import NodeSaid, TableName
from tests.support.fakes import ContextViewsFake, ExplainerFake, PairsFake, SessionViewsFake, World
from tests.support.idempotency import KeyLogFake, remembered
from tests.support.listener import IDS, LOG_ID, POSITIONS_KEY, Listener, public_listener

KEY = b"f" * 32


@dataclass
class PlacesFake:
    """Who has what, as a test says."""

    name: str
    has_all: bool = False
    has_copies: bool = False
    recovers: bool = False
    """Whether what it has cannot be read yet."""
    owners: list[NodeSaid] = field(default_factory=list)
    copiers: list[NodeSaid] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)

    def is_here(self, table: TableName, raw_id: bytes) -> bool:
        del table, raw_id
        return self.has_all

    def owner(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        del table, raw_id
        return next((node for node in self.owners if node.name not in {*but, *self.doubted}), None)

    def serves(self, table: TableName, raw_id: bytes) -> bool:
        return self.is_here(table, raw_id) and not self.recovers

    def has_copy(self, table: TableName, raw_id: bytes) -> bool:
        del table, raw_id
        return self.has_copies

    def copying(self, table: TableName, raw_id: bytes, but: Collection[str] = ()) -> NodeSaid | None:
        del table, raw_id
        return next((node for node in self.copiers if node.name not in {*but, *self.doubted}), None)

    def doubt(self, name: str) -> None:
        self.doubted.append(name)


def node_at(name: str, port: int) -> NodeSaid:
    """Return what the node says of itself whose internal listener has that port of loopback."""
    return NodeSaid(name=name, url=f"http://127.0.0.1:{port}", roles=("streams",), view="view")


@asynccontextmanager
async def owner_of(world: World, places: PlacesFake) -> AsyncIterator[int]:
    """Run the internal listener of a node with that world; give its port."""
    metrics = CollectorRegistry()
    deps = Deps(
        log_id=LOG_ID,
        positions_key=POSITIONS_KEY,
        ids=IDS,
        tenants=world,
        pairs=PairsFake(world),
        events=world,
        session_commands=world,
        keyed=remembered(metrics),
        context_views=ContextViewsFake(world),
        session_views=SessionViewsFake(world),
        explainer=ExplainerFake(world),
        metrics=metrics,
        elsewhere=OnlyHere(places),
    )
    others = OtherNodes()
    copies = resources(replace(deps, elsewhere=OnlyHere(places, copies=True)))
    keys = KeysOfOthers(KeyLogFake())
    calls = ForwardedCalls(
        resources(deps), copies, world, key=KEY, name=places.name, metrics=ForwardMetrics(metrics), keys=keys
    )
    others.started(list, calls.answer)
    runner = InternalRunner(build_internal_app(list, metrics, others), metrics)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@dataclass
class Pair:
    """A listener in front, and the one that has everything, as clients would see it if they asked it themselves."""

    front: Listener
    owner: Listener
    places: PlacesFake
    owner_places: PlacesFake
    owner_port: int
    metrics: CollectorRegistry

    def outcome(self, name: str) -> float:
        """Return how many calls ended so."""
        return self.metrics.get_sample_value("upnext_forwarded_requests_total", {"outcome": name}) or 0.0


@asynccontextmanager
async def pair_of_nodes(*, held_room_bytes: int = HELD_ROOM_BYTES, **more: Any) -> AsyncIterator[Pair]:
    """Run a node that has nothing before a node that has everything; *more* is for the `Deps` of the one in front."""
    places, owner_places, metrics = PlacesFake("front"), PlacesFake("owner", has_all=True), CollectorRegistry()
    hops = HopPool(KEY, held_room_bytes=held_room_bytes)
    elsewhere = Forwarding(places, hops, IDS, ForwardMetrics(metrics))
    try:
        async with (
            public_listener() as owner,
            owner_of(owner.world, owner_places) as port,
            # The registry is on every node; nothing else of the world may be touched in front.
            public_listener(tenants=owner.world, elsewhere=elsewhere, **more) as front,
        ):
            places.owners.append(node_at("owner", port))
            yield Pair(front, owner, places, owner_places, port, metrics)
    finally:
        await hops.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """Run something that listens, and is no node; give its port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def read_call(reader: asyncio.StreamReader) -> bytes:
    """Return the head of one call, once its body is read too."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
    return head
