"""PUT of an item, acknowledged: on a node that only answers, beside a bare handler; and on one that folds too."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.cores import elsewhere, on_one_core, yielding
from bench.figures import Figure
from bench.households import Household, pairs_of, tenants, writer_to
from bench.items import encoded
from bench.load import Load, Requests, load, request
from bench.nodes import FOLD_LIMIT_S, Node, broker, folded_name, log_of
from bench.pairs import BARE_AUTHORIZATION, Target, bare, paired, rate
from bench.sizes import Sizes
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.support.nodes import Caller

ITEMS = 30
"""Of each context: most writes move a position."""
_BODIES = 500
KEEPS_UP = 0.1
"""Of the time that was written for: a lag that takes longer to go grows without end."""


async def beside_bare(directory: Path, sizes: Sizes) -> list[Figure]:
    """
    PUT on an API-only node, while another process folds. Kafka.

    The node that folds has what CPU the others leave: in production it is on another machine. It has a backlog from the
    beginning, so that it is beside the bare handler as much as beside ours. What answers has one core for itself, on
    both sides; the broker, the node that folds and the load share the others.
    """
    with elsewhere():
        return await _beside_bare(directory, sizes)


async def _beside_bare(directory: Path, sizes: Sizes) -> list[Figure]:
    async with (
        broker(directory / "broker") as kafka,
        Node(directory / "api", "--roles", "api", kafka=kafka.bootstrap, how=on_one_core) as api,
        tenants(api) as made,
    ):
        async with writer_to(api, made) as writer:
            there = await writer.create(sizes.contexts, 0)
            contexts = there.contexts
            await writer.put(
                (contexts[n % sizes.contexts], f"c{n // sizes.contexts % ITEMS}") for n in range(sizes.fold_events)
            )
        async with (
            _folding(directory / "streams", kafka.bootstrap) as folding,
            bare(0, _bare_puts(), how=on_one_core) as theirs,
        ):
            pair = await paired(Target(api.port, api.pid, _puts(made.app, there)), theirs, sizes)
            folded = (await folding.metrics())[folded_name(CONTEXT_EVENTS)]
            left = await folding.lag()
    what = "PUT item, acknowledged, 32 connections, API-only node, folding in another process, Kafka"
    beside = f"bare handler {pair.theirs}; {pair.by_cpu}; {folded:,.0f} were folded meanwhile, and {left:,.0f} left"
    return [Figure(what, str(pair.ours), beside, pair.ratio, at_least=0.5)]


@asynccontextmanager
async def _folding(directory: Path, bootstrap: str) -> AsyncIterator[Node]:
    """Give a node that has begun to fold what there is; it is ready only when it has folded all of that."""
    node = Node(directory, "--roles", "streams", kafka=bootstrap, how=yielding)
    node.spawn()
    try:
        async with asyncio.timeout(FOLD_LIMIT_S):
            while not (await node.metrics()).get(folded_name(CONTEXT_EVENTS)):
                await asyncio.sleep(0.1)
        yield node
    finally:
        node.kill()


async def in_one_process(directory: Path, sizes: Sizes, log: str) -> list[Figure]:
    """PUT on a node that folds too: the sustained rate, the lag over time, and how long until it is gone."""
    async with (
        log_of(directory, log) as bootstrap,
        Node(directory / "node", kafka=bootstrap) as node,
        tenants(node) as made,
    ):
        node.stop()
        async with writer_to(node, made) as writer:
            there = await writer.create(sizes.contexts, sizes.contexts // 2)
            await writer.attach(pairs_of(there, 2))
        await node.start()
        await node.folded({SESSION_EVENTS: len(there.sessions) + len(there.contexts)})
        loads, lags = await _sustained(node, _puts(made.app, there), sizes)
        began = time.perf_counter()
        await node.folded({})
        drained = time.perf_counter() - began
    written, took = sum(one.requests - one.errors for one in loads), sum(one.seconds for one in loads)
    median = sorted(loads, key=lambda one: one.rate)[len(loads) // 2]
    lag_text = ", ".join(f"{lag:,.0f}" for lag in lags)
    return [
        Figure(
            f"PUT item in one process that folds too, {log}",
            f"{written / took:,.0f}/s over {took:.0f} s; median load {rate(median)}; "
            f"{sum(one.errors for one in loads)} refused",
            f"lag after each load: {lag_text} events",
        ),
        Figure(
            f"the same: the lag in the end is gone after, s, {log}",
            f"{drained:.1f} s",
            f"{took:.0f} s of writing",
            drained,
            at_most=round(took * KEEPS_UP, 1),
        ),
    ]


async def _sustained(node: Node, requests: Requests, sizes: Sizes) -> tuple[list[Load], list[float]]:
    loads, lags = [], []
    for seed in range(sizes.sustained_loads):
        loads.append(await load(node.port, requests, seconds=sizes.load_s, seed=seed))
        lags.append(await node.lag())
    return loads, lags


def _puts(caller: Caller, to: Household) -> Requests:
    """Draw PUTs to the contexts; the requests are made before the clock runs."""
    source = random.Random(7)
    bodies = _bodies(source)
    paths = [to.context_path(n) for n in range(len(to.contexts))]
    authorization = caller.headers["Authorization"]
    made = [request("PUT", path, authorization, source.choice(bodies)) for path in paths for _ in range(ITEMS)]
    return lambda draws: draws.choice(made)


def _bare_puts() -> Requests:
    path = "/v1/contexts/upnext/CX" + "0" * 41
    made = [request("PUT", path, BARE_AUTHORIZATION, body) for body in _bodies(random.Random(7))]
    return lambda draws: draws.choice(made)


def _bodies(source: random.Random) -> list[bytes]:
    return [encoded(source, f"c{n % ITEMS}") for n in range(_BODIES)]
