"""Fills a running node with contexts and sessions, over its own API, as fast as it takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson

from tests.support.kafka import Broker
from tests.support.nodes import Caller, Deployment, NodeProcess

T = TypeVar("T")


@dataclass
class Filled:
    """What a node was filled with."""

    app: Caller
    platform: Caller
    contexts: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)


async def each(things: Iterable[T], do: Callable[[T], Awaitable[Any]], *, at_once: int = 64) -> None:
    """Call *do* for each of *things*, *at_once* at a time."""
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await do(thing)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


async def fill(deployment: Deployment, contexts: int, sessions: int) -> Filled:
    """Make an app and a platform, and *contexts* and *sessions* of theirs."""
    company = await deployment.company("Bench")
    made = Filled(await deployment.tenant("apps", company), await deployment.tenant("platforms", company))

    async def context(_: int) -> None:
        made.contexts.append((await made.app.ok("POST", "/v1/contexts")).json["context_id"])

    async def session(_: int) -> None:
        made.sessions.append((await made.platform.ok("POST", "/v1/sessions")).json["session_id"])

    await each(range(contexts), context)
    await each(range(sessions), session)
    return made


async def attach(made: Filled, pairs: Iterable[tuple[str, str]]) -> None:
    """Attach each (session, context)."""

    async def one(pair: tuple[str, str]) -> None:
        session, context = pair
        body = orjson.dumps({"app_id": made.app.tenant, "context_id": context})
        await made.platform.ok("PUT", f"/v1/sessions/upnext/{session}", data=body)

    await each(pairs, one)


@asynccontextmanager
async def broker(directory: Path) -> AsyncIterator[Broker]:
    """A Kafka broker of the benchmark's own."""
    made = Broker(directory)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def node(directory: Path, *flags: str, kafka: str | None = None) -> AsyncIterator[NodeProcess]:
    """A node process, ready."""
    made = NodeProcess(directory, *flags, kafka=kafka)
    async with made:
        yield made


@asynccontextmanager
async def deployment(of: NodeProcess) -> AsyncIterator[Deployment]:
    """Callers of a node."""
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:
        yield Deployment(of, http)
