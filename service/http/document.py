"""`/openapi.json`, for everyone."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from service.http.calls import Answer
from service.http.openapi import PATH, openapi_document
from service.http.problems import MethodNotAllowedError


class Document:
    """The OpenAPI document as a route of its own: it is read without credentials."""

    path = PATH

    def __init__(self, more: Mapping[str, object]) -> None:
        """Take the `paths` and `components` of the routes that are declared elsewhere."""
        self._body = msgspec.json.encode(openapi_document(more))

    async def judge(
        self, request: web.BaseRequest, _path: Mapping[str, str], _request_id: str, _beside: dict[str, str]
    ) -> Answer:
        """Answer the document."""
        match request.method:
            case "GET" | "HEAD":
                return Answer(200, {}, self._body)
            case "OPTIONS":
                return Answer(204, {"Allow": "GET, HEAD, OPTIONS"})
            case _:
                raise MethodNotAllowedError("GET, HEAD, OPTIONS")
