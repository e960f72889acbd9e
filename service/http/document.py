"""`/openapi.json`, for everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from service.http.calls import Answer
from service.http.openapi import PATH, openapi_document
from service.http.problems import InvalidVersionError, MethodNotAllowedError
from service.http.versions.known import VERSIONS


class Document:
    """The OpenAPI document as a route of its own: it is read without credentials."""

    path = PATH

    def __init__(self, more: Mapping[str, object]) -> None:
        """Take the `paths` and `components` of the routes that are declared elsewhere."""
        self._bodies = {version.name: msgspec.json.encode(openapi_document(more, version)) for version in VERSIONS}

    async def judge(
        self, request: web.BaseRequest, _path: Mapping[str, str], _request_id: str, _beside: dict[str, str]
    ) -> Answer:
        """Answer the document of the version that is asked for."""
        match request.method:
            case "GET" | "HEAD":
                return Answer(200, {}, self._body(request.query.getall("version", [VERSIONS.first.name])))
            case "OPTIONS":
                return Answer(204, {"Allow": "GET, HEAD, OPTIONS"})
            case _:
                raise MethodNotAllowedError("GET, HEAD, OPTIONS")

    def _body(self, versions: Sequence[str]) -> bytes:
        body = self._bodies.get(versions[0]) if len(versions) == 1 else None
        if body is None:
            raise InvalidVersionError(VERSIONS.names)
        return body
