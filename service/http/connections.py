"""Connections: what happens below requests, so that slow and broken clients cost little and are answered in shape."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from service.http.app import GATE
from service.http.connection_limits import LIMITS, ConnectionLimits, Unsent
from service.http.deps import Entropy
from service.http.gate import new_request_id
from service.http.problems import MalformedRequestError, error_body, error_headers, problem_of
from streams.domain.errors import OverloadedError

MAX_HEADER_BYTES = 32_768
"""One header line, for many positions in one; more of them go into more lines."""
_END_OF_HEAD = b"\r\n\r\n"


class Connection(RequestHandler):
    """aiohttp's connection, which answers what is no HTTP with JSON, and waits for slow clients within limits."""

    __slots__ = ("_body", "_entropy", "_head_limit", "_server", "_write_limit", "abandons")

    def __init__(self, server: Server, entropy: Entropy, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # None switches it off, as aiohttp's own runner does
            keepalive_timeout=server.limits.idle_s,
            lingering_time=server.limits.linger_s,
            max_line_size=server.limits.line_bytes,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=server.limits.headers,
            auto_decompress=False,
        )
        self._server, self._entropy = server, entropy
        self.abandons = False
        """Whether the work on a request ends with the connection, as another node does what is waited for."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the last request whose head is whole."""
        self._head_limit: asyncio.TimerHandle | None = None
        self._write_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; where there are as many as there may be, have every request refused."""
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._server.limits.kernel_bytes)
        if self._server.is_full:
            self._request_handler = self._refuse

    async def _refuse(self, _request: web.BaseRequest) -> web.StreamResponse:
        self._server.count_cut("surplus")
        return self._failed(OverloadedError("there are as many connections as there may be"))

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature; there may have been no request at all
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words are for logs, not for clients
    ) -> web.StreamResponse:
        """Answer what never reached a handler: no HTTP (400), or an error of the server itself (500)."""
        error = MalformedRequestError() if status < 500 else exc or RuntimeError()
        if status >= 500:
            self.log_exception("error below the handlers", exc_info=exc)
        return self._failed(error)

    def _failed(self, error: BaseException) -> web.Response:
        problem = problem_of(error)
        request_id = new_request_id(self._entropy)
        headers = {**error_headers(error, problem), "Paket-Request-Id": request_id}
        response = web.Response(status=problem.status, body=error_body(error, problem, request_id), headers=headers)
        response.force_close()
        return response

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; while the listener closes, only what is still missing of a body."""
        # aiohttp drops all of it then: a request under way would wait in vain, and be told that it is malformed.
        if (self._close or self._force_close) and self._awaits_body and self._parser is not None:
            with suppress(HttpProcessingError):
                self._parser.feed_data(data)
        elif self._ends_within_head(data):
            if self._head_limit is None:
                self._head_limit = self._loop.call_later(self._server.limits.head_s, self._head_is_late)
        elif self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _ends_within_head(self, data: bytes) -> bool:
        """Hand on what the client sent, and say whether it ends within the head of a request."""
        if not data or data.endswith(_END_OF_HEAD):
            self._hand_on(data)
            return False
        # The parser does not say what it holds: that its last byte ends a head, or is of a body, shows when it comes.
        self._hand_on(data[:-1])
        is_of_body, heads = not self._body.is_eof(), self._request_count
        self._hand_on(data[-1:])
        return not is_of_body and heads == self._request_count and not self._upgraded

    def _hand_on(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def _head_is_late(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            # It came behind a request that is still worked on, and whose answer is not to be lost.
            self._head_limit = self._loop.call_later(self._server.limits.head_s, self._head_is_late)
        else:
            self.cut_off("head")

    @property
    def _awaits_body(self) -> bool:
        request = self._current_request
        return request is not None and not request.content.is_eof()

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what it was sent."""
        super().pause_writing()
        self._write_limit = self._loop.call_later(self._server.limits.write_s, self.cut_off, "answer")
        if self.transport is not None:
            self._server.unsent.add(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop waiting: the client took it."""
        super().resume_writing()
        self._forget_write_limit()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting: the client is gone."""
        self._forget_write_limit()
        if self._head_limit is not None:
            self._head_limit.cancel()
        if self.abandons and self._task_handler is not None:
            self._task_handler.cancel()
        super().connection_lost(exc)

    def _forget_write_limit(self) -> None:
        if self._write_limit is not None:
            self._write_limit.cancel()
            self._write_limit = None
            self._server.unsent.forget(self)

    def cut_off(self, reason: str) -> None:
        """End the connection, whatever is under way on it, and throw away what was not sent."""
        self._server.count_cut(reason)
        if self.transport is not None:
            self.transport.abort()


class Server(web.Server):
    """aiohttp's server, with our connections."""

    def __init__(
        self,
        wrapped: web.Server,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        count_cut: Callable[[str], None],
        entropy: Entropy,
        limits: ConnectionLimits,
    ) -> None:
        """Take the server that aiohttp made for the application, what answers, and what counts those cut off."""
        super().__init__(answer, request_factory=wrapped.request_factory, loop=asyncio.get_running_loop())
        self._entropy = entropy
        self.limits, self.unsent, self.count_cut = limits, Unsent(limits.unsent_bytes), count_cut

    @property
    def is_full(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self._connections) > self.limits.connections

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._entropy, self._loop)


class Runner(web.AppRunner):
    """
    Runs an application on our connections.

    Use it as aiohttp's: `setup()`, a `web.TCPSite`, in the end `cleanup()`, which lets requests under way finish.
    """

    __slots__ = ("_entropy", "_limits")

    def __init__(
        self,
        app: web.Application,
        entropy: Entropy,
        *,
        shutdown_limit_s: float = 15.0,
        limits: ConnectionLimits = LIMITS,
    ) -> None:
        """Take the application, and randomness for the ids of requests that never reach it."""
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_limit_s)
        self._entropy, self._limits = entropy, limits

    async def _make_server(self) -> web.Server:
        wrapped, gate = await super()._make_server(), self.app[GATE]
        # Past aiohttp's application and its router: they cost a fifth of what a bare request costs.
        answer = partial(gate.answer_or, others=wrapped.request_handler)
        return Server(wrapped, answer, gate.metrics.count_cut, self._entropy, self._limits)
