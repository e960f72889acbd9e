"""HTTP: an acknowledged PUT, a GET of 50 items, and how soon a write is seen, each beside a bare handler."""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bench.bare import CLIENT, SECRET
from bench.figures import Figure
from bench.households import attach, broker, deployment, each, fill, node
from bench.items import body, encoded
from bench.load import Load, Requests, load, request, zipf
from tests.support.nodes import Caller, NodeProcess, free_port

ROUNDS, SECONDS = 3, 4.0
BARE_AUTHORIZATION = "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode()


@asynccontextmanager
async def bare(page_bytes: int) -> AsyncIterator[int]:
    """The bare handler in a process of its own; yields its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port), str(page_bytes)])
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(20):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/"):
                        break
                except OSError:
                    await asyncio.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


async def paired(ours: tuple[int, Requests], theirs: tuple[int, Requests]) -> tuple[Load, Load, float]:
    """Load both in turn and return the median of each, and of the ratios pair by pair."""
    pairs = []
    for seed in range(ROUNDS):
        a = await load(*ours, seconds=SECONDS, seed=seed)
        b = await load(*theirs, seconds=SECONDS, seed=seed)
        assert a.errors == b.errors == 0, (a, b)
        pairs.append((a, b))
    pairs.sort(key=lambda pair: pair[0].rate / pair[1].rate)
    a, b = pairs[len(pairs) // 2]
    return a, b, a.rate / b.rate


def puts(caller: Caller, contexts: list[str], items: int = 30) -> Requests:
    """Draw PUTs of one of *items* items of one of *contexts*; the bodies are made before the clock runs."""
    source = random.Random(7)
    bodies = [encoded(source, f"c{n % items}") for n in range(500)]
    paths = [f"/v1/contexts/upnext/{context}" for context in contexts]
    made = [request("PUT", source.choice(paths), caller.headers["Authorization"], b) for b in bodies for _ in range(8)]
    return lambda draws: draws.choice(made)


def bare_puts() -> Requests:
    source = random.Random(7)
    made = [
        request("PUT", "/v1/contexts/upnext/CX" + "0" * 41, BARE_AUTHORIZATION, encoded(source, f"c{n}"))
        for n in range(500)
    ]
    return lambda draws: draws.choice(made)


async def put_beside_a_folding_node(directory: Path) -> list[Figure]:
    """PUT on an API-only node, while another process folds. Kafka."""
    async with (
        broker(directory / "broker") as kafka,
        node(directory / "streams", "--roles", "streams", kafka=kafka.bootstrap),
        node(directory / "api", "--roles", "api", kafka=kafka.bootstrap) as api,
        deployment(api) as made,
    ):
        filled = await fill(made, contexts=500, sessions=0)
        async with bare(100) as port:
            ours, theirs, ratio = await paired((api.port, puts(filled.app, filled.contexts)), (port, bare_puts()))
    return [
        Figure(
            "PUT item, acknowledged, 32 connections, API-only node, folding in another process, Kafka",
            _rate(ours),
            f"bare handler {_rate(theirs)}",
            ratio,
            at_least=0.5,
        )
    ]


async def put_in_one_process(directory: Path, log: str) -> list[Figure]:
    """PUT on a node that folds too: the sustained rate, the lag at its end, and how long until it is gone."""
    async with (
        _log(directory, log) as bootstrap,
        node(directory / "node", kafka=bootstrap) as one,
        deployment(one) as made,
    ):
        filled = await fill(made, contexts=500, sessions=250)
        pairs = [(s, c) for n, s in enumerate(filled.sessions) for c in filled.contexts[2 * n : 2 * n + 2]]
        await attach(filled, pairs)
        lags = []
        for seed in range(4):
            measured = await load(one.port, puts(filled.app, filled.contexts), seconds=SECONDS, seed=seed)
            lags.append(await lag(one))
        began = time.perf_counter()
        async with asyncio.timeout(120):
            while await lag(one) > 0:
                await asyncio.sleep(0.05)
        drained = time.perf_counter() - began
    lag_text = ", ".join(f"{value:,.0f}" for value in lags)
    return [
        Figure(
            f"the same in one process that folds too, {log}",
            f"{_rate(measured)}, {measured.errors} refused",
            f"lag after each of four runs {lag_text} events; gone {drained:.1f} s later",
        )
    ]


async def lag(of: NodeProcess) -> float:
    """Return the fold lag in events, over both processors, as the node's own metrics say it."""
    async with aiohttp.ClientSession() as http, http.get(f"{of.internal_url}/metrics") as answer:
        text = await answer.text()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("upnext_fold_lag_events"))


@asynccontextmanager
async def _log(directory: Path, log: str) -> AsyncIterator[str | None]:
    if log == "embedded":
        yield None
        return
    async with broker(directory / "broker") as kafka:
        yield kafka.bootstrap


async def page(directory: Path, sessions: int = 8_000) -> list[Figure]:
    """GET a page of 50 out of 8,000 sessions of 90 items, Zipf; and the memory of a node that holds them."""
    async with node(directory / "node") as one, deployment(one) as made:
        filled = await fill(made, contexts=sessions, sessions=sessions)
        source = random.Random(11)

        async def put(n: int) -> None:
            path = f"/v1/contexts/upnext/{filled.contexts[n % sessions]}"
            await filled.app.ok("PUT", path, data=encoded(source, f"c{n // sessions}"))

        await each(range(30 * sessions), put)
        count = len(filled.contexts)
        await attach(
            filled, ((s, filled.contexts[(n + k) % count]) for n, s in enumerate(filled.sessions) for k in range(3))
        )
        async with asyncio.timeout(300):
            while await lag(one) > 0:
                await asyncio.sleep(0.2)
        first = await filled.platform.ok("GET", f"/v1/sessions/upnext/{filled.sessions[0]}")
        assert first.json["total"] == 90, first.json["total"]
        gets = [
            request("GET", f"/v1/sessions/upnext/{s}", filled.platform.headers["Authorization"])
            for s in filled.sessions
        ]
        weights = zipf(sessions)
        bare_get = request("GET", "/v1/sessions/upnext/SN" + "0" * 41, BARE_AUTHORIZATION)
        async with bare(len(first.body)) as port:
            draw: Requests = lambda draws: draws.choices(gets, cum_weights=weights)[0]  # noqa: E731
            await load(one.port, draw, seconds=SECONDS)
            ours, theirs, ratio = await paired((one.port, draw), (port, lambda draws: draws.choices([bare_get])[0]))
        resident = _resident_mib(one)
    what = f"GET page of 50, warm, {sessions:,} sessions of 90 items, Zipf"
    return [
        Figure(what, _rate(ours), f"bare handler {_rate(theirs)}", ratio, at_least=0.35),
        Figure(f"memory of a node with {sessions * 120:,} items in its two tables", f"{resident:,.0f} MiB resident"),
    ]


async def visible(directory: Path, log: str, writes: int = 1_500) -> list[Figure]:
    """From the acknowledgement of a write to its presence in the session's list, at 100 writes a second."""
    async with (
        _log(directory, log) as bootstrap,
        node(directory / "node", kafka=bootstrap) as one,
        deployment(one) as made,
    ):
        filled = await fill(made, contexts=100, sessions=50)
        await attach(filled, [(filled.sessions[n // 2], context) for n, context in enumerate(filled.contexts)])
        source = random.Random(5)
        times: list[float] = []

        async def write(n: int) -> None:
            which = source.randrange(len(filled.contexts))
            context, session = filled.contexts[which], filled.sessions[which // 2]
            written = await filled.app.ok("PUT", f"/v1/contexts/upnext/{context}", body(source, f"c{n % 30}"))
            acknowledged = time.perf_counter()
            await filled.platform.ok("GET", f"/v1/sessions/upnext/{session}?limit=1", after=written.position)
            times.append((time.perf_counter() - acknowledged) * 1e3)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for n in range(writes):
                await asyncio.sleep(max(0.0, began + n / 100 - time.perf_counter()))
                group.create_task(write(n))
    cuts = statistics.quantiles(times[100:], n=100)
    what = f"acknowledged → visible in the session's list, 100 writes/s, {log}"
    return [
        Figure(f"{what}: p50, ms", f"{cuts[49]:.1f} ms", "a client's GET included", cuts[49], at_most=8),
        Figure(f"{what}: p99, ms", f"{cuts[98]:.1f} ms", "a client's GET included", cuts[98], at_most=30),
    ]


def _rate(measured: Load) -> str:
    return f"{measured.rate:,.0f}/s (p50 {measured.p50_ms:.1f}, p99 {measured.p99_ms:.1f} ms)"


def _resident_mib(of: NodeProcess) -> float:
    assert of.process is not None
    status = Path(f"/proc/{of.process.pid}/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
