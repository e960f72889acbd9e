"""A publisher's webhook endpoint on loopback, which answers as the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from aiohttp import web

LIMIT_S = 30.0


class Received(NamedTuple):
    """One event as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return str(self.json["id"])


@dataclass
class Receiver:
    """An endpoint: everything that came, and what it answers."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Awaitable[web.Response]] | None = None
    """None: 204 to everything."""
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    async def until(self, is_enough: Callable[[list[Received]], bool], limit_s: float = LIMIT_S) -> list[Received]:
        """Return what came, once it is enough."""
        async with asyncio.timeout(limit_s):
            while not is_enough(self.received):
                self._came.clear()
                await self._came.wait()
        return list(self.received)

    async def handle(self, request: web.Request) -> web.Response:
        received = Received(request.path, dict(request.headers), await request.read(), time.monotonic())
        self.received.append(received)
        self._came.set()
        return web.Response(status=204) if self.answer is None else await self.answer(received)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run an endpoint on a free port of loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = int(runner.addresses[0][1])
    try:
        yield receiver
    finally:
        await runner.cleanup()
