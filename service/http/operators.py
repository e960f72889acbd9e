"""Calls of operators to the internal listener, who show the super user's token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from service.http.calls import Answer
from service.http.deps import Entropy
from service.http.entropy import DrawnAhead
from service.http.gate import new_request_id, problem_answer, response
from service.http.problems import UnauthorizedError


class OperatorCalls:
    """Answers them, in the one shape that answers have."""

    def __init__(self, admin_token: str, entropy: Entropy | None = None) -> None:
        """Take the token that callers must show."""
        self._admin, self._entropy = admin_token.encode(), entropy or DrawnAhead()
        self._log = structlog.get_logger(__name__)

    async def answered(self, request: web.BaseRequest, make: Callable[[], Awaitable[object]]) -> web.StreamResponse:
        """Return what *make* does as JSON, or the problem that it meets."""
        request_id = new_request_id(self._entropy)
        try:
            self._check(request)
            answer = Answer(200, {}, msgspec.json.encode(await make()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator gets an answer in the one shape
            answer = problem_answer(error, request, request_id, self._log)
        return response(answer, request_id, {})

    def _check(self, request: web.BaseRequest) -> None:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, self._admin):
            raise UnauthorizedError
