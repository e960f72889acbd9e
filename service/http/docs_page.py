"""`/docs`: the OpenAPI document as people read it, for everyone, with nothing from anywhere else."""

from __future__ import annotations

import gzip
import html
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from service.http.calls import Answer
from service.http.etags import is_known
from service.http.problems import MethodNotAllowedError, UnknownPathError
from service.http.versions.known import VERSIONS

PATH = "/docs"
ASSETS = Path(__file__).with_name("docs_assets")
ALLOW = "GET, HEAD, OPTIONS"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_GUARDED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The renderer's icons are in its style sheet, as data.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>UpNext</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</head>
<body>
<p>{versions} <a href="/openapi.json">openapi.json</a></p>
<div id="document"></div>
</body>
</html>
"""


class Asset:
    """A file that browsers get: as it is kept, or, where they do not take gzip, as it was before."""

    def __init__(self, content_type: str, content: bytes, *, compressed: bool) -> None:
        """Take its bytes, compressed or not."""
        self.compressed, self._content = compressed, content
        self.headers = {
            "Content-Type": content_type,
            "ETag": f'"{sha256(content).hexdigest()[:32]}"',
            **({"Vary": "Accept-Encoding"} if compressed else {}),
            **_GUARDED,
        }

    def answer(self, request: web.BaseRequest) -> Answer:
        """Answer the bytes, or that the reader has them."""
        takes_gzip = self.compressed and "gzip" in request.headers.get("Accept-Encoding", "").lower()
        # What is sent in two ways are two representations, and a strong tag is one's own (RFC 9110, 8.8.3).
        etag = self.headers["ETag"] if takes_gzip or not self.compressed else f'{self.headers["ETag"][:-1]}-plain"'
        headers = {**self.headers, "ETag": etag}
        if is_known(request.headers, etag):
            del headers["Content-Type"]
            return Answer(304, headers)
        if takes_gzip:
            return Answer(200, {**headers, "Content-Encoding": "gzip"}, self._content)
        return Answer(200, headers, self._plain if self.compressed else self._content)

    @cached_property
    def _plain(self) -> bytes:
        return gzip.decompress(self._content)


class DocsPage:
    """The page."""

    path = PATH

    def __init__(self) -> None:
        """Write it once: it says which versions there are."""
        links = (
            f'<a href="{PATH}?version={html.escape(name)}">{html.escape(name)}</a>' for name in reversed(VERSIONS.names)
        )
        page = _PAGE.format(versions=" ".join(links)).encode()
        self._page = Asset("text/html; charset=utf-8", page, compressed=False)

    async def judge(
        self, request: web.BaseRequest, _path: Mapping[str, str], _request_id: str, _beside: dict[str, str]
    ) -> Answer:
        """Answer the page, whatever its query is: that is for its own script."""
        return _answered(request, self._page)


class DocsAssets:
    """What the page loads."""

    path = f"{PATH}/{{file}}"

    def __init__(self) -> None:
        """Read what there is; half a megabyte, and none of it twice."""
        self._assets = {asset[0]: asset[1] for asset in map(_read, ASSETS.iterdir()) if asset is not None}

    async def judge(
        self, request: web.BaseRequest, path: Mapping[str, str], _request_id: str, _beside: dict[str, str]
    ) -> Answer:
        """Answer a file; raise `UnknownPathError` where there is none of that name."""
        asset = self._assets.get(path["file"])
        if asset is None:
            raise UnknownPathError
        return _answered(request, asset)


def _read(path: Path) -> tuple[str, Asset] | None:
    name = path.name.removesuffix(".gz")
    content_type = _TYPES.get(Path(name).suffix)
    if content_type is None:
        return None
    return name, Asset(content_type, path.read_bytes(), compressed=name != path.name)


def _answered(request: web.BaseRequest, asset: Asset) -> Answer:
    match request.method:
        case "GET" | "HEAD":
            return asset.answer(request)
        case "OPTIONS":
            return Answer(204, {"Allow": ALLOW})
        case _:
            raise MethodNotAllowedError(ALLOW)
