"""Connections: what happens below requests, so that slow and broken clients cost little and are answered in shape."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from service.http.app import GATE
from service.http.deps import Entropy
from service.http.gate import Gate, new_request_id
from service.http.problems import MalformedRequestError, error_body, error_headers, problem_of

IDLE_LIMIT_S = 75.0
"""A connection without a whole request head for so long is closed: between requests, and in the middle of one."""
WRITE_LIMIT_S = 60.0
"""A client that does not take an answer for so long is cut off."""
LINGER_S = 5.0
"""For so long the rest of a body that was refused is read and thrown away, so that the client reads the answer."""
MAX_LINE_BYTES = 8_190
MAX_HEADER_BYTES = 32_768
"""One header line, for many positions in one; more of them go into more lines."""
MAX_HEADERS = 100


class Connection(RequestHandler):
    """aiohttp's connection, which answers what is no HTTP with JSON, and does not wait for ever for a slow reader."""

    __slots__ = ("_entropy", "_write_limit", "abandons")

    def __init__(self, server: web.Server, entropy: Entropy, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # None switches it off, as aiohttp's own runner does
            keepalive_timeout=IDLE_LIMIT_S,
            lingering_time=LINGER_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self._entropy = entropy
        self.abandons = False
        """Whether the work on a request ends with the connection, as another node does what is waited for."""
        self._write_limit: asyncio.TimerHandle | None = None

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
        else:
            super().data_received(data)

    @property
    def _awaits_body(self) -> bool:
        request = self._current_request
        return request is not None and not request.content.is_eof()

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what it was sent."""
        super().pause_writing()
        self._write_limit = self._loop.call_later(WRITE_LIMIT_S, self._cut_off)

    def resume_writing(self) -> None:
        """Stop waiting: the client took it."""
        super().resume_writing()
        self._forget_write_limit()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting: the client is gone."""
        self._forget_write_limit()
        if self.abandons and self._task_handler is not None:
            self._task_handler.cancel()
        super().connection_lost(exc)

    def _forget_write_limit(self) -> None:
        if self._write_limit is not None:
            self._write_limit.cancel()
            self._write_limit = None

    def _cut_off(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Server(web.Server):
    """aiohttp's server, with our connections, and a short way to our routes."""

    def __init__(self, wrapped: web.Server, gate: Gate, entropy: Entropy) -> None:
        """Take the server that aiohttp made for the application, and the application's gate."""
        loop = asyncio.get_running_loop()
        # Past aiohttp's application and its router: they cost a fifth of what a bare request costs.
        handler = partial(gate.answer_or, others=wrapped.request_handler)
        super().__init__(handler, request_factory=wrapped.request_factory, loop=loop)
        self._entropy = entropy

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._entropy, self._loop)


class Runner(web.AppRunner):
    """
    Runs an application on our connections.

    Use it as aiohttp's: `setup()`, a `web.TCPSite`, in the end `cleanup()`, which lets requests under way finish.
    """

    __slots__ = ("_entropy",)

    def __init__(self, app: web.Application, entropy: Entropy, *, shutdown_limit_s: float = 15.0) -> None:
        """Take the application, and randomness for the ids of requests that never reach it."""
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_limit_s)
        self._entropy = entropy

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self.app[GATE], self._entropy)
