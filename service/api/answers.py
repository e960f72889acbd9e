"""From what went wrong to what is answered, in the shape of the resource API."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog
from aiohttp import web

from service.api.messages import ErrorsOut, Message, MessagesError, error
from service.http.calls import Answer
from service.http.problems import MethodNotAllowedError, problem_of
from streams.domain.errors import UnavailableError

MAX_MESSAGES = 100
"""In one answer: a body of nothing but broken fields must not be answered with many times its size."""


def failed(failure: Exception, request: web.BaseRequest, request_id: str) -> Answer:
    """Return the answer to a request that failed; what should never happen is logged."""
    if isinstance(failure, MessagesError):
        return _answer(failure.status, failure.messages[:MAX_MESSAGES], dict(failure.headers))
    problem = problem_of(failure)
    log = structlog.get_logger(__name__)
    headers: dict[str, str] = {}
    message = error(problem.code.replace("_", "."), problem.message or str(failure))
    match failure:
        case MethodNotAllowedError():
            headers["Allow"] = failure.allow
            message = _not_allowed(request.method)
        case UnavailableError():
            headers["Retry-After"] = str(failure.retry_after_s)
            log.warning("request_unavailable", request=request_id, method=request.method, code=problem.code)
        case _ if problem.status >= 500:
            log.error("request_failed", request=request_id, method=request.method, path=request.path, exc_info=failure)
    return _answer(problem.status, [message], headers)


def _not_allowed(method: str) -> Message:
    if method == "DELETE":
        text = "Nothing is ever deleted: set objectState to INACTIVE or HIDDEN instead"
        return error("delete.not.allowed", text)
    return error("method.not.allowed", "The method {{method}} is not allowed here", method=method[:20])


def _answer(status: int, messages: Sequence[Message], headers: dict[str, str]) -> Answer:
    return Answer(status, headers, msgspec.json.encode(ErrorsOut(messages)))
