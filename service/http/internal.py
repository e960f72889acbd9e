"""The internal listener: health for whatever watches over the process, metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Awaited = Callable[[], Sequence[str]]
"""Returns a sentence for each thing that the node waits for; nothing where it is ready."""


class HealthOut(msgspec.Struct):
    """Whether the node can serve, and if not, what it waits for."""

    ready: bool
    awaited: Sequence[str]


def build_internal_app(awaited: Awaited, metrics: CollectorRegistry) -> web.Application:
    """Return the application of the internal listener. It answers whatever else the process does."""

    async def live(_request: web.Request) -> web.Response:
        return _json(200, {"live": True})

    async def ready(_request: web.Request) -> web.Response:
        waits = awaited()
        return _json(503 if waits else 200, HealthOut(not waits, waits))

    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", exposition)
    return app


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
