"""From the acknowledgement of a write to its presence in a session's list, at a steady rate of writes."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure
from bench.households import Household, Tenants, pairs_of, tenants, writer_to
from bench.items import encoded
from bench.nodes import Node, log_of
from bench.sizes import Sizes
from streams.topics import SESSION_EVENTS

WRITES_A_SECOND = 100
SESSIONS, CONTEXTS_EACH = 50, 2
_AGAIN_S = 0.02
_COLD = 1 / 5
"""The part of the writes, the first ones, that is not counted."""


async def visible(directory: Path, sizes: Sizes, log: str) -> list[Figure]:
    """Write at 100 a second, and after each acknowledgement GET the list that must have it, with its position."""
    async with (
        log_of(directory, log) as bootstrap,
        Node(directory / "node", kafka=bootstrap) as node,
        tenants(node) as made,
    ):
        node.stop()
        async with writer_to(node, made) as writer:
            there = await writer.create(contexts=SESSIONS * CONTEXTS_EACH, sessions=SESSIONS)
            await writer.attach(pairs_of(there, CONTEXTS_EACH))
        await node.start()
        await node.folded({SESSION_EVENTS: SESSIONS * (1 + CONTEXTS_EACH)})
        run = _Run(made, there)
        await run.write(sizes.visible_writes)
        for n in random.Random(1).sample(range(sizes.visible_writes), 50):
            await run.check(n)
    cuts = statistics.quantiles(run.times_ms[int(len(run.times_ms) * _COLD) :], n=100)
    what = f"acknowledged → visible in the session's list, {WRITES_A_SECOND} writes/s, {log}"
    beside = (
        f"the client's GET included; {sizes.visible_writes:,} writes, {run.late} of them sent late, "
        f"{run.asked_again} GETs asked again"
    )
    return [
        Figure(f"{what}: p50, ms", f"{cuts[49]:.1f} ms", beside, cuts[49], at_most=8),
        Figure(f"{what}: p99, ms", f"{cuts[98]:.1f} ms", beside, cuts[98], at_most=30),
    ]


@dataclass
class _Run:
    made: Tenants
    there: Household
    source: random.Random = field(default_factory=lambda: random.Random(5))
    times_ms: list[float] = field(default_factory=list)
    late: int = 0
    """Writes that this process itself was late with: its own fault, and not to be taken for the node's."""

    asked_again: int = 0

    async def write(self, count: int) -> None:
        """Start one write after another, each when it is due, whatever became of those before."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for n in range(count):
                due = began + n / WRITES_A_SECOND
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self.late += time.perf_counter() - due > 0.005
                group.create_task(self._write(n))

    def _where(self, n: int) -> tuple[str, str]:
        """Return the paths of the context that the *n*th write goes to, and of its session."""
        context = n * 37 % len(self.there.contexts)
        return self.there.context_path(context), self.there.session_path(context // CONTEXTS_EACH)

    async def _write(self, n: int) -> None:
        context, session = self._where(n)
        written = await self.made.app.ok("PUT", context, data=encoded(self.source, f"w{n}"))
        acknowledged = time.perf_counter()
        while (await self.made.platform.call("GET", f"{session}?limit=1", after=written.position)).status != 200:
            self.asked_again += 1  # it is not there within 2 s, or too many wait: the time goes on
            await asyncio.sleep(_AGAIN_S)
        self.times_ms.append((time.perf_counter() - acknowledged) * 1e3)

    async def check(self, n: int) -> None:
        """Insist that the *n*th write is in its session's list."""
        _, session = self._where(n)
        items = (await self.made.platform.ok("GET", f"{session}?limit=200")).json["items"]
        assert any(item["content_id"] == f"w{n}" for item in items), (n, session)
