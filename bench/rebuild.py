"""The next version of the views built beside the live one: what reads cost meanwhile, and how soon they move to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.cores import elsewhere, on_one_core, yielding
from bench.figures import Figure
from bench.households import Household, Tenants, pairs_of, tenants, writer_to
from bench.load import Load, Requests, load, request
from bench.nodes import How, Node, broker, folded_name, total
from bench.pairs import rate
from bench.sizes import Sizes
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.support.nodes import Caller
from tests.support.switches import Watch, ask_views, until_built

CONTEXTS, SESSIONS, ITEMS = 400, 200, 30
"""Each context in one session of two; of each context."""
_CONNECTIONS = 4
"""Few enough that what is timed is an answer, and not a queue."""
_POLL_S = 0.1
_LIMIT_S = 300.0


async def rebuild(directory: Path, sizes: Sizes) -> list[Figure]:
    """Build with one node, with one and two of a quarter of its pace, then while lists are read; switch. Kafka."""
    with elsewhere():
        async with (
            broker(directory / "broker") as kafka,
            Node(directory / "live", kafka=kafka.bootstrap, how=on_one_core) as live,
            tenants(live) as made,
        ):
            async with writer_to(live, made) as writer:
                there = await writer.create(CONTEXTS, SESSIONS)
                await writer.attach(pairs_of(there, CONTEXTS // SESSIONS))
                events = sizes.rebuild_events
                await writer.put((there.contexts[n % CONTEXTS], f"c{n // CONTEXTS % ITEMS}") for n in range(events))
            await live.folded({CONTEXT_EVENTS: CONTEXTS + events, SESSION_EVENTS: 3 * SESSIONS})
            return await _Rebuilding(directory, live, made, there, events, sizes.load_s).figures()


@dataclass
class _Rebuilding:
    directory: Path
    live: Node
    made: Tenants
    there: Household
    events: int
    load_s: float

    async def figures(self) -> list[Figure]:
        """Measure one after another what is built, read and switched."""
        one = await self._built_by("upnext-v2", [on_one_core])
        # What two nodes do at their full pace says more of two cores, one of which the broker needs, than of nodes.
        share = one / 4
        alone = await self._built_by("upnext-v3", [on_one_core], share)
        both = await self._built_by("upnext-v4", [on_one_core, list], share)
        # A backlog that is small is built slower still, or nothing would be left to build while lists are read.
        paced = min(one / 2, self.events / (3 * self.load_s))
        await load(self.live.port, self._requests(), connections=_CONNECTIONS, seconds=self.load_s / 2, seed=-1)
        before = await self._read(1)
        await ask_views(self.live, "start", maxEventsPerSecond=round(paced))
        async with AsyncExitStack() as builders:
            (builder,) = await self._builders(builders, "upnext-v5", [yielding])
            while not await _folded([builder]):
                await asyncio.sleep(_POLL_S)
            during = await self._read(2)
            assert await _folded([builder]) < CONTEXTS + self.events, "it was built before all was read"
            await until_built(self.live, "upnext-v5", _LIMIT_S)
            after = await self._read(3)
            moved_s, reads = await self._switched(builders)
        quiet_ms = (before.p99_ms + after.p99_ms) / 2
        return [
            Figure("the next version of the views, events/s, by one node on one core", f"{one:,.0f}/s"),
            Figure(
                f"the same by two nodes that fold at most {share:,.0f} events/s each",
                f"{both:,.0f}/s",
                f"by one of them: {alone:,.0f}/s",
                both / alone,
                at_least=1.5,
            ),
            Figure(
                f"p99 of GETs of a page of 50 while it is built at {paced:,.0f} events/s",
                rate(during),
                f"before: {rate(before)}, afterwards: {rate(after)}",
                during.p99_ms / quiet_ms,
                at_most=1.5,
            ),
            Figure(
                "a switch: reads have moved on every node after, s",
                f"{moved_s:.3f} s from the request on",
                f"three nodes read from all the while, {reads:,} reads, none of which failed",
                moved_s,
                at_most=1,
            ),
        ]

    def _requests(self) -> Requests:
        heads = [self.there.session_path(n) for n in range(SESSIONS)]
        authorization = self.made.platform.headers["Authorization"]
        return partial(_drawn, [request("GET", f"{path}?limit=50", authorization) for path in heads])

    async def _read(self, seed: int) -> Load:
        read = await load(self.live.port, self._requests(), connections=_CONNECTIONS, seconds=self.load_s, seed=seed)
        assert read.errors == 0, read
        return read

    async def _builders(self, stack: AsyncExitStack, view: str, how: Sequence[How]) -> list[Node]:
        """Start a node for the version for each of *how*; they are stopped with the stack."""
        flags = ("--roles", "streams", "--view", view)
        nodes = [
            Node(self.directory / f"{view}-{n}", *flags, kafka=self.live.kafka, how=each) for n, each in enumerate(how)
        ]
        for node in nodes:
            node.spawn()
            stack.callback(node.stop)
        return nodes

    async def _built_by(self, view: str, how: Sequence[How], pace: float = 0) -> float:
        """Build a version with a node for each of *how*, at that pace at most (0: any); drop it; return events/s."""
        await ask_views(self.live, "start", maxEventsPerSecond=round(pace))
        async with AsyncExitStack() as stack, asyncio.timeout(_LIMIT_S):
            nodes = await self._builders(stack, view, how)
            first = 0.0, 0.0
            while not first[0]:
                await asyncio.sleep(_POLL_S)
                first = await _folded(nodes), time.perf_counter()
            while (folded := await _folded(nodes)) < CONTEXTS + self.events:
                await asyncio.sleep(_POLL_S)
            await until_built(self.live, view, _LIMIT_S)
            seconds = time.perf_counter() - first[1]
        await ask_views(self.live, "drop", view=view)
        return (folded - first[0]) / seconds

    async def _switched(self, stack: AsyncExitStack) -> tuple[float, int]:
        """Switch while three nodes are read from; return after how many seconds all had moved, and how many reads."""
        others = [
            await stack.enter_async_context(Node(self.directory / name, "--roles", "api", kafka=self.live.kafka))
            for name in ("b", "c")
        ]
        platform = self.made.platform
        callers = [Caller(platform.http, node.url, platform.headers) for node in (self.live, *others)]
        watch = Watch(callers, [self.there.session_path(n) for n in range(3)])
        moved_s = await watch.switched(self.live, "switch")
        assert not watch.failed, watch.failed
        return moved_s, watch.reads


def _drawn(requests: Sequence[bytes], source: random.Random) -> bytes:
    return source.choice(requests)


async def _folded(nodes: Sequence[Node]) -> float:
    """Return how many context events the nodes have folded together."""
    name = folded_name(CONTEXT_EVENTS)
    return sum([total(await node.metrics(), name) for node in nodes])
