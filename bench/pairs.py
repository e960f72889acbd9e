"""A node and a bare handler under the same load, in turn: the ratio of a pair does not know how fast the machine is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from bench.bare import CLIENT, SECRET
from bench.cores import cpu_s
from bench.load import Load, Requests, load
from bench.nodes import How
from bench.sizes import Sizes
from tests.support.ports import free_port

BARE_AUTHORIZATION = "Basic " + b64encode(f"{CLIENT}:{SECRET}".encode()).decode()


class Target(NamedTuple):
    """Where requests go, and which."""

    port: int
    pid: int
    requests: Requests
    begin: Callable[[], None] = lambda: None
    """Called before each load."""


class Side(NamedTuple):
    """What one side did in one load."""

    load: Load
    cpu_us: float
    """Of the target's process, per request."""

    def __str__(self) -> str:
        return f"{rate(self.load)}, {self.cpu_us:,.0f} µs of CPU each"


class Pair(NamedTuple):
    """Ours and theirs, one after the other."""

    ours: Side
    theirs: Side

    @property
    def ratio(self) -> float:
        return self.ours.load.rate / self.theirs.load.rate

    @property
    def by_cpu(self) -> str:
        """The ratio as the CPU says it: another one where a side was held up by something else than itself."""
        return f"by CPU {self.theirs.cpu_us / self.ours.cpu_us:.2f}"


@asynccontextmanager
async def bare(page_bytes: int, requests: Requests, *, how: How = list) -> AsyncIterator[Target]:
    """The bare handler in a process of its own, run as the node is."""
    port = free_port()
    command = [sys.executable, "-m", "bench.bare", str(port), str(page_bytes)]
    process = subprocess.Popen(how(command))
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(20):
            while not await _answers(http, port):
                await asyncio.sleep(0.02)
        yield Target(port, process.pid, requests)
    finally:
        process.kill()
        process.wait()


async def _answers(http: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with http.get(f"http://127.0.0.1:{port}/"):
            return True
    except OSError:
        return False


async def paired(ours: Target, theirs: Target, sizes: Sizes) -> Pair:
    """Load both in turn; return the pair whose ratio is the median."""
    for target in (ours, theirs):
        target.begin()
        await load(target.port, target.requests, seconds=sizes.load_s / 2, seed=-1)
    pairs = [
        # Not the same requests: where both are one process, it would have at hand what it has just been asked for.
        Pair(await _side(ours, sizes.load_s, 2 * n), await _side(theirs, sizes.load_s, 2 * n + 1))
        for n in range(sizes.rounds)
    ]
    return sorted(pairs, key=lambda pair: pair.ratio)[len(pairs) // 2]


async def _side(target: Target, seconds: float, seed: int) -> Side:
    target.begin()
    before = cpu_s(target.pid)
    measured = await load(target.port, target.requests, seconds=seconds, seed=seed)
    assert measured.errors == 0, measured
    return Side(measured, (cpu_s(target.pid) - before) / measured.requests * 1e6)


def rate(measured: Load) -> str:
    """Return a load's rate and times as text."""
    return f"{measured.rate:,.0f}/s (p50 {measured.p50_ms:.1f}, p99 {measured.p99_ms:.1f} ms)"
