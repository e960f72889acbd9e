"""Folding a backlog, and recovery on an empty disk: ours and stock Faust's, each on one core, from the same topic."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.cores import cpu_s, elsewhere, on_one_core
from bench.figures import Figure
from bench.households import KAFKA_PARTITIONS, Household, Tenants, Writer, pairs_of, poll_total, tenants, writer_to
from bench.nodes import Node, broker, folded_all, folded_name
from bench.sizes import Sizes
from bench.stock_faust import Measured
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS, view_topics
from tests.support.switches import ask_views

CONTEXTS, ITEMS = 200, 30
"""Each in one session of two; of each context."""
_POLL_S = 0.25
"""Reading the metrics costs the node time too."""
_FOLD_LIMIT_S = 300.0
_STOCK_LIMIT_S = 300.0
FEED = view_topics().feed


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds, with so much CPU."""

    count: float
    seconds: float
    cpu_s: float | None = None
    """None where it cannot be told from what else the process did."""

    @property
    def a_second(self) -> float:
        return self.count / self.seconds

    def __str__(self) -> str:
        cpu = "" if self.cpu_s is None else f" ({self.cpu_s / self.count * 1e6:,.0f} µs of CPU each)"
        return f"{self.a_second:,.0f}/s{cpu}"


async def fold_and_recover(directory: Path, sizes: Sizes) -> list[Figure]:
    """Fold a backlog through both processors, then recover both tables on an empty disk. Kafka."""
    with elsewhere():
        async with broker(directory / "broker") as kafka:
            async with Node(directory / "node", kafka=kafka.bootstrap, how=on_one_core) as node:
                folded, recovered, rebuilt = await _ours(node, sizes.fold_events)
            raw = await _peer("bench.raw_getmany", kafka.bootstrap)
            stock = [kafka.bootstrap, f"stock-{time.time_ns()}", str(directory / "stock")]
            stock_folded = await _peer("bench.stock_faust", "fold", *stock)
            shutil.rmtree(directory / "stock")
            stock_recovered = await _peer("bench.stock_faust", "recover", *stock)
    return [
        Figure(
            "fold, events/s through both processors, one core",
            str(folded),
            f"stock Faust, one row an event: {stock_folded}; raw getmany: {raw}",
            folded.a_second / stock_folded.a_second,
            at_least=2.0,
        ),
        Figure(
            "the next version of the views beside the live one, events/s, one core",
            str(rebuilt),
            f"the live version: {folded}",
            rebuilt.a_second / folded.a_second,
            at_least=2.0,
        ),
        Figure(
            "recovery of both tables on an empty disk, rows/s, one core",
            f"{recovered}, {recovered.count:,.0f} rows",
            f"stock Faust: {stock_recovered}, {stock_recovered.count:,.0f} rows",
            recovered.a_second / stock_recovered.a_second,
            at_least=8.0,
        ),
    ]


async def _ours(node: Node, events: int) -> tuple[Rate, Rate, Rate]:
    async with tenants(node) as made, writer_to(node, made) as writer:
        there = await writer.create(CONTEXTS, CONTEXTS // 2)
        await writer.attach(pairs_of(there, 2))
        await node.folded({SESSION_EVENTS: CONTEXTS // 2 * 3})
        node.stop()
        folded = await _fold(node, writer, there, events)
        await _check(made, there, events)
        node.stop()
        shutil.rmtree(node.directory / "tables")
        recovered = await _recover(node)
        await _check(made, there, events)
        rebuilt = await _rebuild(node, events)
        node.stop()
    return folded, recovered, rebuilt


async def _rebuild(node: Node, events: int) -> Rate:
    """Have a node of its own fold the next version of the views."""
    await ask_views(node, "start")
    flags = ("--roles", "streams", "--view", "v2")
    following = Node(node.directory.parent / "next", *flags, kafka=node.kafka, how=on_one_core)
    following.spawn()
    try:
        return await _folded(following, {CONTEXT_EVENTS: events, SESSION_EVENTS: CONTEXTS // 2 * 3})
    finally:
        following.stop()


async def _folded(node: Node, wanted: Mapping[str, int]) -> Rate:
    """Measure from the first folded event that is seen to the last, with what the processors tell each other."""
    first: tuple[float, float, float] | None = None
    last: tuple[float, float, float] | None = None
    async with asyncio.timeout(_FOLD_LIMIT_S):
        while True:
            metrics = await node.metrics()
            seen = metrics.get(folded_name(CONTEXT_EVENTS), 0.0), time.perf_counter(), cpu_s(node.pid)
            if first is None and seen[0] > 0:
                first = seen
            # What one has told the other may not be heard of yet when both have folded what there was.
            is_done = folded_all(metrics, wanted)
            if first is not None and last is not None and is_done:
                return Rate(*(late - early for late, early in zip(last, first, strict=True)))
            last = seen if is_done else None
            await asyncio.sleep(_POLL_S)


async def _fold(node: Node, writer: Writer, there: Household, events: int) -> Rate:
    """Append the backlog, start the node, and measure from the first folded event that is seen to the last."""
    places = ((there.contexts[n % CONTEXTS], f"c{n // CONTEXTS % ITEMS}") for n in range(events))
    await writer.put(places)
    node.spawn()
    return await _folded(node, {CONTEXT_EVENTS: events, FEED: events})  # each context is in one session


async def _recover(node: Node) -> Rate:
    """Start the node without tables; return what it says of its recovery, from the assignment to the last partition."""
    said = len(node.said("recovered"))
    await node.start()
    recoveries = node.said("recovered")[said:]
    seconds = sum(recovery["seconds"] for recovery in recoveries)
    return Rate(recoveries[-1]["rows"], seconds)


async def _check(made: Tenants, there: Household, events: int) -> None:
    """Insist that the lists hold what was put."""
    items = 2 * min(ITEMS, -(-events // CONTEXTS))
    for n in (0, len(there.sessions) - 1):
        await poll_total(made.platform, there.session_path(n), items)


async def _peer(module: str, *arguments: str) -> Rate:
    """Run a peer on the core that the node was on, and return what it measured."""
    command = [sys.executable, "-m", module, *arguments, CONTEXT_EVENTS, str(KAFKA_PARTITIONS)]
    process = await asyncio.create_subprocess_exec(
        *on_one_core(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_STOCK_LIMIT_S):
            printed, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complained.decode(errors="replace")[-4_000:]
    measured = msgspec.json.decode(printed.splitlines()[-1], type=Measured)
    return Rate(measured.count, measured.seconds, measured.cpu_s)
