"""`/media/<app>/<file>.png`: apps' media, for everyone."""

from __future__ import annotations

import re
from time import perf_counter

import structlog
from aiohttp import web

from service.http.app import GATE
from service.http.calls import Answer
from service.http.deps import Entropy
from service.http.etags import is_known
from service.http.gate import new_request_id
from service.http.metrics import HttpMetrics
from service.http.problems import UnknownPathError, error_body, error_headers, problem_of
from service.ports import BlobStore, Media, MediaUnavailableError

PREFIX = "/media"
TEMPLATE = f"{PREFIX}/{{app_id}}/{{file}}"
"""Under which requests are counted, and described."""
MAX_AGE_S = 600
"""For so long a file that was replaced or hidden may still be shown."""
# Compared as it was sent, so that a path has one meaning; `@` needs no encoding, and some clients encode it.
_PATH = re.compile(rf"{PREFIX}/([A-Za-z0-9]{{1,64}})/([a-z_]{{1,32}})(?:@|%40)([0-9]x)\.png")
_GUARDED = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
_ETAG_DIGITS = 32


class MediaFiles:
    """Answers every request to `/media`: with a file, or as if there were nothing."""

    def __init__(self, media: Media, blobs: BlobStore, entropy: Entropy) -> None:
        """Take what is served, where its bytes are, and randomness for request ids."""
        self._media, self._blobs, self._entropy = media, blobs, entropy
        self._log = structlog.get_logger(__name__)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public listener's application (`service.http.deps.Deps.add_routes`)."""
        metrics = app[GATE].metrics

        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, metrics)

        for path in (PREFIX, f"{PREFIX}/{{path:.*}}"):
            app.router.add_route("*", path, answer, expect_handler=_no_body_is_wanted)

    async def _answer(self, request: web.Request, metrics: HttpMetrics) -> web.StreamResponse:
        began = perf_counter()
        request_id = new_request_id(self._entropy)
        try:
            status, headers, body = await self._file(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer in the one shape
            status, headers, body = self._problem(error, request, request_id)
        metrics.count(request.method, TEMPLATE, status, perf_counter() - began)
        headers |= {"Paket-Request-Id": request_id, **_GUARDED}
        return web.Response(status=status, body=body, headers=headers)

    async def _file(self, request: web.Request) -> Answer:
        found = _PATH.fullmatch(request.rel_url.raw_path)
        if found is None or request.method not in ("GET", "HEAD"):
            raise UnknownPathError
        app, name, scale = found.groups()
        # It may have been uploaded, or taken down, where this node has not read yet.
        self._media.ensure_fresh()
        digest = self._media.digest(app, f"{name}@{scale}")
        if digest is None:
            raise UnknownPathError
        headers = {
            "ETag": f'"{digest[:_ETAG_DIGITS]}"',
            "Cache-Control": f"public, max-age={MAX_AGE_S}, must-revalidate",
        }
        if is_known(request.headers, headers["ETag"]):
            return Answer(304, headers)
        content = await self._blobs.get(digest)
        if content is None:
            self._log.error("media_missing", path=request.path, sha256=digest)
            raise MediaUnavailableError
        return Answer(200, {"Content-Type": "image/png", **headers}, content)

    def _problem(self, error: Exception, request: web.BaseRequest, request_id: str) -> Answer:
        problem = problem_of(error)
        if problem.status == 500:
            self._log.error("request_failed", request=request_id, path=request.path, exc_info=error)
        # What is not there now may be there in a moment.
        headers = {**error_headers(error, problem), "Cache-Control": "no-store"}
        return Answer(problem.status, headers, error_body(error, problem, request_id))


async def _no_body_is_wanted(_request: web.Request) -> None:
    """Leave a client that asks whether its body is wanted without an answer but the real one."""
