"""The registry with many objects: a start from its snapshot, its memory, its lists; and how soon a change holds."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import aiohttp

from bench.cores import resident_mib
from bench.figures import Figure
from bench.nodes import Node, broker
from bench.registry_objects import BIG, Objects
from bench.sizes import Sizes
from streams.log.embedded import EmbeddedLog
from tests.support.nodes import Caller, Deployment

PAGE = 100
_POLL_S = 0.002
_LIMIT_S = 30.0
_REFUSED = 401


async def large(directory: Path, sizes: Sizes) -> list[Figure]:
    """Start a node of many objects from a snapshot and a tail, and read its lists. Embedded log."""
    node, objects = Node(directory / "node"), Objects()
    async with node, aiohttp.ClientSession() as http:
        empty_mib = resident_mib(node.pid)
        node.stop()
        tail = sizes.registry_objects // 100
        await _append(node, objects, sizes.registry_objects - tail)
        folded_s = await _timed(node.start)
        node.stop()
        await _append(node, objects, tail)
        restored_s = await _timed(node.start)
        metrics = await node.metrics()
        there = metrics["upnext_registry_objects"]
        assert there == sizes.registry_objects, there
        assert metrics["upnext_registry_snapshots_discarded_total"] == 0
        object_bytes = (resident_mib(node.pid) - empty_mib) * (1 << 20) / there
        pages = await _pages(Deployment(node, http).admin, sizes.registry_pages)
        node.stop()
    what = f"the registry with {sizes.registry_objects:,} objects"
    return [
        Figure(
            f"{what}: start from a snapshot and a tail of {tail:,}, s",
            f"{restored_s:.1f} s from the process's begin to ready",
            f"without a snapshot {folded_s:.1f} s",
            restored_s,
            at_most=5,
        ),
        Figure(
            f"{what}: memory, bytes an object",
            f"{object_bytes:,.0f} bytes resident",
            f"{empty_mib:,.0f} MiB without objects",
            object_bytes,
            at_most=2_048,
        ),
        *(_page_figure(what, where, times_ms) for where, times_ms in pages.items()),
    ]


def _page_figure(what: str, where: str, times_ms: list[float]) -> Figure:
    cuts = statistics.quantiles(times_ms, n=100)
    measured = f"p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} ms"
    name = f"{what}: a list's page of {PAGE}, {where}, p50, ms"
    return Figure(
        name, measured, f"the client's part included; {len(times_ms):,} GETs, one at a time", cuts[49], at_most=5
    )


async def _append(node: Node, objects: Objects, count: int) -> None:
    """Append objects to the log of a node that is stopped."""
    log = EmbeddedLog(node.directory / "log", _die)
    await log.start()
    try:
        await objects.append(log, count)
    finally:
        await log.stop()


def _die(reason: str) -> NoReturn:
    raise SystemExit(reason)


async def _timed(step: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await step()
    return time.perf_counter() - began


async def _pages(admin: Caller, count: int) -> dict[str, list[float]]:
    """GET pages of the clients of the company that has most, and return how long each took."""
    path = f"/api/v1/clients?context={BIG}&pageSize={PAGE}"
    total = (await admin.ok("GET", path)).json["totalCount"]
    last = (total - 1) // PAGE
    times: dict[str, list[float]] = {}
    for where, number in {"first": 0, "middle": last // 2, "last": last}.items():
        times[where] = []
        for _ in range(count):
            began = time.perf_counter()
            answer = await admin.ok("GET", f"{path}&page={number}")
            times[where].append((time.perf_counter() - began) * 1e3)
        found = answer.json
        assert found["totalCount"] == total
        assert len(found["results"]) == min(PAGE, total - number * PAGE)
    return times


class _Change(NamedTuple):
    """How long it took from the request until it was answered, and until another node knew."""

    answered_s: float
    elsewhere_s: float


async def changes(directory: Path, sizes: Sizes) -> list[Figure]:
    """Roll keys and switch clients off on one of two nodes, until the other lets them in no more. Kafka."""
    async with (
        broker(directory / "broker") as kafka,
        Node(directory / "a", "--roles", "api", kafka=kafka.bootstrap) as one,
        Node(directory / "b", "--roles", "api", kafka=kafka.bootstrap) as other,
        aiohttp.ClientSession() as http,
    ):
        made = await _Switching(Deployment(one, http), other.url).run(sizes.registry_changes)
    longest = max(change.elsewhere_s for change in made)
    typical = statistics.median(change.elsewhere_s for change in made)
    answered = statistics.median(change.answered_s for change in made)
    return [
        Figure(
            "a key rolled, a client made INACTIVE: refused on another node after, s, Kafka",
            f"{longest:.3f} s at most, {typical:.3f} s in the median, from the request on",
            f"{len(made)} changes, answered after {answered:.3f} s; refused at once on the node that answered",
            longest,
            at_most=1,
        )
    ]


class _Switching:
    """Takes a client's access away on one node, in both ways, and asks both nodes whether it still has it."""

    def __init__(self, deployment: Deployment, elsewhere: str) -> None:
        self._deployment, self._elsewhere = deployment, elsewhere

    async def run(self, count: int) -> list[_Change]:
        """Do it *count* times."""
        company = await self._deployment.company("Switching")
        tenant = await self._deployment.tenant("apps", company)
        clients = (await self._deployment.admin.ok("GET", f"/api/v1/clients?context={company}")).json["results"]
        path, context = f"/api/v1/clients/{clients[0]['id']}", f"?context={company}"
        made = []
        for n in range(count):
            await self._until(tenant, is_let_in=True)
            if n % 2:
                body = {"key": "LIVE", "overlapHours": 0}
                rolled, change = await self._changed(tenant, f"{path}/roll{context}", body)
                tenant = self._with_key(tenant, rolled["secretKey"])
            else:
                _, change = await self._changed(tenant, path + context, {"objectState": "INACTIVE"})
                await self._deployment.admin.ok("POST", path + context, {"objectState": "ACTIVE"})
            made.append(change)
        return made

    async def _changed(self, tenant: Caller, path: str, body: object) -> tuple[dict[str, str], _Change]:
        began = time.perf_counter()
        answer = await self._deployment.admin.ok("POST", path, body)
        answered_s = time.perf_counter() - began
        await self._until(tenant, is_let_in=False)
        elsewhere_s = time.perf_counter() - began
        assert (await tenant.call("GET", "/v1")).status == _REFUSED
        return answer.json, _Change(answered_s, elsewhere_s)

    async def _until(self, tenant: Caller, *, is_let_in: bool) -> None:
        """Return once the other node lets the client in, or does not."""
        there = Caller(tenant.http, self._elsewhere, tenant.headers)
        async with asyncio.timeout(_LIMIT_S):
            while ((await there.call("GET", "/v1")).status != _REFUSED) is not is_let_in:
                await asyncio.sleep(_POLL_S)

    def _with_key(self, tenant: Caller, secret: str) -> Caller:
        basic = aiohttp.BasicAuth(tenant.client_id, secret).encode()
        return Caller(tenant.http, tenant.url, {"Authorization": basic}, tenant.tenant, tenant.client_id, secret)
