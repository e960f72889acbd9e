"""Between aiohttp and the routes: whatever a request leads to, it is answered once, in shape, and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter
from typing import Protocol

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger as BoundLogger

from service.http.calls import Answer
from service.http.deps import Entropy
from service.http.metrics import HttpMetrics
from service.http.paths import Paths
from service.http.problems import error_body, error_headers, problem_of
from service.http.responses import WholeResponse


class Route(Protocol):
    """What requests to one path are handed to."""

    @property
    def path(self) -> str:
        """The path's template, under which its requests are counted."""

    async def judge(
        self, request: web.BaseRequest, path: Mapping[str, str], request_id: str, beside: dict[str, str]
    ) -> Answer:
        """
        Answer the request with these path parameters, or raise what is wrong with it.

        Headers that the answer bears in either case are put into *beside*.
        """


class Gate:
    """Hands requests to their routes, and turns what those return or raise into answers."""

    def __init__(self, routes: Iterable[Route], elsewhere: Route, entropy: Entropy, metrics: HttpMetrics) -> None:
        """
        Take the routes.

        Args:
            routes: Each answers the requests to its path.
            elsewhere: Answers all others.
            entropy: Makes request ids.
            metrics: Counts requests.
        """
        self._paths = Paths({route.path: route for route in routes})
        self._elsewhere = elsewhere
        self._entropy = entropy
        self.metrics = metrics
        self._log = structlog.get_logger(__name__)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*, whatever it is."""
        route, path = self._paths.find(request.rel_url.raw_path) or (self._elsewhere, {})
        return await self._answer(request, route, path)

    async def answer_or(
        self, request: web.BaseRequest, others: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer *request* where its path is that of a route; hand it to *others* where not."""
        found = self._paths.find(request.rel_url.raw_path)
        return await others(request) if found is None else await self._answer(request, *found)

    async def _answer(self, request: web.BaseRequest, route: Route, path: Mapping[str, str]) -> web.StreamResponse:
        began = perf_counter()
        request_id = new_request_id(self._entropy)
        beside: dict[str, str] = {}
        try:
            answer = await route.judge(request, path, request_id, beside)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer in the one shape
            answer = problem_answer(error, request, request_id, self._log)
        self.metrics.count(request.method, route.path, answer.status, perf_counter() - began)
        return response(answer, request_id, beside)


def response(answer: Answer, request_id: str, beside: Mapping[str, str]) -> web.StreamResponse:
    """Return *answer* with the headers that every one bears, and those *beside* its own."""
    status, own, body = answer
    headers = {**beside, **own, "Paket-Request-Id": request_id}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if body is None or isinstance(body, bytes):
        return WholeResponse(status, headers, body)
    return web.Response(status=status, body=body, headers=headers)


def problem_answer(error: Exception, request: web.BaseRequest, request_id: str, log: BoundLogger) -> Answer:
    """Return the answer to a request that an error has ended, and log what an operator should know."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request_failed", request=request_id, method=request.method, path=request.path, exc_info=error)
    elif problem.status == 503:
        log.warning("request_unavailable", request=request_id, method=request.method, code=problem.code)
    return Answer(problem.status, error_headers(error, problem), error_body(error, problem, request_id))


def new_request_id(entropy: Entropy) -> str:
    """Return `req_` and 16 hexadecimal digits."""
    return f"req_{entropy(8).hex()}"
