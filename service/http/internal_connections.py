"""The internal listener's connections: bounded as the public ones are, but answered as other nodes understand it."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import CollectorRegistry, Counter

from service.http.connection_limits import LIMITS, ConnectionLimits
from service.http.connections import Connection, Server
from service.http.forward import PREFIX
from service.http.forward_listener import refusal

INTERNAL_LIMITS = LIMITS._replace(
    # A node in front may wait for a client that takes a large answer slowly, and gives up by itself before that.
    write_s=90.0,
    line_bytes=LIMITS.line_bytes + len(PREFIX),
    # More than a forwarded call has beside its client's.
    headers=LIMITS.headers + 16,
)
_SHUTDOWN_S = 1.0


class InternalConnection(Connection):
    """One connection of another node, or of who watches over this one."""

    __slots__ = ()

    async def _refuse(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._server.count_cut("surplus")
        response = refusal(503, "there are as many connections as there may be")
        response.force_close()
        return response

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer as aiohttp does: a node in front is not to take it for an answer to its client."""
        return RequestHandler.handle_error(self, request, status, exc, message)


class _Server(Server):
    def __call__(self) -> Connection:
        return InternalConnection(self, os.urandom, asyncio.get_running_loop())


class InternalRunner(web.AppRunner):
    """Runs the internal listener's application, with room for what clients may send when it is forwarded."""

    __slots__ = ("_cut", "_limits")

    def __init__(
        self, app: web.Application, metrics: CollectorRegistry, limits: ConnectionLimits = INTERNAL_LIMITS
    ) -> None:
        """Take the application, and where those that are cut off are counted."""
        super().__init__(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._limits = limits
        self._cut = Counter(
            "upnext_internal_connections_cut",
            "Connections of the internal listener that took too much, by reason.",
            ["reason"],
            registry=metrics,
        )

    async def _make_server(self) -> web.Server:
        wrapped = await super()._make_server()
        return _Server(wrapped, wrapped.request_handler, self._count_cut, os.urandom, self._limits)

    def _count_cut(self, reason: str) -> None:
        self._cut.labels(reason).inc()
