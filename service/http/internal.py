"""The internal listener: health for who watches over the process, metrics for Prometheus, the calls of other nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web
from msgspec.structs import asdict
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.http.forward import PREFIX
from service.http.forward_deliveries import PATH as DELIVERIES
from service.http.forward_listener import refusal
from service.http.repairs import PATH as REPAIR
from service.http.views import ViewPages
from streams.domain.nodes import KnownNode, NodeSaid

Awaited = Callable[[], Sequence[str]]
"""Returns a sentence for each thing that the node waits for; nothing where it is ready."""


class HealthOut(msgspec.Struct):
    """Whether the node can serve, and if not, what it waits for."""

    ready: bool
    awaited: Sequence[str]


class NodeOut(NodeSaid, frozen=True, kw_only=True):
    """What a node says of itself, and when it did."""

    silent_ms: int


class NodesOut(msgspec.Struct):
    """Every node that this one knows of."""

    nodes: Sequence[NodeOut]


class OtherNodes:
    """What a started node tells other nodes and who asks for them; until it is started, nothing."""

    def __init__(self) -> None:
        self._known: Callable[[], Sequence[KnownNode]] | None = None
        self._answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
        self._past: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
        self._repair: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
        self._deliveries: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    def deliver(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        """Take what answers a node that asks for this one's webhook deliveries."""
        self._deliveries = answer

    def remember(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        """Take what answers operators who ask for the past."""
        self._past = answer

    def repair(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        """Take what answers operators who have something repaired."""
        self._repair = answer

    async def repaired(self, request: web.Request) -> web.StreamResponse:
        """Answer an operator who has something repaired."""
        return refusal(503, _STARTING) if self._repair is None else await self._repair(request)

    async def past(self, request: web.Request) -> web.StreamResponse:
        """Answer an operator who asks for the past."""
        return refusal(503, _STARTING) if self._past is None else await self._past(request)

    def started(
        self,
        known: Callable[[], Sequence[KnownNode]],
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> None:
        """Take what returns the nodes, and what answers a call that one of them forwards."""
        self._known, self._answer = known, answer

    async def forwarded(self, request: web.Request) -> web.StreamResponse:
        """Answer a call that another node forwards."""
        return refusal(503, _STARTING) if self._answer is None else await self._answer(request)

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        """Answer a node that asks for this one's webhook deliveries; one that folds nothing has none."""
        return refusal(503, _STARTING) if self._deliveries is None else await self._deliveries(request)

    async def nodes(self, _request: web.Request) -> web.Response:
        """Tell which nodes there are."""
        if self._known is None:
            return refusal(503, _STARTING)
        return _json(200, NodesOut([NodeOut(**asdict(node.said), silent_ms=node.silent_ms) for node in self._known()]))


_STARTING = "the node is starting"


def build_internal_app(
    awaited: Awaited,
    metrics: CollectorRegistry,
    others: OtherNodes | None = None,
    views: ViewPages | None = None,
) -> web.Application:
    """Return the application of the internal listener. It answers whatever else the process does."""
    others = others or OtherNodes()

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
    app.router.add_get("/nodes", others.nodes)
    app.router.add_get("/past/{what}", others.past, allow_head=False)
    app.router.add_post(f"{REPAIR}{{what}}", others.repaired)
    app.router.add_post(f"{PREFIX}{DELIVERIES}{{what}}", others.deliveries)
    if views is not None:
        views.add_to(app)
    app.router.add_get(f"{PREFIX}{{path:/.*}}", others.forwarded, allow_head=False)
    app.router.add_post(f"{PREFIX}{{path:/.*}}", others.forwarded)
    return app


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
