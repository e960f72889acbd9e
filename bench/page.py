"""GET of a page, warm, beside a bare handler that answers as many bytes; and what the node holds in memory then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.checks import UNCHECKED, cost_of_checks
from bench.cores import elsewhere, on_one_core, resident_mib
from bench.figures import Figure
from bench.households import Household, Tenants, pairs_of, poll_total, tenants, writer_to
from bench.load import Requests, request, zipf
from bench.nodes import Node
from bench.pairs import BARE_AUTHORIZATION, Target, bare, paired
from bench.sizes import Sizes
from streams.topics import CONTEXT_EVENTS, SESSION_EVENTS
from tests.support.nodes import Caller
from tests.support.signing import over_body

ITEMS, CONTEXTS = 30, 3
"""Of each context; of each session. A context is in as many sessions as a session has contexts."""
ALONE = 1_000
"""Items of each context that is in no session."""
CHECKED = 20
"""Sessions whose lists are looked at before the clock runs."""


async def page(directory: Path, sizes: Sizes) -> list[Figure]:
    """GET pages of 50 by Zipf's law, of sessions of 90 items, embedded log; and the memory of the node."""
    what = f"GET page of 50, warm, {sizes.page_sessions:,} sessions of {CONTEXTS * ITEMS} items, Zipf"
    with elsewhere():
        async with _filled(directory, sizes) as (node, made, there):
            requests = _gets(made.platform, there)
            body = (await made.platform.ok("GET", there.session_path(0))).body
            async with bare(len(body), _bare_get(), how=on_one_core) as theirs:
                await _warm(made.platform, there)
                pair = await paired(Target(node.port, node.pid, requests), theirs, sizes)
            resident = resident_mib(node.pid)
            node.stop()
            node.program = UNCHECKED
            await node.start()
            await _warm(made.platform, there)
            signed = _gets(made.platform, there, over_body(made.platform.secret))
            checks = await cost_of_checks(node, signed, sizes, f"a {what}, signed over time and body")
    there_are = f"{sizes.memory_items:,} items in its two tables"
    beside = f"bare handler, {len(body):,} bytes too, {pair.theirs}; {pair.by_cpu}"
    return [
        Figure(what, str(pair.ours), beside, pair.ratio, at_least=0.35),
        Figure(f"memory of a node with {there_are}, after its pages were read", f"{resident:,.0f} MiB resident"),
        checks,
    ]


@asynccontextmanager
async def _filled(directory: Path, sizes: Sizes) -> AsyncIterator[tuple[Node, Tenants, Household]]:
    """A node on one core with its tables filled and started anew, so that nothing of the filling is in its memory."""
    sessions = sizes.page_sessions
    async with Node(directory / "node", how=on_one_core) as node, tenants(node) as made:
        node.stop()
        async with writer_to(node, made) as writer:
            there = await writer.create(contexts=sessions, sessions=sessions)
            places = [(context, f"c{n}") for n in range(ITEMS) for context in there.contexts]
            alone = await writer.create(_alone(sizes) // ALONE, 0)
            places += [(context, f"c{n}") for n in range(ALONE) for context in alone.contexts]
            await writer.put(places)
        await node.start()
        await node.folded({CONTEXT_EVENTS: sessions + len(alone.contexts) + len(places), SESSION_EVENTS: sessions})
        node.stop()
        # Attached only now: the items come as snapshots, as they would to new sessions.
        async with writer_to(node, made) as writer:
            await writer.attach(pairs_of(there, CONTEXTS))
        await node.start()
        await node.folded({SESSION_EVENTS: sessions * CONTEXTS})
        await _check(made.platform, there)
        node.stop()
        await node.start()
        yield node, made, there


async def _warm(platform: Caller, there: Household) -> None:
    """Read every list once, those that are read most in the end: what a cache would hold after long."""
    paths = iter([there.session_path(n) for n in reversed(range(len(there.sessions)))])

    async def read() -> None:
        for path in paths:
            await platform.ok("GET", path)

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(read())


def _alone(sizes: Sizes) -> int:
    """Return how many items beside those of the sessions make up what the node's memory is asked of."""
    return max(0, sizes.memory_items - sizes.page_sessions * ITEMS * (1 + CONTEXTS))


async def _check(platform: Caller, there: Household) -> None:
    """Insist that lists are whole."""
    for n in range(0, len(there.sessions), max(1, len(there.sessions) // CHECKED)):
        answer = await poll_total(platform, there.session_path(n), ITEMS * CONTEXTS)
        assert "Paket-View" not in answer.headers, answer.headers
        assert len(answer.json["items"]) == 50, answer.json


def _gets(platform: Caller, there: Household, more: Mapping[str, str] = {}) -> Requests:
    authorization = platform.headers["Authorization"]
    made = [request("GET", there.session_path(n), authorization, more=more) for n in range(len(there.sessions))]
    weights = zipf(len(made))
    return lambda draws: draws.choices(made, cum_weights=weights)[0]


def _bare_get() -> Requests:
    made = [request("GET", "/v1/sessions/upnext/SN" + "0" * 41, BARE_AUTHORIZATION)]
    return lambda draws: draws.choices(made)[0]
